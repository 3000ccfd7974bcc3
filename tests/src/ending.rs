//! Processor of a checkpoint with other end-of-sequence tokens.

use seethink::core::Image;
use seethink::models::{Message, Processor, ProcessorError, PromptInput, VlmProcessor};

/// Processor of a checkpoint with other end-of-sequence and forbidden tokens.
#[derive(Debug)]
pub struct Ending {
    /// Processor for everything else.
    pub inner: VlmProcessor,
    /// End-of-sequence tokens.
    pub eos: Vec<u32>,
    /// Tokens that are never sampled.
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
