//! Content hashes: ids of problems and keys of images.

use seethink_core::{ImageSource, ProblemId};
use sha2::{Digest, Sha256};

/// Id of a problem by its content: the first 64 bits of a SHA-256 over the prompt, the images and
/// the answer.
///
/// Every part is preceded by its length, so that no two contents are hashed as the same bytes. An
/// image counts by its size and pixels, by the bytes of its encoded file, or by its path, depending
/// on its [`ImageSource`].
pub fn content_id(prompt: &str, images: &[ImageSource], answer: &str) -> ProblemId {
    let mut hash = Parts::default();
    hash.part(0, prompt.as_bytes());
    images.iter().for_each(|image| hash.image(image));
    hash.part(5, answer.as_bytes());
    ProblemId(hash.finish())
}

/// Content key of an image: 64 bits of a SHA-256 over the parts that [`content_id`] hashes.
pub(crate) fn image_key(image: &ImageSource) -> u64 {
    let mut hash = Parts::default();
    hash.image(image);
    hash.finish()
}

/// Digest of texts in their order, twelve hexadecimal digits.
pub fn digest(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_ref());
        hash.update([0]);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of parts, each preceded by its kind and length.
#[derive(Default)]
struct Parts(Sha256);

impl Parts {
    fn part(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn image(&mut self, image: &ImageSource) {
        match image {
            ImageSource::Path(path) => self.part(1, path.as_os_str().as_encoded_bytes()),
            ImageSource::Encoded(bytes) => self.part(2, bytes),
            ImageSource::Pixels(image) => {
                self.part(3, &[image.width().to_le_bytes(), image.height().to_le_bytes()].concat());
                self.part(4, image.rgb());
            }
        }
    }

    fn finish(self) -> u64 {
        self.0.finalize().iter().take(8).fold(0, |id, &byte| (id << 8) | u64::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seethink_core::Image;

    #[test]
    fn borders_and_order_count() {
        let all = [digest(["ab", "c"]), digest(["a", "bc"]), digest(["c", "ab"]), digest(["abc"])];
        assert!(all.iter().enumerate().all(|(i, one)| one.len() == 12 && !all[..i].contains(one)), "{all:?}");
    }

    #[test]
    fn every_part_of_the_content_counts() {
        let pixels = |width, height| ImageSource::Pixels(Image::new(width, height, vec![0; 18]).expect("18 bytes"));
        let ids = [
            content_id("ab", &[], "c"),
            content_id("a", &[], "bc"),
            content_id("ab", &[pixels(2, 3)], "c"),
            content_id("ab", &[pixels(3, 2)], "c"),
            content_id("ab", &[pixels(3, 2), pixels(3, 2)], "c"),
            content_id("ab", &[ImageSource::Path("x.png".into())], "c"),
            content_id("ab", &[ImageSource::Encoded((*b"x.png").into())], "c"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], content_id("ab", &[], "c"));
    }
}
