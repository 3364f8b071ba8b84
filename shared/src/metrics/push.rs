//! Where metrics are handed over to be pushed, if they are to be.
//!
//! Whoever has metrics gathers them itself, at the interval that the exporter asks for and once more when it ends: so nobody
//! reaches into a program that goes away. Pushing is the feature `otlp`; without it, or without a collector in the settings,
//! nothing is gathered.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Page;

/// Takes pages; returns at once, whatever becomes of them.
type Sink = Box<dyn Fn(Page) + Send + Sync>;

static SINK: OnceLock<(Duration, Sink)> = OnceLock::new();
static FAILED: AtomicU64 = AtomicU64::new(0);

/// Whether metrics of this process go anywhere.
pub fn is_on() -> bool {
    SINK.get().is_some()
}

/// Pushes that failed, since this process began.
pub fn failed() -> u64 {
    FAILED.load(Ordering::Relaxed)
}

/// Hands a page over, if metrics of this process go anywhere.
pub fn hand_over(page: Page) {
    if let Some((_, sink)) = SINK.get() {
        sink(page);
    }
}

/// Hands a page over at once and then at the interval of the settings. Where metrics go nowhere, it gathers none and waits for
/// ever. `gather` gives `None` where nothing can be said.
pub async fn regularly<F, T>(gather: F) -> Infallible
where
    F: Fn() -> T,
    T: Future<Output = Option<Page>>,
{
    let Some((interval, sink)) = SINK.get() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(*interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(page) = gather().await {
            sink(page);
        }
    }
}

#[cfg(feature = "otlp")]
pub(crate) fn set_sink(interval: Duration, sink: Sink) -> bool {
    SINK.set((interval, sink)).is_ok()
}

#[cfg(feature = "otlp")]
pub(crate) fn count_failure() {
    FAILED.fetch_add(1, Ordering::Relaxed);
}
