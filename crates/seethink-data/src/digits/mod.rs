//! Digits world: built-in problems about pictures of real handwritten digits, in which reading is
//! what has to be learnt.
//!
//! It has the paper's three capabilities at a size that a model of a million parameters learns in
//! minutes:
//!
//! - **perception**: reads one digit or several at named places, compares two, names a colour,
//!   counts one; the answer is written out, or the letter of one of four options
//!   ([`Questions`]);
//! - **textual reasoning**: adds and subtracts three to five digits that the question states;
//! - **visual reasoning**: the same, with digits that have to be read at named places.
//!
//! The digits are of four sets without a common image ([`GlyphSet`]): supervised training of a base
//! model sees one in narrow pictures, reinforcement learning another in wide pictures, validation
//! and test the others. What rewards teach about reading is thus told apart from what a base model
//! knew, and measured on digits that nobody was trained on.
//!
//! A problem is a pure function of set, capability, index, seed and configuration. Its difficulty
//! is in its tags: `cells` (digits in the picture), `operations` (additions and subtractions) and
//! `family` (kind of question); a number that does not apply is 0. The tag `reads` has the digits
//! that are asked for, so that an answer that misread them can be told apart ([`Sight`]), and
//! `scene` describes the picture.

pub(crate) mod config;
mod dataset;
mod perception;
mod reasoning;
mod render;
pub(crate) mod scene;
mod sight;
#[cfg(test)]
mod tests;

pub use config::{DigitsConfig, Pictures, Questions};
pub use dataset::{Digits, GlyphSet};
pub(crate) use dataset::{FULL_INK, SIDE};
pub use scene::{CELL_SIDE, Cell, Ink, Scene};
pub use sight::Sight;

use crate::{DataError, content_id};
use seethink_core::{Capability, ImageSource, Problem, Purpose, Rng};
use std::collections::{BTreeMap, BTreeSet};

/// Generator of problems about pictures of digits.
///
/// # Examples
/// ```
/// use seethink_core::Capability;
/// use seethink_data::digits::{DigitsConfig, DigitsWorld, GlyphSet};
///
/// let world = DigitsWorld::new(DigitsConfig::default())?;
/// let problem = world.problem(GlyphSet::Train, &Capability::PERCEPTION, 0, 7);
/// assert!(problem.prompt.starts_with("<image>") && problem.images.len() == 1);
/// assert_eq!(problem, world.problem(GlyphSet::Train, &Capability::PERCEPTION, 0, 7));
/// # Ok::<(), seethink_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DigitsWorld {
    config: DigitsConfig,
}

/// Draft of a problem.
struct Item {
    question: String,
    answer: String,
    thought: String,
    family: &'static str,
    operations: usize,
    /// Picture, and the cells whose digits are asked for, in the order of the question.
    seen: Option<(Scene, Vec<usize>)>,
}

impl DigitsWorld {
    /// Value of `source` in every problem of this world.
    pub const SOURCE: &'static str = "digits";

    /// Creates a digits world of these settings.
    ///
    /// # Errors
    /// If a setting is out of its range.
    pub fn new(config: DigitsConfig) -> Result<Self, DataError> {
        config.validate().map_err(|error| error.within("world"))?;
        Ok(Self { config })
    }

    /// Settings of the world.
    pub fn config(&self) -> &DigitsConfig {
        &self.config
    }

    /// Creates the problem of an index.
    ///
    /// The prompt is the bare question, without [`THINK_PROMPT`](crate::THINK_PROMPT). Different
    /// indices may give the same problem; [`Self::problems`] leaves repetitions out.
    ///
    /// # Panics
    /// If `capability` is not one of [`Capability::ALL`].
    pub fn problem(&self, set: impl Into<GlyphSet>, capability: &Capability, index: u64, seed: u64) -> Problem {
        let set = set.into();
        let item = self.item(set, capability, index, seed);
        self.finish(item, capability, &mut rng(set, capability, index, seed, Draw::Pixels))
    }

    /// Problem of visual reasoning in words: the question of an index with the digits in the places
    /// of their places, and no picture. A model that solves it and not the original lacks sight.
    pub fn read_out(&self, set: impl Into<GlyphSet>, index: u64, seed: u64) -> Problem {
        let (set, capability) = (set.into(), &Capability::VISUAL_REASONING);
        let item = reasoning::draw_read_out(&mut rng(set, capability, index, seed, Draw::Content), set, &self.config);
        self.finish(item, capability, &mut rng(set, capability, index, seed, Draw::Pixels))
    }

    /// Problem about a picture of a single digit: which one it is or, every other time, its color. Looks
    /// apart from places.
    pub fn single(&self, set: impl Into<GlyphSet>, index: u64, seed: u64) -> Problem {
        let (set, capability) = (set.into(), &Capability::PERCEPTION);
        let item = perception::draw_single(&mut rng(set, capability, index, seed, Draw::Single), set);
        self.finish(item, capability, &mut rng(set, capability, index, seed, Draw::Pixels))
    }

    /// List of options with the question which letter stands for one of them, without a picture:
    /// what multiple choice takes beside reading.
    pub fn binding(&self, index: u64, seed: u64) -> Problem {
        let (set, capability) = (GlyphSet::Base, &Capability::PERCEPTION);
        let mut rng = rng(set, capability, index, seed, Draw::Binding);
        self.finish(perception::draw_binding(&mut rng), capability, &mut rng.clone())
    }

    /// Problems of indices 0, 1, 2, … without repetitions: no two have the same id.
    ///
    /// Ends when 10,000 indices in a row brought nothing new.
    ///
    /// # Panics
    /// If `capability` is not one of [`Capability::ALL`].
    pub fn problems(
        &self,
        set: impl Into<GlyphSet>,
        capability: &Capability,
        seed: u64,
    ) -> impl Iterator<Item = Problem> {
        let set = set.into();
        let mut seen = BTreeSet::new();
        let mut index = 0;
        std::iter::from_fn(move || {
            (0..10_000).find_map(|_| {
                let problem = self.problem(set, capability, index, seed);
                index += 1;
                seen.insert(problem.id).then_some(problem)
            })
        })
    }

    /// Captioned picture of the perception problem of an index; the prompt asks for a description,
    /// and the solution names place, colour and digit of every cell.
    pub fn caption(&self, set: impl Into<GlyphSet>, index: u64, seed: u64) -> Problem {
        let set = set.into();
        let seen = self.item(set, &Capability::PERCEPTION, index, seed).seen;
        let cells = seen.iter().flat_map(|(scene, _)| {
            scene.cells.iter().enumerate().map(|(i, cell)| format!("{} {cell}.", scene.place(i)))
        });
        Problem {
            prompt: format!("{}Describe.", Problem::IMAGE_PLACEHOLDER),
            solution: Some(format!("<think>{}</think>", cells.collect::<Vec<_>>().join(" "))),
            ..self.problem(set, &Capability::PERCEPTION, index, seed)
        }
    }

    fn item(&self, set: GlyphSet, capability: &Capability, index: u64, seed: u64) -> Item {
        let mut rng = rng(set, capability, index, seed, Draw::Content);
        match capability_index(capability) {
            0 => perception::draw(&mut rng, set, &self.config),
            1 => reasoning::draw_textual(&mut rng, set, &self.config),
            _ => reasoning::draw_visual(&mut rng, set, &self.config),
        }
    }

    fn finish(&self, item: Item, capability: &Capability, pixels: &mut Rng) -> Problem {
        let Item { question, answer, thought, family, operations, seen } = item;
        let mut tags = BTreeMap::from([("family", family.to_string()), ("operations", operations.to_string())]);
        tags.insert("cells", seen.as_ref().map_or(0, |(scene, _)| scene.cells.len()).to_string());
        let mut images = Vec::new();
        if let Some((scene, asked)) = &seen {
            images.push(ImageSource::Pixels(render::render(scene, pixels, &self.config.pictures)));
            tags.insert("scene", scene.to_string());
            if !asked.is_empty() {
                tags.insert(sight::READS, list(asked.iter().map(|&cell| scene.cells[cell].digit)));
            }
        }
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
}

/// Random stream of a problem; pixels have their own, so that settings of pictures leave the
/// question unchanged.
#[derive(Clone, Copy)]
enum Draw {
    Content,
    Pixels,
    Binding,
    Single,
}

fn rng(set: GlyphSet, capability: &Capability, index: u64, seed: u64, draw: Draw) -> Rng {
    Rng::new(seed, Purpose::World, &[set as u64, capability_index(capability), index, draw as u64])
}

/// Position of a capability in [`Capability::ALL`].
fn capability_index(capability: &Capability) -> u64 {
    let index = Capability::ALL.iter().position(|known| known == capability);
    index.unwrap_or_else(|| panic!("the digits world has no capability {capability:?}; it has the paper's three"))
        as u64
}

/// Joins words, as in "3 5 9".
fn list(words: impl Iterator<Item: ToString>) -> String {
    words.map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
}
