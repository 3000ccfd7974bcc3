//! Dataset of 1,797 handwritten digits that ships with the crate, with its fixed split.

use crate::Split;
use flate2::read::GzDecoder;
use seethink_core::{Purpose, Rng};
use std::io::Read;
use std::sync::LazyLock;

/// Side length of a digit, pixels.
pub(crate) const SIDE: usize = 8;
/// Grey level of full ink.
pub(crate) const FULL_INK: u8 = 16;
/// Number of images of each label in the validation and in the test split; the rest (114 to 123 a
/// label) is for training.
const N_VALIDATION: usize = 20;
const N_TEST: usize = 40;
/// Number of images of each label of the training split that base models are trained on.
const N_BASE: usize = 20;

static CSV: &[u8] = include_bytes!("../../assets/digits.csv.gz");
static DIGITS: LazyLock<Digits> = LazyLock::new(|| Digits::parse(CSV).expect("the embedded digits are intact"));

/// The UCI handwritten digits: 8x8 pixels, 17 grey levels, split 1,197 / 200 / 400 by image.
///
/// The split is stratified by label and fixed: it depends on nothing but the file, not even on a
/// run's seed. The images carry no writer, so it is disjoint in images and not in handwriting.
///
/// # Source
/// Optical Recognition of Handwritten Digits (Alpaydin, Kaynak; UCI), CC BY 4.0, as shipped with
/// scikit-learn.
#[derive(Debug)]
pub struct Digits {
    /// Grey levels, `[image]`, each `[row, column]` in `0..=16`.
    pixels: Vec<[u8; SIDE * SIDE]>,
    /// Labels, `[image]`.
    labels: Vec<u8>,
    /// Indices of the images, `[split][label]`.
    members: [[Vec<usize>; 10]; 3],
}

impl Digits {
    /// Returns the digits, parsed on first use.
    pub fn get() -> &'static Self {
        &DIGITS
    }

    /// Number of images in the dataset.
    pub fn n_images(&self) -> usize {
        self.labels.len()
    }

    /// Label of an image: the digit that it shows.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, image: usize) -> u8 {
        self.labels[image]
    }

    /// Grey levels of an image, `[8, 8]`, 0 (paper) to 16 (ink).
    ///
    /// # Panics
    /// If there is no such image.
    pub fn pixels(&self, image: usize) -> &[u8; SIDE * SIDE] {
        &self.pixels[image]
    }

    /// Indices of the images of one digit in one split.
    ///
    /// # Panics
    /// If `label` is above 9.
    pub fn images(&self, split: Split, label: u8) -> &[usize] {
        &self.members[split as usize][usize::from(label)]
    }

    /// Indices of the images of one digit in one set.
    ///
    /// # Panics
    /// If `label` is above 9.
    pub fn glyphs(&self, set: GlyphSet, label: u8) -> &[usize] {
        let train = || self.images(Split::Train, label);
        match set {
            GlyphSet::Base => &train()[..N_BASE],
            GlyphSet::Train => &train()[N_BASE..],
            GlyphSet::Validation => self.images(Split::Validation, label),
            GlyphSet::Test => self.images(Split::Test, label),
        }
    }

    /// Parses the compressed table; `None` where it is not 1,797 lines of 64 grey levels and a
    /// label.
    fn parse(csv: &[u8]) -> Option<Self> {
        let mut text = String::new();
        GzDecoder::new(csv).read_to_string(&mut text).ok()?;
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for line in text.lines() {
            let fields: Vec<u8> = line.split(',').map(|field| field.parse().ok()).collect::<Option<_>>()?;
            let (&label, image) = fields.split_last()?;
            if label > 9 || image.iter().any(|&level| level > FULL_INK) {
                return None;
            }
            pixels.push(image.try_into().ok()?);
            labels.push(label);
        }
        let members = split_by_label(&labels);
        (labels.len() == 1797).then_some(Self { pixels, labels, members })
    }
}

/// Set of digits, without an image in common with the others: 200 / 997 / 200 / 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GlyphSet {
    /// For the supervised training of base models.
    Base,
    /// For training by rewards.
    Train,
    /// For validation.
    Validation,
    /// For tests.
    Test,
}

impl From<Split> for GlyphSet {
    fn from(split: Split) -> Self {
        match split {
            Split::Train => Self::Train,
            Split::Validation => Self::Validation,
            Split::Test => Self::Test,
        }
    }
}

/// Assigns the images of each label, in a fixed random order, to test, validation and training.
fn split_by_label(labels: &[u8]) -> [[Vec<usize>; 10]; 3] {
    let mut members: [[Vec<usize>; 10]; 3] = Default::default();
    for label in 0..10u8 {
        let mut images: Vec<usize> = (0..labels.len()).filter(|&image| labels[image] == label).collect();
        Rng::new(0, Purpose::World, &[u64::from(label)]).shuffle(&mut images);
        for (rank, image) in images.into_iter().enumerate() {
            let split = if rank < N_TEST {
                Split::Test
            } else if rank < N_TEST + N_VALIDATION {
                Split::Validation
            } else {
                Split::Train
            };
            members[split as usize][usize::from(label)].push(image);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn splits_cover_the_digits_without_overlap() {
        let digits = Digits::get();
        let mut seen = BTreeSet::new();
        for (split, expected) in Split::ALL.into_iter().zip([1197, 200, 400]) {
            let images: Vec<usize> = (0..10).flat_map(|label| digits.images(split, label)).copied().collect();
            assert_eq!(images.len(), expected, "{split:?}");
            seen.extend(images);
            assert!((0..10).all(|label| digits.images(split, label).iter().all(|&i| digits.label(i) == label)));
        }
        assert_eq!(seen.len(), digits.n_images());
    }

    #[test]
    fn sets_of_glyphs_are_disjoint_and_have_every_digit() {
        let digits = Digits::get();
        let sets = [GlyphSet::Base, GlyphSet::Train, GlyphSet::Validation, GlyphSet::Test];
        let mut seen = BTreeSet::new();
        for (set, expected) in sets.into_iter().zip([200, 997, 200, 400]) {
            assert!((0..10).all(|label| digits.glyphs(set, label).len() >= 20));
            let images: Vec<usize> = (0..10).flat_map(|label| digits.glyphs(set, label)).copied().collect();
            assert_eq!(images.len(), expected, "{set:?}");
            seen.extend(images);
        }
        assert_eq!(seen.len(), digits.n_images());
    }

    #[test]
    fn no_two_images_are_the_same() {
        let digits = Digits::get();
        let distinct: BTreeSet<_> = (0..digits.n_images()).map(|image| digits.pixels(image)).collect();
        assert_eq!(distinct.len(), 1797);
    }

    #[test]
    fn damage_is_noticed() {
        assert!(Digits::parse(&CSV[..CSV.len() / 2]).is_none());
        assert!(Digits::parse(b"not gzip").is_none());
    }
}
