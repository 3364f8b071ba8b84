//! The exporter: OTLP over HTTP, on a thread of its own.
//!
//! What has ended is put into a queue with a bound. When the collector is away or slow, the queue fills up and what comes then
//! is thrown away and counted; nobody ever waits for it. `opentelemetry-otlp` packs, sends and tries again.

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
use tokio::runtime::Runtime;
use tracing::{debug, warn};
use url::Url;

use super::{Ended, Fate, Kind, Value, count};
use crate::telemetry::{Service, TelemetryError};

/// Groups of spans that may wait to be sent. The largest, an attempt's, has some twenty spans.
const QUEUE: usize = 2_048;
/// Spans that are sent together at most, but for what belongs to the last of them.
const BATCH: usize = 512;
/// How long a span waits for others to be sent with: a killed process loses no more than this.
const GATHER: Duration = Duration::from_millis(500);
/// Longest wait for one answer of the collector, and for all tries to send one batch.
const SEND_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for what is left when the program ends.
const LAST_LIMIT: Duration = Duration::from_secs(3);
/// How often a collector that is away is told of again.
const COMPLAIN_EACH: Duration = Duration::from_secs(60);

/// Sends what has ended, until it is dropped: then it sends what is left, for some seconds at most.
#[derive(Debug)]
pub(crate) struct Exporter {
    wake: SyncSender<Vec<Ended>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Starts the thread, and has all spans of this process go to it.
    pub(crate) fn start(service: &Service, collector: &Url) -> Result<Self, TelemetryError> {
        let failed = |error: &dyn std::error::Error| TelemetryError::Exporter(error.to_string());
        // The client wants to know how to do TLS, even where it does none.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder()
            .timeout(SEND_LIMIT)
            .build()
            .map_err(|error| failed(&error))?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces_of(collector))
            .with_timeout(SEND_LIMIT)
            .build()
            .map_err(|error| failed(&error))?;
        exporter.set_resource(&resource(service));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error))?;
        let (queue, ended) = sync_channel(QUEUE);
        let ends = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            exporter,
            runtime,
            scope: InstrumentationScope::builder("callsheet")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            collector: collector.clone(),
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
        let is_first = super::set_sink(Box::new(move |spans: Vec<Ended>| {
            let all = spans.len();
            if into.try_send(spans).is_err() {
                count(Fate::Dropped, all);
            }
        }));
        let exporter = Self {
            wake: queue,
            ends,
            thread: Some(thread),
        };
        match is_first {
            true => Ok(exporter),
            false => Err(TelemetryError::ExporterTwice),
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        // It may wait for something to send; if the queue is full, it does not.
        let _ = self.wake.try_send(Vec::new());
        let Some(thread) = self.thread.take() else {
            return;
        };
        let deadline = Instant::now() + LAST_LIMIT;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

struct Sender {
    exporter: SpanExporter,
    runtime: Runtime,
    scope: InstrumentationScope,
    collector: Url,
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
                            collector = %shown(&self.collector), %error, spans = all,
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

/// Where a collector takes traces. What people are given is often the address without the path.
fn traces_of(collector: &Url) -> String {
    match collector.path() {
        path if path.ends_with("/v1/traces") => collector.to_string(),
        _ => format!("{}/v1/traces", collector.as_str().trim_end_matches('/')),
    }
}

/// The address without what may be secret in it.
fn shown(collector: &Url) -> String {
    let mut shown = collector.clone();
    // Only a URL without a host refuses, and that one was refused as a setting.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    shown.to_string()
}

fn resource(service: &Service) -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", service.name.clone()),
            KeyValue::new("service.namespace", "callsheet"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", service.instance.clone()),
        ])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_with_or_without_the_path() {
        for (given, used) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://c:4318/", "http://c:4318/v1/traces"),
            ("https://c/otlp", "https://c/otlp/v1/traces"),
            ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
        ] {
            assert_eq!(traces_of(&given.parse().unwrap()), used);
        }
        let secret: Url = "https://me:word@c/otlp?key=word".parse().unwrap();
        assert!(!shown(&secret).contains("word"));
    }
}
