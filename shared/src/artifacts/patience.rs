//! How long a store is waited for that is away.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Longest time from the first failure to the last try: a coordinator that is restarted, or a cable that is plugged in again.
const LIMIT: Duration = Duration::from_secs(120);
/// Pause before the second try; it doubles.
const FIRST: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(8);

/// How long a store is waited for that is away. A render that is done must not be lost for a coordinator's restart.
pub(super) struct Patience {
    pause: Duration,
    ends_at: Option<Instant>,
}

impl Patience {
    pub(super) const fn new() -> Self {
        Self {
            pause: FIRST,
            ends_at: None,
        }
    }

    /// Waits a while. Whether it is worth another try.
    pub(super) async fn again(&mut self) -> bool {
        let ends_at = *self.ends_at.get_or_insert_with(|| Instant::now() + LIMIT);
        if Instant::now() + self.pause > ends_at {
            return false;
        }
        sleep(self.pause).await;
        self.pause = LONGEST.min(self.pause * 2);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_is_asked_ever_more_seldom_and_not_for_ever() {
        let (begun, mut patience, mut tries) = (Instant::now(), Patience::new(), 0);
        while patience.again().await {
            tries += 1;
        }
        let waited = begun.elapsed();
        assert!(
            waited <= LIMIT && waited > LIMIT - LONGEST * 2,
            "{waited:?}"
        );
        assert_eq!(tries, 19);
    }
}
