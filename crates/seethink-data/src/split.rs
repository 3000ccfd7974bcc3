//! Training, validation and test splits.

use seethink_core::{Purpose, Rng, SettingError};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Split of a dataset; the splits share no images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Training split.
    Train,
    /// Validation split, for model selection.
    Validation,
    /// Test split, for reporting.
    Test,
}

impl Split {
    /// All three splits.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Name of the split, as in files and folders.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

/// Rule that assigns rows to splits.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Splits {
    /// Split by the names of files, `train-00000-of-00002.parquet`, `perception_val.jsonl`, or else
    /// of their folders, `test/problems.jsonl`.
    ///
    /// The names `training`, `valid`, `val`, `dev` and `testing` are understood too. A file with no
    /// such name is for training.
    #[default]
    ByName,
    /// Split by a hash of the images, or of the problem where it has none: the split of a row does
    /// not depend on the rows beside it.
    ///
    /// Rows with the same images belong to the same split. Of several images the one with the least
    /// hash counts, so that splits may share an image where rows have several: the report of a
    /// dataset counts such images.
    ByHash {
        /// Share of the problems for validation, in `[0, 1]`.
        validation: f64,
        /// Share of the problems for the test, in `[0, 1]`; what is left is for training.
        test: f64,
        /// Seed of the assignment.
        #[serde(default)]
        seed: u64,
    },
}

impl Splits {
    /// Checks the ranges of the shares.
    ///
    /// # Errors
    /// If a share or their sum is not in `[0, 1]`.
    pub fn check(&self) -> Result<(), SettingError> {
        let Self::ByHash { validation, test, .. } = *self else { return Ok(()) };
        for (key, share) in [("validation", validation), ("test", test), ("validation + test", validation + test)] {
            if !(0.0..=1.0).contains(&share) {
                return Err(SettingError::new(key, share, "a share in [0, 1]"));
            }
        }
        Ok(())
    }

    /// Split of a row by its hash, `None` where names decide; `key` is the key of its image or its
    /// id.
    pub(crate) fn by_hash(&self, key: u64) -> Option<Split> {
        let Self::ByHash { validation, test, seed } = *self else { return None };
        let place = Rng::new(seed, Purpose::Split, &[key]).uniform();
        Some(match place {
            place if place < validation => Split::Validation,
            place if place < validation + test => Split::Test,
            _ => Split::Train,
        })
    }
}

impl Split {
    /// Split that a name stands for.
    fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "train" | "training" => Some(Self::Train),
            "validation" | "valid" | "val" | "dev" => Some(Self::Validation),
            "test" | "testing" => Some(Self::Test),
            _ => None,
        }
    }

    /// Split of a file: by a word of its name, or else the name of its folder, or else training.
    pub(crate) fn of_file(file: &Path) -> Self {
        let words = file.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let word = words.split(|c: char| !c.is_ascii_alphabetic()).find_map(Self::named);
        let folder = || file.parent().and_then(Path::file_name).and_then(|name| Self::named(&name.to_string_lossy()));
        word.or_else(folder).unwrap_or(Self::Train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_part() {
        for (file, split) in [
            ("train-00000-of-00002.parquet", Split::Train),
            ("data/validation-00000-of-00001.parquet", Split::Validation),
            ("perception_val.jsonl", Split::Validation),
            ("Test.jsonl", Split::Test),
            ("test/problems.jsonl", Split::Test),
            ("test/train.jsonl", Split::Train),
            ("latest/contest.jsonl", Split::Train),
            ("problems.jsonl", Split::Train),
        ] {
            assert_eq!(Split::of_file(Path::new(file)), split, "{file}");
        }
    }

    #[test]
    fn shares_are_met_and_seeds_differ() {
        let splits = |seed| Splits::ByHash { validation: 0.05, test: 0.1, seed };
        let count = |split| (0..100_000).filter(|&key| splits(1).by_hash(key) == Some(split)).count();
        let counts = Split::ALL.map(count);
        // Four standard deviations.
        assert!(counts[1].abs_diff(5_000) < 276 && counts[2].abs_diff(10_000) < 380, "{counts:?}");
        assert_ne!(
            (0..100).map(|key| splits(1).by_hash(key)).collect::<Vec<_>>(),
            (0..100).map(|key| splits(2).by_hash(key)).collect::<Vec<_>>()
        );
        assert_eq!(Splits::ByName.by_hash(1), None);
    }

    #[test]
    fn shares_out_of_range_are_refused() {
        for (validation, test) in [(-0.1, 0.5), (0.5, 1.5), (0.6, 0.6), (f64::NAN, 0.1)] {
            assert!(Splits::ByHash { validation, test, seed: 0 }.check().is_err(), "{validation} {test}");
        }
        assert!(Splits::ByHash { validation: 0.0, test: 1.0, seed: 0 }.check().is_ok());
    }
}
