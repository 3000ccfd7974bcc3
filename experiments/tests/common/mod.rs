//! Shared settings of the tests of the program.

/// Overrides for runs of a few seconds.
pub(crate) const SMALL: [&str; 14] = [
    "--set",
    "grpo.rollout_batch=2",
    "--set",
    "grpo.mini_batch=2",
    "--set",
    "grpo.group_size=2",
    "--set",
    "grpo.sampling.max_tokens=8",
    "--set",
    "evaluation.sampling.max_tokens=8",
    "--set",
    "evaluation.problems_per_capability=4",
    "--set",
    "data.DigitsV1.problems_per_capability=160",
];
