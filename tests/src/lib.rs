//! What tests of several files share; the tests themselves are in `tests/`.

pub mod tiny;
