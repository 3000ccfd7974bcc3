//! Messages and pictures to model input, for Qwen3-VL and for Qwen2.5-VL, which differ only in what their folders say.

use super::positions::{Layout, lay_out};
use crate::files::CheckpointFiles;
use crate::tokenizer::unused_char;
use crate::{
    ChatTemplate, Content, ImageProcessor, Message, Processor, ProcessorError, PromptInput, TemplateOptions, Tokenizer,
};
use seethink_core::Image;
use std::path::Path;

/// Stands for one image in the text, and after expansion for each of its merged cells.
const IMAGE_TOKEN: &str = "<|image_pad|>";

/// Tokens that a model must not write: each speaks of pixels that a completion does not have.
const MODALITY_TOKENS: [&str; 5] =
    [IMAGE_TOKEN, "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"];

/// The processor of the Qwen families.
///
/// Text in messages is data: a special token that is spelled out in it does not act. So no question can open a turn of its
/// own, and `<|image_pad|>` in a text is no image. Without special tokens in the text the ids are the reference's.
#[derive(Debug)]
pub struct Qwen3VlProcessor {
    files: CheckpointFiles,
    images: ImageProcessor,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    image_token: u32,
    forbidden: Vec<u32>,
}

impl Qwen3VlProcessor {
    /// Reads the processor of a checkpoint folder: tokenizer, chat template, image settings, generation settings.
    ///
    /// # Errors
    /// If a file is missing or malformed, or the tokenizer lacks a token that stands for images.
    pub fn from_pretrained(dir: &Path) -> Result<Self, ProcessorError> {
        let files = CheckpointFiles::read(dir)?;
        let images = ImageProcessor::from_files(&files)?;
        let template = ChatTemplate::from_files(&files)?;
        let tokenizer = Tokenizer::from_files(&files)?;
        let image_token = tokenizer.token_id(IMAGE_TOKEN)?;
        let forbidden = MODALITY_TOKENS.iter().map(|token| tokenizer.token_id(token)).collect::<Result<_, _>>()?;
        Ok(Self { files, images, template, tokenizer, image_token, forbidden })
    }

    /// Writes tokenizer, chat template, image and generation settings into `dir`, which is created if need be, so that
    /// [`from_pretrained`](Self::from_pretrained) gives the same processor.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn save_pretrained(&self, dir: &Path) -> Result<(), ProcessorError> {
        self.files.write(dir)?;
        self.tokenizer.save(dir)
    }

    /// The same with another budget of pixels per image; [`save_pretrained`](Self::save_pretrained) keeps the checkpoint's.
    ///
    /// # Panics
    /// If `min_pixels` is zero or above `max_pixels`.
    #[must_use]
    pub fn with_pixel_budget(self, min_pixels: u64, max_pixels: u64) -> Self {
        Self { images: self.images.with_budget(min_pixels, max_pixels), ..self }
    }

    /// How pictures become patches, and how many tokens a picture of some size takes.
    pub fn image_processor(&self) -> &ImageProcessor {
        &self.images
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The text of a conversation, one placeholder per image.
    ///
    /// # Errors
    /// If the template refuses it.
    pub fn render(&self, messages: &[Message], options: &TemplateOptions) -> Result<String, ProcessorError> {
        self.template.render(messages, options)
    }

    /// [`encode`](Processor::encode) with template options.
    ///
    /// # Errors
    /// As [`encode`](Processor::encode).
    pub fn encode_with(
        &self,
        messages: &[Message],
        images: &[Image],
        options: &TemplateOptions,
    ) -> Result<PromptInput, ProcessorError> {
        let mark = unused_char(texts(messages));
        let rendered = self.template.render(&self.disarm(messages, mark), options)?;
        let tokens = self.tokenizer.encode_marked(&rendered, Some(mark))?;
        let merge = self.images.merge_size();
        let cells = images.iter().map(|image| {
            let [_, rows, columns] = self.images.grid(image.width(), image.height())?;
            Ok([rows / merge, columns / merge])
        });
        let Layout { tokens, position_ids, next_position, image_tokens } =
            lay_out(&tokens, self.image_token, &cells.collect::<Result<Vec<_>, ProcessorError>>()?)?;
        let pixels = self.images.process(images)?;
        Ok(PromptInput { tokens, position_ids, next_position, image_tokens, pixels })
    }

    /// The messages with the special tokens in their texts taken apart.
    fn disarm(&self, messages: &[Message], mark: char) -> Vec<Message> {
        let mut messages = messages.to_vec();
        for content in messages.iter_mut().flat_map(|message| &mut message.content) {
            if let Content::Text { text } = content {
                *text = self.tokenizer.disarm(text, mark).into_owned();
            }
        }
        messages
    }
}

/// All texts of a conversation.
fn texts(messages: &[Message]) -> impl Iterator<Item = &str> + Clone {
    messages.iter().flat_map(|message| &message.content).filter_map(|content| match content {
        Content::Text { text } => Some(text.as_str()),
        Content::Image => None,
    })
}

impl Processor for Qwen3VlProcessor {
    fn encode(&self, messages: &[Message], images: &[Image]) -> Result<PromptInput, ProcessorError> {
        self.encode_with(messages, images, &TemplateOptions::default())
    }

    fn encode_text(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        self.tokenizer.encode_plain(text)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, ProcessorError> {
        self.tokenizer.decode(tokens, true)
    }

    fn eos_token_ids(&self) -> &[u32] {
        self.tokenizer.eos_token_ids()
    }

    fn pad_token_id(&self) -> u32 {
        self.tokenizer.pad_token_id()
    }

    fn forbidden_token_ids(&self) -> &[u32] {
        &self.forbidden
    }
}
