//! What to train on next: the Curriculum trait, its axes and every policy.
