//! Matching braces.

/// Index of the brace that closes one opened before `text`, bytes. A brace after a backslash is a
/// character, not a bracket.
pub fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1usize;
    let mut escaped = false;
    text.bytes().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}
