//! Chance that repeats itself: the same seed and purpose give the same throws on every run.

/// A stream of throws (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of their own for one purpose, so that a throw more in one part of a picture moves nothing in another.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        let mut dice = Self(seed ^ hash(purpose));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// A number from 0 (included) to 1 (not included).
    pub(crate) fn share(&mut self) -> f32 {
        // 24 bits: all that an f32 can hold evenly.
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// A number between the two.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.share()
    }

    /// True in that share of the throws.
    pub(crate) fn chance(&mut self, share: f32) -> bool {
        self.share() < share
    }

    /// One of `count` things, counted from 0. `count` must not be 0.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        ((self.share() * count as f32) as usize).min(count - 1)
    }

    /// Minus one or one.
    pub(crate) fn side(&mut self) -> f32 {
        if self.chance(0.5) { -1.0 } else { 1.0 }
    }
}

/// A number that stands for a text (FNV-1a).
pub(crate) fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    scramble(text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// Spreads every bit of a number over all of them.
pub(crate) fn scramble(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
