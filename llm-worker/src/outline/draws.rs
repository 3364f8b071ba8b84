//! Choices that look random and are the same for the same seed and premise.
//!
//! The generator is SplitMix64, written out here because the sequence itself is what we promise: the generators of the
//! usual crates may change with a new version, and with them every story.

use sha2::{Digest, Sha256};

/// A sequence of choices.
#[derive(Debug, Clone)]
pub(super) struct Draws {
    state: u64,
}

impl Draws {
    /// The sequence that belongs to a seed and a text.
    pub(super) fn new(seed: u64, text: &str) -> Self {
        let mut material = seed.to_le_bytes().to_vec();
        material.extend_from_slice(text.as_bytes());
        let hash = Sha256::digest(&material);
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Self {
            state: u64::from_le_bytes(first),
        }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.next()) * end as u128;
        usize::try_from(wide >> 64).expect("a number below a usize is a usize")
    }

    /// One of the choices, of which there is at least one.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// All the choices, in a drawn order.
    pub(super) fn shuffled<T: Copy>(&mut self, choices: &[T]) -> Vec<T> {
        let mut order = choices.to_vec();
        for end in (1..order.len()).rev() {
            order.swap(end, self.below(end + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_one_that_was_promised() {
        let mut reference = Draws { state: 1_234_567 };
        // Published outputs of SplitMix64 for this state.
        assert_eq!(reference.next(), 6_457_827_717_110_365_317);
        assert_eq!(reference.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn seed_and_text_both_matter_and_every_choice_comes_up() {
        let first = |seed, text| Draws::new(seed, text).next();
        assert_ne!(first(1, "storm"), first(2, "storm"));
        assert_ne!(first(1, "storm"), first(1, "stone"));
        let mut draws = Draws::new(7, "");
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[draws.below(5)] = true;
        }
        assert_eq!(seen, [true; 5]);
        let mut order = draws.shuffled(&[1, 2, 3, 4]);
        order.sort();
        assert_eq!(order, [1, 2, 3, 4]);
    }
}
