//! Report on the check of a data set.

use super::Dataset;
use crate::Split;
use std::collections::BTreeMap;
use std::fmt;

/// Statistics of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Number of files.
    pub n_files: usize,
    /// Number of files with a cached index.
    pub n_cached: usize,
    /// Number of rows of all files.
    pub n_rows: usize,
    /// Number of rows left out as duplicates of an earlier problem.
    pub n_duplicates: usize,
    /// Number of overlong prompts, whether or not they are left out.
    pub n_overlong: usize,
    /// True if overlong prompts were left out.
    pub dropped_overlong: bool,
    /// Tokens of the longest prompt of all rows, where counted.
    pub longest: Option<u32>,
    /// Number of problems of each capability, by split in the order of [`Split::ALL`].
    pub problems: BTreeMap<String, [usize; 3]>,
    /// Number of problems with a pass rate.
    pub n_rated: usize,
    /// Number of images of the problems; an image counts as often as it is used.
    pub n_images: usize,
    /// Sizes of the images with the fewest and the most pixels. Width and height, pixels.
    pub image_sizes: Option<[(u32, u32); 2]>,
    /// Number of images that occur in more than one split.
    pub n_shared_images: usize,
}

impl Report {
    /// Adds the statistics of the problems of a data set; those of opening it are filled in before.
    pub(super) fn add_problems(mut self, dataset: &Dataset) -> Self {
        let mut uses = Vec::new();
        for number in 0..dataset.len() {
            let entry = dataset.entry(number);
            // Looked up by reference first, to avoid copying a million names.
            let counts = match self.problems.get_mut(entry.capability) {
                Some(counts) => counts,
                None => self.problems.entry(entry.capability.to_owned()).or_default(),
            };
            counts[entry.split as usize] += 1;
            self.n_rated += usize::from(entry.pass_rate.is_some());
            self.n_images += entry.n_images();
            uses.extend(dataset.image_keys(number).iter().map(|&key| (key, entry.split as usize)));
            for size in entry.image_sizes() {
                let [least, most] = self.image_sizes.get_or_insert([size; 2]);
                let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
                *least = if area(size) < area(*least) { size } else { *least };
                *most = if area(size) > area(*most) { size } else { *most };
            }
        }
        uses.sort_unstable();
        self.n_shared_images =
            uses.chunk_by(|a, b| a.0 == b.0).filter(|uses| uses[0].1 != uses[uses.len() - 1].1).count();
        self
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { n_files, n_cached, n_rows, .. } = self;
        writeln!(f, "{n_rows} rows in {n_files} files, {n_cached} of them known from before")?;
        if self.n_duplicates > 0 {
            writeln!(f, "{} rows left out: the same problem came before", self.n_duplicates)?;
        }
        if let Some(longest) = self.longest {
            let fate = if self.dropped_overlong { "left out" } else { "kept" };
            writeln!(f, "longest prompt {longest} tokens; {} too long, {fate}", self.n_overlong)?;
        }
        let names = Split::ALL.map(Split::as_str);
        writeln!(f, "{:<24} {:>10} {:>10} {:>10}", "capability", names[0], names[1], names[2])?;
        let total = self.problems.values().fold([0; 3], |sum: [usize; 3], n| [0, 1, 2].map(|i| sum[i] + n[i]));
        let rows = self.problems.iter().map(|(name, counts)| (name.as_str(), counts)).chain([("all", &total)]);
        for (name, [train, validation, test]) in rows {
            writeln!(f, "{name:<24} {train:>10} {validation:>10} {test:>10}")?;
        }
        write!(f, "{} problems with a pass rate, {} images", self.n_rated, self.n_images)?;
        if let Some([least, most]) = self.image_sizes {
            write!(f, " from {}x{} to {}x{} pixels", least.0, least.1, most.0, most.1)?;
        }
        if self.n_shared_images > 0 {
            write!(f, "\n{} images stand in more than one of train, validation and test", self.n_shared_images)?;
        }
        Ok(())
    }
}
