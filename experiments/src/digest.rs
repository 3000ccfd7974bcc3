//! Short names for long things.

use sha2::{Digest, Sha256};

/// Twelve hexadecimal digits that stand for these texts, in their order.
pub(crate) fn digest(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_ref());
        hash.update([0]);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_and_order_count() {
        let all = [digest(["ab", "c"]), digest(["a", "bc"]), digest(["c", "ab"]), digest(["abc"])];
        assert!(all.iter().enumerate().all(|(i, one)| one.len() == 12 && !all[..i].contains(one)), "{all:?}");
    }
}
