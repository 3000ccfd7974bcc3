//! From problems to model input.

use crate::TrainError;
use rayon::prelude::*;
use seethink_core::{Image, Problem, ProblemId};
use seethink_data::{DataError, Dataset, ImageLoader};
use seethink_models::{Content, Message, Processor, PromptInput, Role};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// What surrounds the question.
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
    /// The conversation that asks a problem; each image placeholder becomes an image.
    pub fn messages(&self, problem: &Problem) -> Vec<Message> {
        self.conversation(&problem.prompt)
    }

    /// The same for the text of a problem.
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

    /// The pictures of a problem.
    ///
    /// # Errors
    /// If one cannot be read; the error names the problem.
    pub fn images(problem: &Problem) -> Result<Vec<Image>, TrainError> {
        let loader = ImageLoader::default();
        let load = |(index, image)| {
            loader.load(image).map_err(|source| TrainError::Image { problem: problem.id, index, source })
        };
        problem.images.iter().enumerate().map(load).collect()
    }

    /// Model input of a problem.
    ///
    /// # Errors
    /// If an image cannot be read or does not match the placeholders; the error names the problem.
    pub fn encode(&self, processor: &dyn Processor, problem: &Problem) -> Result<PromptInput, TrainError> {
        processor
            .encode(&self.messages(problem), &Self::images(problem)?)
            .map_err(|source| TrainError::Prompt { problem: problem.id, source })
    }

    /// Model input of several problems, in order, prepared in parallel.
    ///
    /// # Errors
    /// See [`encode`](Self::encode).
    pub fn encode_all(&self, processor: &dyn Processor, problems: &[&Problem]) -> Result<Vec<PromptInput>, TrainError> {
        problems.par_iter().map(|problem| self.encode(processor, problem)).collect()
    }
}

/// The problems of a run, found by their ids.
#[derive(Debug, Clone)]
pub enum Problems {
    /// All in memory; pictures that are files stay there.
    Memory(HashMap<ProblemId, Problem>),
    /// In the files of a data set, read when they are drawn.
    Files(Arc<Dataset>),
}

impl Problems {
    /// The problems with these ids, in their order.
    ///
    /// # Errors
    /// If there is none with an id, or its file cannot be read.
    pub fn get(&self, ids: &[ProblemId]) -> Result<Vec<Problem>, TrainError> {
        let unknown = TrainError::UnknownProblem;
        match self {
            Self::Memory(problems) => {
                ids.iter().map(|&id| problems.get(&id).cloned().ok_or_else(|| unknown(id))).collect()
            }
            Self::Files(dataset) => {
                let number = |&id: &ProblemId| dataset.number(id).ok_or_else(|| unknown(id));
                let mut numbers: Vec<usize> = ids.iter().map(number).collect::<Result<_, _>>()?;
                // Files are read from their beginnings to their ends.
                numbers.sort_unstable();
                numbers.dedup();
                let read = dataset.read(numbers).map(|problem| problem.map(|problem| (problem.id, problem)));
                Self::Memory(read.collect::<Result<_, DataError>>().map_err(Box::new)?).get(ids)
            }
        }
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self::Memory(problems.into_iter().map(|problem| (problem.id, problem)).collect())
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
