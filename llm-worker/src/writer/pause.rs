//! When no more stories are taken although the server answers: a used-up day must not be asked for again and again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::provider::{ProviderError, Quota};

/// Shortest pause after the quota of a day: services tell seconds then, too.
const DAY_PAUSE: Duration = Duration::from_secs(3_600);

/// Until when nothing is asked, and why.
#[derive(Debug, Default)]
pub(super) struct Pause {
    state: Mutex<Option<Paused>>,
}

#[derive(Debug, Clone)]
struct Paused {
    /// For ever, if absent.
    until: Option<Instant>,
    reason: String,
}

impl Pause {
    /// Takes note of how an answer failed.
    pub(super) fn after(&self, error: &ProviderError, now: Instant) {
        let until = match error {
            ProviderError::Quota {
                quota: Quota::PerDay,
                retry_after,
                ..
            } => Some(now + retry_after.unwrap_or_default().max(DAY_PAUSE)),
            ProviderError::Quota {
                quota: Quota::PerMinute,
                retry_after: Some(pause),
                ..
            } => Some(now + *pause),
            ProviderError::Quota {
                quota: Quota::None, ..
            } => None,
            _ => return,
        };
        let reason = error.to_string();
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(Paused { until, reason });
    }

    /// Why nothing is asked now.
    pub(super) fn reason(&self, now: Instant) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let paused = state.as_ref()?;
        match paused.until {
            None => Some(paused.reason.clone()),
            Some(until) if until > now => {
                let minutes = (until - now).as_secs().div_ceil(60);
                Some(format!(
                    "{}; it is asked again in {minutes} min",
                    paused.reason
                ))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used_up(quota: Quota, seconds: Option<u64>) -> ProviderError {
        ProviderError::Quota {
            quota,
            message: "no more".to_owned(),
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_day_lasts_an_hour_at_least_a_minute_as_long_as_was_said_and_none_for_ever() {
        let now = Instant::now();
        let after = |error: &ProviderError, seconds: u64| {
            let pause = Pause::default();
            pause.after(error, now);
            pause.reason(now + Duration::from_secs(seconds))
        };
        let day = used_up(Quota::PerDay, Some(10));
        let reason = after(&day, 60).unwrap();
        assert!(
            reason.contains("this day is used up: no more") && reason.ends_with("in 59 min"),
            "{reason}"
        );
        assert_eq!(after(&day, 3_600), None);
        assert!(after(&used_up(Quota::PerDay, Some(40_000)), 39_999).is_some());
        assert!(after(&used_up(Quota::PerMinute, Some(10)), 9).is_some());
        assert_eq!(after(&used_up(Quota::PerMinute, Some(10)), 10), None);
        assert!(after(&used_up(Quota::None, Some(1)), 1_000_000).is_some());
        assert_eq!(after(&ProviderError::Empty, 0), None);
    }
}
