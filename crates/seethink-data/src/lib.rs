//! Problems from disk and from the built-in digits world.
