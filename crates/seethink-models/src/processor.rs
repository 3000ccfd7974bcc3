//! The text and picture side of a backbone.

use crate::PromptInput;
use seethink_core::Image;
use serde::Serialize;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The one who asks.
    User,
    /// The model.
    Assistant,
}

/// A piece of a message, in the form that the chat templates read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// The next of the images.
    Image,
}

/// A turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said and shown, in order.
    pub content: Vec<Content>,
}

/// Turns conversations into model input and token ids into text.
pub trait Processor: Send + Sync {
    /// Renders the chat template with a generation prompt, expands image placeholders, tokenizes and lays out positions.
    ///
    /// # Errors
    /// If the images do not match the placeholders, an image cannot be resized, or the template fails.
    fn encode(&self, messages: &[Message], images: &[Image]) -> Result<PromptInput, ProcessorError>;

    /// Token ids of plain text, no special tokens added.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, ProcessorError>;

    /// Text of token ids, special tokens left out.
    ///
    /// # Errors
    /// If an id is unknown to the tokenizer.
    fn decode(&self, tokens: &[u32]) -> Result<String, ProcessorError>;

    /// Tokens that end a completion.
    fn eos_token_ids(&self) -> &[u32];

    /// Token that fills short rows.
    fn pad_token_id(&self) -> u32;

    /// Tokens that must never be sampled: placeholders of images and videos.
    fn forbidden_token_ids(&self) -> &[u32];
}
