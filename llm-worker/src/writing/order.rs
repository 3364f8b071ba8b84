//! What a story is asked for with.

/// What a story is asked for with.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// What the film is about.
    pub premise: String,
    /// Its title, if the film-maker gave one.
    pub title: Option<String>,
    /// How many scenes.
    pub scenes: u32,
    /// Length of each in seconds.
    pub seconds: f64,
    /// Seed of this attempt.
    pub seed: u64,
    /// The model's context in tokens; question and answer must fit it.
    pub context: u32,
    /// How free the model is in its choice of words.
    pub temperature: f64,
}

impl Order {
    /// Seed of one question: the same for the same attempt, another for each step and try.
    pub(super) fn seed_of(&self, step: u32, again: bool) -> u32 {
        let mixed = self
            .seed
            .wrapping_add(u64::from(step) * 2 + u64::from(again))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Some servers take no more than 31 bits.
        u32::try_from(mixed >> 33).expect("31 bits are left")
    }
}

/// About how many tokens a text is. A Latin letter is less than half a token, any other script's about one for its three
/// bytes.
pub(super) fn tokens(text: &str) -> u32 {
    u32::try_from(text.len() / 3).unwrap_or(u32::MAX - 1) + 1
}
