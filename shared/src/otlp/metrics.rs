//! Pushes metrics, on a thread of its own.
//!
//! What was handed over waits in a slot for each program of this process, where a newer page takes the place of an older one.
//! Counters say how much there was since the program began: so nothing is lost with a page that the collector never took, and
//! nothing piles up while it is away.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use tokio::runtime::Runtime;
use tracing::{debug, info, warn};

use super::collector::Collector;
use super::points::{self, Taken};
use super::{failed, headers, runtime};
use crate::failure::chain;
use crate::metrics::{Page, push};
use crate::telemetry::{Service, TelemetryError};

/// Longest answer that is read: a collector says next to nothing.
const ANSWER_LIMIT: usize = 64 * 1024;
/// Letters of a collector's complaint that the log repeats.
const COMPLAINT_LIMIT: usize = 200;

/// Pushes what is handed over.
#[derive(Debug)]
pub(super) struct Metrics {
    slots: Arc<Slots>,
    thread: JoinHandle<()>,
}

impl Metrics {
    /// Starts the thread, and has all metrics of this process go to it at that interval.
    pub(super) fn start(
        service: &Service,
        collector: Collector,
        interval: Duration,
    ) -> Result<Self, TelemetryError> {
        let client = collector
            .client()
            // Nobody looks after a connection between two pushes: it may be gone by then.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| failed(&error))?;
        let sender = Sender {
            client,
            runtime: runtime()?,
            collector,
            headers: headers::of_metrics()?,
            service: service.clone(),
            since: SystemTime::now(),
            is_failing: false,
        };
        let slots = Arc::new(Slots::default());
        let thread = {
            let slots = Arc::clone(&slots);
            thread::Builder::new()
                .name("metric-exporter".to_owned())
                .spawn(move || sender.run(&slots))
                .map_err(|error| failed(&error))?
        };
        let is_first = {
            let slots = Arc::clone(&slots);
            push::set_sink(interval, Box::new(move |page| slots.put(page)))
        };
        match is_first {
            true => Ok(Self { slots, thread }),
            false => Err(TelemetryError::ExporterTwice),
        }
    }

    /// Nothing more comes: what is left is pushed.
    pub(super) fn end(&self) {
        self.slots.end();
    }

    /// Whether that is done.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }
}

/// The newest page of each program that has one to push.
#[derive(Debug, Default)]
struct Slots {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of their times: no series is ever told of a time before the last one.
    pages: VecDeque<(SystemTime, Page)>,
    has_ended: bool,
}

impl Slots {
    fn put(&self, page: Page) {
        let mut waiting = self.lock();
        waiting
            .pages
            .retain(|(_, older)| older.program() != page.program());
        waiting.pages.push_back((SystemTime::now(), page));
        self.changed.notify_one();
    }

    fn end(&self) {
        self.lock().has_ended = true;
        self.changed.notify_one();
    }

    /// The next page; waits for one. `None` when there is none and none will come.
    fn take(&self) -> Option<(SystemTime, Page)> {
        let is_idle = |waiting: &mut Waiting| waiting.pages.is_empty() && !waiting.has_ended;
        let waiting = self.changed.wait_while(self.lock(), is_idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        waiting.pages.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error("it does not answer")]
    Away(#[source] reqwest::Error),
    #[error("it answers {0}")]
    Refused(StatusCode),
    #[error("its answer is none of OTLP")]
    Rubbish,
    #[error("it did not take {count} of the values: {why:?}")]
    Rejected { count: i64, why: String },
}

struct Sender {
    client: reqwest::Client,
    runtime: Runtime,
    collector: Collector,
    headers: HeaderMap,
    service: Service,
    /// Since when counters count.
    since: SystemTime,
    is_failing: bool,
}

impl Sender {
    fn run(mut self, slots: &Slots) {
        while let Some((at, page)) = slots.take() {
            let taken = Taken {
                since: self.since,
                at,
            };
            let request = points::request(&page.families(), &self.service, taken);
            let outcome = self.runtime.block_on(self.push(request.encode_to_vec()));
            self.tell(outcome);
        }
    }

    async fn push(&self, body: Vec<u8>) -> Result<(), PushError> {
        let away = |error: reqwest::Error| PushError::Away(error.without_url());
        let mut answer = self
            .client
            .post(self.collector.takes("metrics"))
            .headers(self.headers.clone())
            .header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-protobuf"),
            )
            .body(body)
            .send()
            .await
            .map_err(away)?;
        if !answer.status().is_success() {
            return Err(PushError::Refused(answer.status()));
        }
        let mut said = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            said.extend_from_slice(&piece);
            if said.len() > ANSWER_LIMIT {
                return Err(PushError::Rubbish);
            }
        }
        verdict(&said)
    }

    /// Tells the log of the first failure, and of the first success after it.
    fn tell(&mut self, outcome: Result<(), PushError>) {
        let was_failing = std::mem::replace(&mut self.is_failing, outcome.is_err());
        let collector = &self.collector;
        match outcome {
            Ok(()) if was_failing => info!(%collector, "the collector takes metrics again"),
            Ok(()) => {}
            Err(error) => {
                push::count_failure();
                let error = chain(&error);
                match was_failing {
                    true => debug!(error, "the collector does not take metrics yet"),
                    false => warn!(
                        %collector, error,
                        "the collector does not take metrics (telemetry.otlp_endpoint); films do not wait for it. If it is for traces \
                         alone, set telemetry.otlp_metrics_interval_ms = 0"
                    ),
                }
            }
        }
    }
}

/// What a collector means by such an answer.
fn verdict(said: &[u8]) -> Result<(), PushError> {
    let answer = ExportMetricsServiceResponse::decode(said).map_err(|_| PushError::Rubbish)?;
    match answer.partial_success {
        Some(ExportMetricsPartialSuccess {
            rejected_data_points: count @ 1..,
            error_message,
        }) => Err(PushError::Rejected {
            count,
            why: error_message.chars().take(COMPLAINT_LIMIT).collect(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Registry;

    fn page(program: &str) -> Page {
        let mut page = Registry::default().page();
        page.about(program, true);
        page
    }

    #[test]
    fn a_newer_page_takes_the_place_of_an_older_one_of_the_same_program() {
        let slots = Slots::default();
        for program in ["coordinator", "worker", "coordinator", "coordinator"] {
            slots.put(page(program));
        }
        slots.end();
        let taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        let programs: Vec<_> = taken.iter().map(|(_, page)| page.program()).collect();
        assert_eq!(programs, ["worker", "coordinator"]);
        assert!(taken.is_sorted_by_key(|(at, _)| *at));
    }

    #[test]
    fn whoever_waits_for_a_page_is_woken_by_one_and_by_the_end() {
        let slots = Slots::default();
        thread::scope(|scope| {
            let taken = scope.spawn(|| (slots.take().is_some(), slots.take().is_none()));
            slots.put(page("worker"));
            slots.end();
            assert_eq!(taken.join().unwrap(), (true, true));
        });
    }

    #[test]
    fn an_answer_is_taken_for_what_it_is() {
        assert!(verdict(b"").is_ok(), "a success says nothing");
        assert!(matches!(
            verdict(b"<html>It works!</html>"),
            Err(PushError::Rubbish)
        ));
        let partly = |rejected_data_points| {
            let answer = ExportMetricsServiceResponse {
                partial_success: Some(ExportMetricsPartialSuccess {
                    rejected_data_points,
                    error_message: "x".repeat(1_000),
                }),
            };
            verdict(&answer.encode_to_vec())
        };
        assert!(partly(0).is_ok(), "a warning is no failure");
        let Err(error) = partly(3) else {
            panic!("three values are missing")
        };
        assert!(error.to_string().starts_with("it did not take 3 of"));
        assert!(error.to_string().len() < 300, "{error}");
    }
}
