//! Processor of any family: messages and pictures to model input; the families differ in their
//! image processing.

use crate::files::CheckpointFiles;
use crate::generation::GenerationConfig;
use crate::positions::{Layout, lay_out};
use crate::tokenizer::unused_char;
use crate::{
    ChatTemplate, Content, ImageLimits, ImageProcessor, Message, Pictures, Processor, ProcessorError, PromptInput,
    TemplateOptions, Tokenizer, any,
};
use seethink_core::Image;
use std::path::Path;
use std::sync::Arc;

/// Processor of a checkpoint.
///
/// Text in messages is data: a special token that is spelled out in it does not act. So no question
/// can open a turn of its own, and an image placeholder in a text is no image. Without special
/// tokens in the text the ids are the reference's.
#[derive(Debug, Clone)]
pub struct VlmProcessor {
    files: CheckpointFiles,
    pictures: Pictures,
    template: Arc<ChatTemplate>,
    tokenizer: Tokenizer,
    generation: GenerationConfig,
    /// Maximum number of positions of the decoder, tokens.
    positions: usize,
}

impl VlmProcessor {
    /// Reads the processor of a checkpoint folder: tokenizer, chat template, image settings,
    /// generation settings. The family is the one that `config.json` names.
    ///
    /// # Errors
    /// If a file is missing or malformed, or the tokenizer lacks a token for images.
    pub fn from_pretrained(dir: &Path) -> Result<Self, ProcessorError> {
        let files = CheckpointFiles::read(dir)?;
        let tokenizer = Tokenizer::from_files(&files)?;
        let (pictures, positions) = any::pictures(&files, &tokenizer)?;
        let template = Arc::new(ChatTemplate::from_files(&files)?);
        let generation = GenerationConfig::from_files(&files)?;
        Ok(Self { files, pictures, template, tokenizer, generation, positions })
    }

    /// Writes tokenizer, chat template, image and generation settings into `dir`, which is created
    /// if need be, so that [`from_pretrained`](Self::from_pretrained) gives the same processor
    /// beside the model's `config.json`. Such files of another processor that were there are then
    /// deleted; if the call is stopped, the folder holds the old processor or the new one or is
    /// refused.
    ///
    /// # Errors
    /// If the folder or a file cannot be written.
    pub fn save_pretrained(&self, dir: &Path) -> Result<(), ProcessorError> {
        self.files.write(dir, &self.tokenizer.to_json()?)
    }

    /// This processor with limits on the size of pictures, which
    /// [`save_pretrained`](Self::save_pretrained) does not save.
    ///
    /// # Errors
    /// If a limit is out of range, of no use to the family, contradicts what the checkpoint says,
    /// or allows a picture more tokens than the model has positions.
    pub fn with_image_limits(mut self, limits: &ImageLimits) -> Result<Self, ProcessorError> {
        self.pictures.images = limits.apply(self.pictures.images, self.positions)?;
        Ok(self)
    }

    /// Image processor: pictures to patches, and the number of tokens of a picture of some size.
    pub fn image_processor(&self) -> &dyn ImageProcessor {
        self.pictures.images.as_ref()
    }

    /// Sampling settings of the checkpoint's authors.
    pub fn generation_config(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Renders a conversation as text, with one placeholder per image.
    ///
    /// # Errors
    /// If the template refuses the conversation.
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
        let sizes: Vec<_> = images.iter().map(|image| (image.width(), image.height())).collect();
        let Layout { tokens, position_ids, next_position, image_tokens } = self.layout(messages, &sizes, options)?;
        let pixels = self.pictures.images.process(images)?;
        Ok(PromptInput { tokens, position_ids, next_position, image_tokens, pixels })
    }

    /// Layout of a conversation with images of these sizes: tokens and positions.
    fn layout(
        &self,
        messages: &[Message],
        image_sizes: &[(u32, u32)],
        options: &TemplateOptions,
    ) -> Result<Layout, ProcessorError> {
        let mark = unused_char(texts(messages));
        let rendered = self.template.render(&self.disarm(messages, mark), options)?;
        let tokens = self.tokenizer.encode_marked(&rendered, Some(mark))?;
        let Pictures { images: processor, placeholder, .. } = &self.pictures;
        let span = |&(width, height): &(u32, u32)| Ok(processor.span(processor.grid(width, height)?));
        let spans = image_sizes.iter().map(span).collect::<Result<Vec<_>, ProcessorError>>()?;
        lay_out(&tokens, *placeholder, &spans)
    }

    /// Messages with the special tokens in their texts escaped.
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

/// Texts of all messages of a conversation.
fn texts(messages: &[Message]) -> impl Iterator<Item = &str> + Clone {
    messages.iter().flat_map(|message| &message.content).filter_map(|content| match content {
        Content::Text { text } => Some(text.as_str()),
        Content::Image => None,
    })
}

impl Processor for VlmProcessor {
    fn encode(&self, messages: &[Message], images: &[Image]) -> Result<PromptInput, ProcessorError> {
        self.encode_with(messages, images, &TemplateOptions::default())
    }

    fn n_prompt_tokens(&self, messages: &[Message], image_sizes: &[(u32, u32)]) -> Result<usize, ProcessorError> {
        Ok(self.layout(messages, image_sizes, &TemplateOptions::default())?.tokens.len())
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
        &self.pictures.forbidden
    }
}
