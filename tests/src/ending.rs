//! A checkpoint's processor whose completions end otherwise.

use seethink::core::Image;
use seethink::models::{Message, Processor, ProcessorError, PromptInput, VlmProcessor};

/// The checkpoint's processor with other tokens that end a completion, or are never sampled.
#[derive(Debug)]
pub struct Ending {
    /// Does everything else.
    pub inner: VlmProcessor,
    /// End a completion.
    pub eos: Vec<u32>,
    /// Are never sampled.
    pub forbidden: Vec<u32>,
}

impl Processor for Ending {
    fn encode(&self, messages: &[Message], images: &[Image]) -> Result<PromptInput, ProcessorError> {
        self.inner.encode(messages, images)
    }

    fn n_prompt_tokens(&self, messages: &[Message], image_sizes: &[(u32, u32)]) -> Result<usize, ProcessorError> {
        self.inner.n_prompt_tokens(messages, image_sizes)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        self.inner.encode_text(text)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, ProcessorError> {
        self.inner.decode(tokens)
    }

    fn eos_token_ids(&self) -> &[u32] {
        &self.eos
    }

    fn pad_token_id(&self) -> u32 {
        self.inner.pad_token_id()
    }

    fn forbidden_token_ids(&self) -> &[u32] {
        &self.forbidden
    }
}
