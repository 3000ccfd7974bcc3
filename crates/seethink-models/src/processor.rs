//! Processors: the text and picture side of a backbone.

use crate::{LoadError, PromptInput};
use seethink_core::{Image, SettingError};
use serde::Serialize;
use std::path::PathBuf;

/// Errors of processors: reading, writing, and encoding text and pictures.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The folder of a checkpoint lacks something that a processor needs.
    #[error("{} has no {needed}", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
        /// Name of the missing part.
        needed: &'static str,
    },
    /// Processor files that are partly old and partly new.
    #[error("{} holds no whole processor: saving it was interrupted, expected it to be saved again", dir.display())]
    Interrupted {
        /// The folder.
        dir: PathBuf,
    },
    /// A file is not JSON, or not the JSON that was expected.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Error, with line and column.
        source: serde_json::Error,
    },
    /// A setting has a value that is not supported.
    #[error("{}: {error}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting, its value, and the values that would work.
        error: SettingError,
    },
    /// A prompt beyond any model, from pictures of absurd size without a limit of pixels.
    #[error("the prompt has {n_tokens} tokens, expected at most {most}; limit the pixels of images")]
    LongPrompt {
        /// Tokens of the prompt, images included.
        n_tokens: usize,
        /// Maximum.
        most: usize,
    },
    /// A limit on pictures that is impossible, or that this model does not use.
    #[error(transparent)]
    Limit(#[from] SettingError),
    /// The tokenizer cannot be built, or refuses a text.
    #[error("tokenizer of {}: {source}", dir.display())]
    Tokenizer {
        /// Folder of the tokenizer.
        dir: PathBuf,
        /// Error of the tokenizer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The tokenizer lacks a token that the model needs.
    #[error("the tokenizer of {} has no token {token:?}, which this model needs", dir.display())]
    MissingToken {
        /// Folder of the tokenizer.
        dir: PathBuf,
        /// The token.
        token: String,
    },
    /// A token has another id than in `tokenizer_config.json`.
    #[error("the tokenizer of {} gives {token:?} the id {found}, but tokenizer_config.json says {expected}", dir.display())]
    TokenId {
        /// Folder of the tokenizer.
        dir: PathBuf,
        /// The token.
        token: String,
        /// Id that the tokenizer gave.
        found: u32,
        /// Id that the configuration asks for.
        expected: u32,
    },
    /// The chat template does not compile, or refuses the messages.
    #[error("chat template in {}: {source}", path.display())]
    Template {
        /// The file that holds the template.
        path: PathBuf,
        /// Error of the template engine, with the line.
        source: minijinja::Error,
    },
    /// The model's own configuration, which determines the image processing, is invalid.
    #[error(transparent)]
    Model(#[from] LoadError),
    /// The rendered prompt does not have one placeholder per image.
    #[error("image placeholders in the rendered prompt: {placeholders}, images given: {images}")]
    Placeholders {
        /// Placeholders in the rendered prompt.
        placeholders: usize,
        /// Images given.
        images: usize,
    },
    /// An image without pixels.
    #[error("an image of {width}x{height} has no pixels")]
    EmptyImage {
        /// Width, pixels.
        width: u32,
        /// Height, pixels.
        height: u32,
    },
    /// An image that is too long and thin for the patch grid.
    #[error("an image of {width}x{height} is too thin: the longer side may be at most {limit} times the shorter")]
    AspectRatio {
        /// Width, pixels.
        width: u32,
        /// Height, pixels.
        height: u32,
        /// Largest ratio of the sides.
        limit: u32,
    },
}

/// Role of a message's author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// System: standing instructions.
    System,
    /// User: asks the questions.
    User,
    /// Assistant: the model.
    Assistant,
}

/// Content part of a message, in the form that the chat templates read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// The next of the prompt's images.
    Image,
}

/// Chat message: a turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Role of the author.
    pub role: Role,
    /// Content parts, in order.
    pub content: Vec<Content>,
}

/// Processor: encodes conversations as model input, and decodes token ids to text.
pub trait Processor: Send + Sync {
    /// Encodes a conversation: renders the chat template with a generation prompt, expands image
    /// placeholders, tokenizes and lays out positions.
    ///
    /// # Errors
    /// If the images do not match the placeholders, an image cannot be resized, or the template
    /// fails.
    fn encode(&self, messages: &[Message], images: &[Image]) -> Result<PromptInput, ProcessorError>;

    /// Number of tokens that [`encode`](Self::encode) gives for images of these sizes (width,
    /// height; pixels), computed without the images.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    fn n_prompt_tokens(&self, messages: &[Message], image_sizes: &[(u32, u32)]) -> Result<usize, ProcessorError>;

    /// Encodes plain text as token ids: no special tokens are added, and none are recognised, so
    /// `<|im_end|>` spelled out in `text` is nothing but its characters. Append ids from
    /// [`eos_token_ids`](Self::eos_token_ids) to end a completion.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    fn encode_text(&self, text: &str) -> Result<Vec<u32>, ProcessorError>;

    /// Decodes token ids to text, special tokens left out.
    ///
    /// Ids without a token also are left out: embedding tables have more rows than the tokenizer
    /// has entries, and a model may sample any of them.
    ///
    /// # Errors
    /// If the tokenizer cannot put the tokens together.
    fn decode(&self, tokens: &[u32]) -> Result<String, ProcessorError>;

    /// End-of-sequence tokens, which end a completion.
    fn eos_token_ids(&self) -> &[u32];

    /// Padding token of short rows.
    fn pad_token_id(&self) -> u32;

    /// Tokens that must never be sampled: placeholders of images and videos.
    fn forbidden_token_ids(&self) -> &[u32];
}
