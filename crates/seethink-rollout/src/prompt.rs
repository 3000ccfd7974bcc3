//! Prompts: from problems to model input.

use rayon::prelude::*;
use seethink_core::{Image, Problem, ProblemId};
use seethink_data::{DataError, ImageLoader, LoadImageError};
use seethink_models::{Content, Message, Processor, ProcessorError, PromptInput, Role};
use serde::{Deserialize, Serialize};

/// Errors of turning a problem into model input.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A prompt cannot be encoded.
    #[error("the prompt of problem {problem} could not be encoded")]
    Prompt {
        /// The problem.
        problem: ProblemId,
        /// Cause.
        source: ProcessorError,
    },
    /// An image cannot be read.
    #[error("image {index} of problem {problem} could not be read")]
    Image {
        /// The problem.
        problem: ProblemId,
        /// Index of the image, from 0.
        index: usize,
        /// Cause.
        source: LoadImageError,
    },
    /// A problem cannot be read from its file.
    #[error(transparent)]
    Data(#[from] Box<DataError>),
    /// A problem that is not among those of the run.
    #[error("problem {0} was asked for, which is not among the problems of the run")]
    UnknownProblem(ProblemId),
}

/// Prompt format: the system turn and the suffix that surround a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptFormat {
    /// System turn, where there is one.
    pub system: Option<String>,
    /// Appended to the question in the user turn.
    pub suffix: String,
}

impl Default for PromptFormat {
    /// The paper's instruction in the user turn, tidied; no system turn.
    fn default() -> Self {
        Self { system: None, suffix: format!("\n{}", seethink_data::THINK_PROMPT) }
    }
}

impl PromptFormat {
    /// Chat messages that ask a problem; each image placeholder becomes an image.
    pub fn messages(&self, problem: &Problem) -> Vec<Message> {
        self.conversation(&problem.prompt)
    }

    /// Chat messages that ask a question, given as text.
    pub fn conversation(&self, question: &str) -> Vec<Message> {
        let text = |text: &str| Content::Text { text: text.to_owned() };
        let question = format!("{}{}", question.trim(), self.suffix);
        let mut content = Vec::new();
        for (i, part) in question.split(Problem::IMAGE_PLACEHOLDER).enumerate() {
            if i > 0 {
                content.push(Content::Image);
            }
            if !part.is_empty() {
                content.push(text(part));
            }
        }
        let system = self.system.iter().map(|system| Message { role: Role::System, content: vec![text(system)] });
        system.chain([Message { role: Role::User, content }]).collect()
    }

    /// Loads the images of a problem.
    ///
    /// # Errors
    /// If an image cannot be read; the error names the problem.
    pub fn images(problem: &Problem) -> Result<Vec<Image>, PromptError> {
        let loader = ImageLoader::default();
        let load = |(index, image)| {
            loader.load(image).map_err(|source| PromptError::Image { problem: problem.id, index, source })
        };
        problem.images.iter().enumerate().map(load).collect()
    }

    /// Encodes a problem as model input.
    ///
    /// # Errors
    /// If an image cannot be read or does not match the placeholders; the error names the problem.
    pub fn encode(&self, processor: &dyn Processor, problem: &Problem) -> Result<PromptInput, PromptError> {
        processor
            .encode(&self.messages(problem), &Self::images(problem)?)
            .map_err(|source| PromptError::Prompt { problem: problem.id, source })
    }

    /// Number of tokens of a problem's prompt, images included; only the sizes of the images are
    /// read.
    ///
    /// # Errors
    /// If the header of an image cannot be read, or the images do not match the placeholders; the
    /// error names the problem.
    pub fn n_tokens(&self, processor: &dyn Processor, problem: &Problem) -> Result<usize, PromptError> {
        let loader = ImageLoader::default();
        let size = |(index, image)| {
            loader.size(image).map_err(|source| PromptError::Image { problem: problem.id, index, source })
        };
        let sizes = problem.images.iter().enumerate().map(size).collect::<Result<Vec<_>, _>>()?;
        processor
            .n_prompt_tokens(&self.messages(problem), &sizes)
            .map_err(|source| PromptError::Prompt { problem: problem.id, source })
    }

    /// Encodes several problems as model input, in order and in parallel.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn encode_all(
        &self,
        processor: &dyn Processor,
        problems: &[&Problem],
    ) -> Result<Vec<PromptInput>, PromptError> {
        problems.par_iter().map(|problem| self.encode(processor, problem)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::Capability;

    #[test]
    fn placeholders_become_images_where_they_stand() {
        let problem = Problem {
            id: ProblemId(1),
            capability: Capability::PERCEPTION,
            prompt: "<image>Left of <image>?".into(),
            images: Vec::new(),
            answer: String::new(),
            solution: None,
            pass_rate: None,
            source: String::new(),
            tags: Default::default(),
        };
        let format = PromptFormat { system: Some("Be brief.".into()), suffix: " Think.".into() };
        let text = |text: &str| Content::Text { text: text.into() };
        assert_eq!(
            format.messages(&problem),
            [
                Message { role: Role::System, content: vec![text("Be brief.")] },
                Message {
                    role: Role::User,
                    content: vec![Content::Image, text("Left of "), Content::Image, text("? Think.")]
                },
            ]
        );
    }
}
