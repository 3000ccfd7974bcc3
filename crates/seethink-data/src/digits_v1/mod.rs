//! First digits world, `digits-v1`: built-in problems about pictures of real handwritten digits,
//! with known answers.
//!
//! Base models are trained on the digits that rewards draw from, and no arm of the paper's tables
//! changed how many of them are misread; [`digits`](crate::digits) is made for questions about sight.
//! This one has the paper's three
//! capabilities at a size that a model of a few million parameters learns in minutes:
//!
//! - **perception**: four-way multiple choice about a fine detail or a spatial relation of a
//!   picture;
//! - **textual reasoning**: one to four operations on small integers, in words and symbols;
//! - **visual reasoning**: the same operations on digits that have to be read from a picture.
//!
//! A problem is a pure function of split, capability, index, seed and configuration. Its difficulty
//! level is in its tags: `cells` (digits in the picture), `operations` (arithmetic operations),
//! `family` (kind of question) and `noise` (standard deviation, fraction of full scale); a number
//! that does not apply is 0. The tag `scene` describes the content of the picture, so that an
//! answer that misread it can be told apart ([`Sight`](crate::digits::Sight)).

mod arithmetic;
mod config;
mod perception;
mod render;
mod sight;
#[cfg(test)]
mod tests;
mod textual;
mod visual;

pub use config::DigitsConfig;
pub(crate) use sight::readings;

use crate::digits::Scene;
use crate::{DataError, Split, content_id};
use seethink_core::{Capability, ImageSource, Problem, Purpose, Rng};
use std::collections::{BTreeMap, BTreeSet};

/// Generator of problems about pictures of digits.
///
/// # Examples
/// ```
/// use seethink_core::Capability;
/// use seethink_data::{Split, digits_v1::{DigitsConfig, DigitsWorld}};
///
/// let world = DigitsWorld::new(DigitsConfig::default())?;
/// let problem = world.problem(Split::Train, &Capability::PERCEPTION, 0, 7);
/// assert!(problem.prompt.starts_with("<image>") && problem.images.len() == 1);
/// assert_eq!(problem, world.problem(Split::Train, &Capability::PERCEPTION, 0, 7));
/// # Ok::<(), seethink_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DigitsWorld {
    config: DigitsConfig,
}

/// Draft of a problem: question, answer, reasoning and scene.
struct Item {
    question: String,
    answer: String,
    thought: String,
    family: &'static str,
    operations: usize,
    scene: Option<Scene>,
}

impl DigitsWorld {
    /// Value of `source` in every problem of this world.
    pub const SOURCE: &'static str = "digits-v1";

    /// Creates a digits world of this difficulty.
    ///
    /// # Errors
    /// If a difficulty setting is out of its range.
    pub fn new(config: DigitsConfig) -> Result<Self, DataError> {
        config.validate().map_err(|error| error.within("world"))?;
        Ok(Self { config })
    }

    /// Difficulty settings.
    pub fn config(&self) -> &DigitsConfig {
        &self.config
    }

    /// Creates the problem of an index.
    ///
    /// The prompt is the bare question, without [`THINK_PROMPT`](crate::THINK_PROMPT). Different
    /// indices may give the same problem in a small world; [`Self::problems`] leaves repetitions
    /// out.
    ///
    /// # Panics
    /// If `capability` is not one of [`Capability::ALL`].
    pub fn problem(&self, split: Split, capability: &Capability, index: u64, seed: u64) -> Problem {
        let Item { question, answer, thought, family, operations, scene } = self.item(split, capability, index, seed);
        let mut tags = BTreeMap::from([("family", family.to_string()), ("operations", operations.to_string())]);
        let mut noise = 0.0;
        let mut images = Vec::new();
        if let Some(scene) = &scene {
            let (image, sigma) =
                render::render(scene, &mut self.rng(split, capability, index, seed, Draw::Pixels), &self.config);
            images.push(ImageSource::Pixels(image));
            tags.insert(sight::SCENE, scene.to_string());
            noise = sigma;
        }
        tags.insert("cells", scene.map_or(0, |scene| scene.cells.len()).to_string());
        tags.insert("noise", format!("{noise:.3}"));
        let placeholder = if images.is_empty() { "" } else { Problem::IMAGE_PLACEHOLDER };
        let prompt = format!("{placeholder}{question}");
        Problem {
            id: content_id(&prompt, &images, &answer),
            capability: capability.clone(),
            prompt,
            images,
            solution: Some(format!("<think>{thought}</think> \\boxed{{{answer}}}")),
            answer,
            pass_rate: None,
            source: Self::SOURCE.into(),
            tags: tags.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
        }
    }

    /// Scene of a problem: the content of its picture; `None` where the problem has no picture.
    ///
    /// # Panics
    /// If `capability` is not one of [`Capability::ALL`].
    pub fn scene(&self, split: Split, capability: &Capability, index: u64, seed: u64) -> Option<Scene> {
        self.item(split, capability, index, seed).scene
    }

    /// Problems of indices 0, 1, 2, … without repetitions: no two have the same id.
    ///
    /// Ends when 10,000 indices in a row brought nothing new.
    ///
    /// # Panics
    /// If `capability` is not one of [`Capability::ALL`].
    pub fn problems(&self, split: Split, capability: &Capability, seed: u64) -> impl Iterator<Item = Problem> {
        let mut seen = BTreeSet::new();
        let mut index = 0;
        std::iter::from_fn(move || {
            (0..10_000).find_map(|_| {
                let problem = self.problem(split, capability, index, seed);
                index += 1;
                seen.insert(problem.id).then_some(problem)
            })
        })
    }

    /// Captioned pictures of the perception problems of indices 0, 1, 2, …; the prompt asks for a
    /// description, and the solution names place, ink and digit of every cell.
    pub fn captions(&self, split: Split, seed: u64) -> impl Iterator<Item = Problem> {
        let picture = move |index| {
            let Item { scene, .. } = self.item(split, &Capability::PERCEPTION, index, seed);
            let scene = scene?;
            let cells = scene.cells.iter().enumerate().map(|(i, cell)| format!("{} {cell}.", scene.place(i)));
            Some(Problem {
                prompt: format!("{}Describe.", Problem::IMAGE_PLACEHOLDER),
                solution: Some(format!("<think>{}</think>", cells.collect::<Vec<_>>().join(" "))),
                ..self.problem(split, &Capability::PERCEPTION, index, seed)
            })
        };
        (0..).map_while(picture)
    }

    fn item(&self, split: Split, capability: &Capability, index: u64, seed: u64) -> Item {
        let mut rng = self.rng(split, capability, index, seed, Draw::Content);
        match capability_index(capability) {
            0 => perception::draw(&mut rng, split, &self.config),
            1 => textual::draw(&mut rng, split, &self.config),
            _ => visual::draw(&mut rng, split, &self.config),
        }
    }

    fn rng(&self, split: Split, capability: &Capability, index: u64, seed: u64, draw: Draw) -> Rng {
        Rng::new(seed, Purpose::World, &[split as u64, capability_index(capability), index, draw as u64])
    }
}

/// Random stream of a problem; pixels have their own, so that picture settings leave the question
/// unchanged.
#[derive(Clone, Copy)]
enum Draw {
    Content,
    Pixels,
}

/// Position of a capability in [`Capability::ALL`].
fn capability_index(capability: &Capability) -> u64 {
    let index = Capability::ALL.iter().position(|known| known == capability);
    index.unwrap_or_else(|| panic!("the digits world has no capability {capability:?}; it has the paper's three"))
        as u64
}

/// Draws a wording that asks for the value of an expression.
fn ask_value(rng: &mut Rng, expression: &str) -> String {
    match rng.below(3) {
        0 => format!("What is {expression}?"),
        1 => format!("Compute {expression}."),
        _ => format!("Find {expression}."),
    }
}
