//! Sends spans, on a thread of its own.
//!
//! What has ended is put into a queue with a bound. When the collector is away or slow, the queue fills up and what comes then
//! is thrown away and counted; nobody ever waits for it. `opentelemetry-otlp` packs, sends and tries again.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use reqwest::header::AUTHORIZATION;
use tokio::runtime::Runtime;
use tracing::{debug, warn};

use super::collector::Collector;
use super::{SEND_LIMIT, failed, runtime};
use crate::telemetry::{Service, TelemetryError};
use crate::trace::{self, Ended, Fate, Kind, Value, count};

/// Groups of spans that may wait to be sent. The largest, an attempt's, has some twenty spans.
const QUEUE: usize = 2_048;
/// Spans that are sent together at most, but for what belongs to the last of them.
const BATCH: usize = 512;
/// How long a span waits for others to be sent with: a killed process loses no more than this.
const GATHER: Duration = Duration::from_millis(500);
/// How often a collector that is away is told of again.
const COMPLAIN_EACH: Duration = Duration::from_secs(60);

/// Sends what has ended.
#[derive(Debug)]
pub(super) struct Spans {
    wake: SyncSender<Vec<Ended>>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Spans {
    /// Starts the thread, and has all spans of this process go to it.
    pub(super) fn start(service: &Service, collector: Collector) -> Result<Self, TelemetryError> {
        let client = collector.client().build().map_err(|error| failed(&error))?;
        // The exporter makes requests of its own, in which nobody looks for a name and a password.
        let asked = client
            .post(collector.takes("traces"))
            .build()
            .map_err(|error| failed(&error.without_url()))?;
        let authorization = asked.headers().get(AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let headers = authorization.map(|value| (AUTHORIZATION.to_string(), value.to_owned()));
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(asked.url().as_str())
            .with_headers(headers.into_iter().collect::<HashMap<_, _>>())
            .with_timeout(SEND_LIMIT)
            .build()
            .map_err(|error| failed(&error))?;
        exporter.set_resource(&resource(service));
        let (queue, ended) = sync_channel(QUEUE);
        let ends = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            exporter,
            runtime: runtime()?,
            scope: InstrumentationScope::builder("callsheet")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            collector,
            complained_at: None,
        };
        let thread = {
            let ends = Arc::clone(&ends);
            thread::Builder::new()
                .name("trace-exporter".to_owned())
                .spawn(move || sender.run(&ended, &ends))
                .map_err(|error| failed(&error))?
        };
        let into = queue.clone();
        let is_first = trace::set_sink(Box::new(move |spans: Vec<Ended>| {
            let all = spans.len();
            if into.try_send(spans).is_err() {
                count(Fate::Dropped, all);
            }
        }));
        let spans = Self {
            wake: queue,
            ends,
            thread,
        };
        match is_first {
            true => Ok(spans),
            false => Err(TelemetryError::ExporterTwice),
        }
    }

    /// Nothing more comes: what is left is sent.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::Release);
        // It may wait for something to send; if the queue is full, it does not.
        let _ = self.wake.try_send(Vec::new());
    }

    /// Whether that is done.
    pub(super) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }
}

struct Sender {
    exporter: SpanExporter,
    runtime: Runtime,
    scope: InstrumentationScope,
    collector: Collector,
    complained_at: Option<Instant>,
}

impl Sender {
    fn run(mut self, queue: &Receiver<Vec<Ended>>, ends: &AtomicBool) {
        while let Ok(first) = queue.recv() {
            let batch = gather(first, queue, ends);
            if !batch.is_empty() {
                self.send(batch);
            }
            if ends.load(Ordering::Acquire) {
                // All that came before the end is in the queue by now.
                let rest: Vec<Ended> = queue.try_iter().flatten().collect();
                if !rest.is_empty() {
                    self.send(rest);
                }
                return;
            }
        }
    }

    fn send(&mut self, batch: Vec<Ended>) {
        let all = batch.len();
        let spans = batch
            .into_iter()
            .map(|span| data(span, &self.scope))
            .collect();
        match self.runtime.block_on(self.exporter.export(spans)) {
            Ok(()) => {
                count(Fate::Exported, all);
                self.complained_at = None;
            }
            Err(error) => {
                count(Fate::Dropped, all);
                let is_news = self
                    .complained_at
                    .is_none_or(|at| at.elapsed() >= COMPLAIN_EACH);
                match is_news {
                    true => {
                        self.complained_at = Some(Instant::now());
                        warn!(
                            collector = %self.collector, %error, spans = all,
                            "spans were thrown away: the collector does not take them (telemetry.otlp_endpoint); films do not \
                             wait for it"
                        );
                    }
                    false => debug!(%error, spans = all, "spans were thrown away"),
                }
            }
        }
    }
}

/// What is there to be sent with the first, after a moment.
fn gather(first: Vec<Ended>, queue: &Receiver<Vec<Ended>>, ends: &AtomicBool) -> Vec<Ended> {
    let mut batch = first;
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH && !ends.load(Ordering::Acquire) {
        match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(more) => batch.extend(more),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    batch
}

fn resource(service: &Service) -> Resource {
    let about = service.attributes();
    Resource::builder_empty()
        .with_attributes(about.map(|(key, value)| KeyValue::new(key, value)))
        .build()
}

fn data(span: Ended, scope: &InstrumentationScope) -> SpanData {
    let (trace, id) = span.context.bits();
    let flags = TraceFlags::default().with_sampled(true);
    let attributes = span.attributes.into_iter().map(|(key, value)| match value {
        Value::Text(text) => KeyValue::new(key, text),
        Value::Number(number) => KeyValue::new(key, number),
    });
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(trace),
            SpanId::from(id),
            flags,
            false,
            TraceState::NONE,
        ),
        parent_span_id: span
            .parent
            .map_or(SpanId::INVALID, |parent| SpanId::from(parent.bits().1)),
        parent_span_is_remote: span.is_parent_remote,
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: span.name,
        start_time: span.began,
        end_time: span.ended,
        attributes: attributes.collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: span.failure.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope.clone(),
    }
}
