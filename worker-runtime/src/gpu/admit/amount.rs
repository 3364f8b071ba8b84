//! Sums of memory that neither wrap nor go below nothing.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use shared::byte_size::ByteSize;

/// Arithmetic on amounts of memory. A sum that does not fit is the largest there is, which no card has free.
pub(crate) trait Amount: Sized {
    /// Both together.
    fn plus(self, other: Self) -> Self;
    /// What is left; nothing when there is less than that.
    fn less(self, other: Self) -> Self;
    /// That many hundredths of it.
    fn percent(self, hundredths: u64) -> Self;
}

impl Amount for ByteSize {
    fn plus(self, other: Self) -> Self {
        Self::bytes(self.as_bytes().saturating_add(other.as_bytes()))
    }

    fn less(self, other: Self) -> Self {
        Self::bytes(self.as_bytes().saturating_sub(other.as_bytes()))
    }

    fn percent(self, hundredths: u64) -> Self {
        let whole = self.as_bytes() / 100;
        let rest = self.as_bytes() % 100;
        Self::bytes(
            whole
                .saturating_mul(hundredths)
                .saturating_add(rest * hundredths.min(1000) / 100),
        )
    }
}

/// All of them together.
pub(crate) fn total(amounts: impl IntoIterator<Item = ByteSize>) -> ByteSize {
    amounts.into_iter().fold(ByteSize::ZERO, Amount::plus)
}
