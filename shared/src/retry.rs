//! When to try again. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::{Timestamp, millis};

/// How often and how soon a failed attempt is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// Failed attempts after which a job fails for good; at least 1.
    pub max_failures: u32,
    /// Wait after the first failure.
    #[serde(rename = "base_ms", with = "millis")]
    pub base: Duration,
    /// Longest wait.
    #[serde(rename = "cap_ms", with = "millis")]
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_failures: 3,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(300),
        }
    }
}

/// When a job that failed for the `failures`-th time (from 1) is tried again; `None` when its tries are spent.
///
/// The wait doubles with each failure from `base` up to `cap`. `jitter`, from 0 to 1, takes off up to a quarter of it, so
/// that jobs that failed together do not come back together.
pub fn next_retry_at(
    failures: u32,
    now: Timestamp,
    jitter: f64,
    policy: &RetryPolicy,
) -> Option<Timestamp> {
    if failures >= policy.max_failures {
        return None;
    }
    let doublings = failures.saturating_sub(1).min(31);
    let wait = policy.base.saturating_mul(1 << doublings).min(policy.cap);
    Some(now.plus(wait.mul_f64(1.0 - 0.25 * jitter.clamp(0.0, 1.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn wait(failures: u32, jitter: f64) -> Option<Duration> {
        let policy = RetryPolicy {
            max_failures: 6,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(10),
        };
        next_retry_at(failures, NOW, jitter, &policy).map(|at| at.since(NOW))
    }

    #[test]
    fn the_wait_doubles_up_to_its_cap_and_then_the_tries_are_spent() {
        let waits: Vec<_> = (1..=6)
            .map(|n| wait(n, 0.0).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Some(2), Some(4), Some(8), Some(10), Some(10), None]);
    }

    #[test]
    fn jitter_shortens_by_a_quarter_at_most() {
        assert_eq!(wait(1, 1.0), Some(Duration::from_millis(1500)));
        assert_eq!(wait(1, 7.0), Some(Duration::from_millis(1500)));
    }

    #[test]
    fn no_number_of_failures_overflows() {
        let policy = RetryPolicy {
            max_failures: u32::MAX,
            base: Duration::MAX,
            cap: Duration::MAX,
        };
        assert!(next_retry_at(u32::MAX - 1, NOW, 0.5, &policy).is_some());
    }
}
