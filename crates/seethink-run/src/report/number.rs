//! Number formats for human readers.

/// Formats seconds as `m:ss` or `h:mm:ss`, to the nearest second.
pub fn duration(secs: f64) -> String {
    let secs = secs.max(0.0).round() as u64;
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{secs:02}") } else { format!("{minutes}:{secs:02}") }
}

/// Formats a count with three significant digits: `950`, `12.3k`, `4.56M`.
pub fn count(value: f64) -> String {
    // 999.5 would round to a fourth digit, so the next unit starts there.
    match value.abs() {
        size if size < 999.5 => format!("{value:.0}"),
        size if size < 999.5e3 => significant(value / 1e3) + "k",
        size if size < 999.5e6 => significant(value / 1e6) + "M",
        _ => significant(value / 1e9) + "G",
    }
}

fn significant(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Formats a fraction in percent with one decimal, without the sign.
pub fn percent(fraction: f64) -> String {
    format!("{:.1}", 100.0 * fraction)
}

/// Formats a name from a configuration as words: `textual_reasoning` becomes `textual reasoning`.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// Cuts `name` to `width` characters; a tilde marks the cut.
pub fn cut(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars().take(width.saturating_sub(1)).chain(['~']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.4, 59.6, 61.0, 3723.0].map(duration), ["0:00", "1:00", "1:01", "1:02:03"]);
        let counts = [0.0, 950.0, 999.6, 1234.0, 12_345.0, 999_600.0, 4_560_000.0, 7.8e12].map(count);
        assert_eq!(counts, ["0", "950", "1.00k", "1.23k", "12.3k", "1.00M", "4.56M", "7800G"]);
        assert_eq!(percent(0.6127), "61.3");
        assert_eq!([cut("visual", 6), cut("visual", 4)], ["visual", "vis~"]);
    }
}
