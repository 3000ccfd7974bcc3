//! Developer tasks: validate, tidy.
fn main() {}
