//! Room for completions: positions of the decoder, memory of the key-value cache.

use burn::tensor::Device;
use seethink_models::VisionLanguageModel;

/// Memory of the largest accelerator there is, bytes: assumed for devices that do not report
/// theirs.
const LARGEST_ACCELERATOR: u64 = 288 << 30;

/// Longest sequence and largest key-value cache that a model has room for.
///
/// # Examples
/// ```
/// use seethink_rollout::{Capacity, Load};
///
/// let capacity =
///     Capacity { max_positions: 4096, cache_bytes_per_token: 1 << 20, memory: 8 << 30 };
/// let load = Load { prompts: 1, prompt: 1000, rows: 7, max_tokens: 1000 };
/// assert!(capacity.check(load).is_ok());
/// assert!(capacity.check(Load { max_tokens: 4000, ..load }).is_err());
/// assert!(capacity.check(Load { prompts: 7, ..load }).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Longest sequence that there are positions for, tokens.
    pub max_positions: usize,
    /// Bytes of keys and values of a token, over all layers.
    pub cache_bytes_per_token: usize,
    /// Memory for the cache, bytes.
    pub memory: u64,
}

/// Sequences that decode together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Number of prompts, each of which is stored once for all of its completions.
    pub prompts: usize,
    /// Longest prompt, images included. Tokens.
    pub prompt: usize,
    /// Number of completions.
    pub rows: usize,
    /// Longest completion, tokens.
    pub max_tokens: usize,
}

/// Errors of capacity: sequences too long for the decoder, or too many for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// Sequences are longer than the decoder has positions for.
    #[error(
        "prompts of up to {} tokens and completions of up to {} make sequences of {}, but the model has {max_positions} positions \
         (max_position_embeddings); expected {}",
        load.prompt, load.max_tokens, load.length(), shorter(load, *max_positions)
    )]
    Positions {
        /// Load that was asked for.
        load: Load,
        /// Number of positions of the decoder.
        max_positions: usize,
    },
    /// The key-value cache is larger than memory.
    #[error(
        "the key-value cache of {} prompts of up to {} tokens and {} completions of up to {} takes {} at {bytes_per_token} bytes a \
         token, but {} of memory are available; expected shorter completions, or fewer that decode together",
        load.prompts, load.prompt, load.rows, load.max_tokens, gibibytes(load.numbers(*bytes_per_token)),
        gibibytes(u128::from(*memory))
    )]
    Memory {
        /// Load that was asked for.
        load: Load,
        /// Bytes of keys and values of a token, over all layers.
        bytes_per_token: usize,
        /// Memory available, bytes.
        memory: u64,
    },
}

impl Capacity {
    /// Measures the capacity of a model on its device, at this moment.
    ///
    /// A model on the processor has the memory that Linux calls available, or what the control
    /// group has left if that is less. Accelerators and other systems do not report it: they are
    /// taken for the largest accelerator there is, of 288 GiB.
    pub fn of(model: &impl VisionLanguageModel) -> Self {
        let of_processor = (model.device() == Device::flex()).then(available_memory).flatten();
        Self {
            max_positions: model.max_positions(),
            cache_bytes_per_token: model.cache_bytes_per_token(),
            memory: of_processor.unwrap_or(LARGEST_ACCELERATOR),
        }
    }

    /// Checks that the sequences have positions, and that their keys and values fit into memory.
    ///
    /// # Errors
    /// If they do not; the error has the numbers.
    pub fn check(&self, load: Load) -> Result<(), CapacityError> {
        load.check_positions(self.max_positions)?;
        let &Self { cache_bytes_per_token: bytes_per_token, memory, .. } = self;
        if load.numbers(bytes_per_token) > u128::from(memory) {
            return Err(CapacityError::Memory { load, bytes_per_token, memory });
        }
        Ok(())
    }
}

impl Load {
    /// # Errors
    /// If the longest sequence has more tokens than there are positions.
    pub(crate) fn check_positions(self, max_positions: usize) -> Result<(), CapacityError> {
        if self.length() > max_positions as u128 {
            return Err(CapacityError::Positions { load: self, max_positions });
        }
        Ok(())
    }

    /// Length of the longest sequence, tokens.
    fn length(self) -> u128 {
        self.prompt as u128 + self.max_tokens as u128
    }

    /// Total of a number given per token, over all tokens that are stored.
    fn numbers(self, per_token: usize) -> u128 {
        let tokens = |n: usize, length: usize| n as u128 * length as u128;
        (tokens(self.prompts, self.prompt) + tokens(self.rows, self.max_tokens)).saturating_mul(per_token as u128)
    }
}

/// Advice for the error message: lengths that have positions.
fn shorter(load: &Load, max_positions: usize) -> String {
    match max_positions.checked_sub(load.prompt) {
        Some(left) if left > 0 => format!("completions of at most {left}"),
        _ => format!("prompts of fewer than {max_positions}"),
    }
}

fn gibibytes(bytes: u128) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

/// Memory available to this process, bytes; `None` where the system is not Linux or does not report
/// it.
fn available_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let of_machine = number(&read("/proc/meminfo")?, "MemAvailable:")?.checked_mul(1024)?;
    // Files that the control group keeps in memory can be dropped; memory that no file backs
    // cannot.
    let of_group = || {
        let limit: u64 = read("/sys/fs/cgroup/memory.max")?.trim().parse().ok()?;
        Some(limit.saturating_sub(number(&read("/sys/fs/cgroup/memory.stat")?, "anon")?))
    };
    Some(of_group().map_or(of_machine, |of_group| of_group.min(of_machine)))
}

/// Value of a key in a text of lines, each with a key and a number.
fn number(text: &str, key: &str) -> Option<u64> {
    let mut words =
        text.lines().map(str::split_whitespace).find_map(|mut words| (words.next()? == key).then_some(words))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity { max_positions: 1000, cache_bytes_per_token: 1 << 20, memory: 4 << 30 };

    #[test]
    fn the_last_position_and_the_last_byte_may_be_used() {
        let load = Load { prompts: 2, prompt: 300, rows: 4, max_tokens: 700 };
        assert_eq!(CAPACITY.check(load), Ok(()));
        let exact = Capacity { memory: (2 * 300 + 4 * 700) << 20, ..CAPACITY };
        assert_eq!(exact.check(load), Ok(()));
        assert!(Capacity { memory: exact.memory - 1, ..exact }.check(load).is_err());
        assert!(CAPACITY.check(Load { max_tokens: 701, ..load }).is_err());
    }

    #[test]
    fn errors_have_the_numbers() {
        let message = |load| CAPACITY.check(load).unwrap_err().to_string();
        let long = message(Load { prompts: 1, prompt: 300, rows: 1, max_tokens: 100_000_000 });
        assert!(long.contains("300 tokens and completions of up to 100000000 make sequences of 100000300"), "{long}");
        assert!(long.contains("1000 positions") && long.ends_with("completions of at most 700"), "{long}");
        let prompt = message(Load { prompts: 1, prompt: 1000, rows: 1, max_tokens: 1 });
        assert!(prompt.ends_with("prompts of fewer than 1000"), "{prompt}");
        let many = message(Load { prompts: 8, prompt: 300, rows: 64, max_tokens: 700 });
        let stored = "8 prompts of up to 300 tokens and 64 completions of up to 700 takes 46.1 GiB at 1048576 bytes";
        assert!(many.contains(stored), "{many}");
        assert!(many.contains("4.0 GiB of memory"), "{many}");
        message(Load { prompts: usize::MAX, prompt: usize::MAX, rows: usize::MAX, max_tokens: usize::MAX });
    }

    #[test]
    fn memory_is_read_from_lines_of_a_key_and_a_number() {
        let text = "MemTotal:       24689764 kB\nMemFree:  1 kB\nMemAvailable:   20481024 kB\n";
        assert_eq!((number(text, "MemAvailable:"), number(text, "SwapFree:")), (Some(20_481_024), None));
        assert_eq!(number("anon\n", "anon"), None);
        if cfg!(target_os = "linux") {
            let memory = available_memory();
            assert!(memory.is_some_and(|bytes| (1 << 20..1 << 50).contains(&bytes)), "{memory:?}");
        }
    }
}
