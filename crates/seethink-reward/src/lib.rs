//! Scores of completions: answer extraction, equivalence and the format check.
