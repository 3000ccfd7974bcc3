//! Legibility of the digits of the built-in worlds: what one nearest neighbour reads of unseen ones.

use seethink::core::{Purpose, Rng};
use seethink::data::Split;
use seethink::data::digits::Digits;

/// Known images and unseen images, by index.
type Halves = (Vec<usize>, Vec<usize>);

/// Splits into known and unseen images: the world's own into 1,197 training images and 600 others,
/// and `n − 1` random ones of the same sizes.
fn splits(n: usize) -> Vec<Halves> {
    let digits = Digits::get();
    let of = |splits: &[Split]| -> Vec<usize> {
        let labels = splits.iter().flat_map(|&split| (0..10).map(move |label| (split, label)));
        labels.flat_map(|(split, label)| digits.images(split, label)).copied().collect()
    };
    let own = (of(&[Split::Train]), of(&[Split::Validation, Split::Test]));
    let n_known = own.0.len();
    let random = (1..n as u64).map(|i| {
        let mut images: Vec<usize> = (0..digits.n_images()).collect();
        Rng::new(i, Purpose::World, &[]).shuffle(&mut images);
        let others = images.split_off(n_known);
        (images, others)
    });
    std::iter::once(own.clone()).chain(random).collect()
}

/// Nearest-neighbour accuracy: share of unseen images whose nearest known image, by Euclidean
/// distance of the 8 × 8 grey levels, shows the same digit.
fn nearest_neighbour((known, others): &Halves) -> f64 {
    let digits = Digits::get();
    let distance = |a: usize, b: usize| -> i32 {
        let levels = digits.pixels(a).iter().zip(digits.pixels(b));
        levels.map(|(&a, &b)| (i32::from(a) - i32::from(b)).pow(2)).sum()
    };
    let is_right = |&&image: &&usize| {
        let nearest = known.iter().min_by_key(|&&one| distance(image, one));
        nearest.is_some_and(|&one| digits.label(one) == digits.label(image))
    };
    others.iter().filter(is_right).count() as f64 / others.len() as f64
}

#[test]
fn eight_by_eight_pixels_are_enough_to_read_a_digit() {
    for halves in splits(5) {
        assert_eq!((halves.0.len(), halves.1.len()), (1197, 600));
        assert!(halves.0.iter().all(|image| !halves.1.contains(image)));
        let share = nearest_neighbour(&halves);
        assert!((0.97..0.995).contains(&share), "{share}");
    }
}
