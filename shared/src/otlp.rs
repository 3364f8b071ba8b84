//! What is sent to a collector: spans and metrics, by OTLP over HTTP.
//!
//! Each has a thread of its own with a runtime of its own, so that neither waits for the other, and no work waits for them.

mod collector;
mod headers;
mod metrics;
mod points;
mod spans;

use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use url::Url;

use self::collector::Collector;
use self::metrics::Metrics;
use self::spans::Spans;
use crate::telemetry::{Service, TelemetryError};

/// Longest wait for one answer of the collector, and for all tries to send one batch of spans.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for what is left when the program ends.
const LAST_LIMIT: Duration = Duration::from_secs(3);

/// Sends spans, and metrics if they are to be pushed, until it is dropped: then it sends what is left, for some seconds at most.
#[derive(Debug)]
pub(crate) struct Exporter {
    spans: Spans,
    metrics: Option<Metrics>,
}

impl Exporter {
    /// Starts it for all of this process. Metrics are handed over at that interval; without one they are not.
    pub(crate) fn start(
        service: &Service,
        collector: Url,
        interval: Option<Duration>,
    ) -> Result<Self, TelemetryError> {
        let collector = Collector::at(collector);
        let spans = Spans::start(service, collector.clone())?;
        let metrics = interval
            .map(|interval| Metrics::start(service, collector, interval))
            .transpose()?;
        Ok(Self { spans, metrics })
    }

    fn is_done(&self) -> bool {
        self.spans.is_done() && self.metrics.as_ref().is_none_or(Metrics::is_done)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.spans.end();
        if let Some(metrics) = &self.metrics {
            metrics.end();
        }
        let deadline = Instant::now() + LAST_LIMIT;
        while !self.is_done() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn runtime() -> Result<Runtime, TelemetryError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(&error))
}

fn failed(error: &dyn std::error::Error) -> TelemetryError {
    TelemetryError::Exporter(error.to_string())
}
