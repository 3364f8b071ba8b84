//! Medians, percentiles and verdicts.

/// The value below which that share (0 to 1) of the samples lies; 0 if there are none.
pub(crate) fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index below the number of samples"
    )]
    let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(index).copied().unwrap_or(0.0)
}

/// The middle one.
pub(crate) fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// Whether every figure so far has kept its limit.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    missed: u32,
}

impl Verdicts {
    /// The word beside a figure.
    pub(crate) fn of(&mut self, is_good: bool) -> &'static str {
        self.missed += u32::from(!is_good);
        if is_good { "ok" } else { "MISSED" }
    }

    /// How many figures have missed their limit.
    pub(crate) fn missed(&self) -> u32 {
        self.missed
    }
}
