//! SFT and GRPO on burn's Learner.
