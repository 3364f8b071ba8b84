//! An OpenTelemetry collector of a test's own: takes OTLP over HTTP and keeps the spans and the metrics.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, NumberDataPoint};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// How a collector answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// At once.
    Takes,
    /// It takes the connection, and never answers.
    Silent,
    /// It keeps nothing, and answers with success and a page for people.
    Rubbish,
}

/// A collector. It ends with this value.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    kept: Arc<watch::Sender<Kept>>,
    _serving: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Seen>,
    pushes: Vec<Push>,
    visitors: BTreeSet<(String, String)>,
}

/// Metrics that were pushed together.
#[derive(Debug, Clone)]
pub struct Push {
    /// Whose they are, as `service.name`.
    pub about: HashMap<String, String>,
    /// They.
    pub metrics: Vec<Metric>,
}

impl Push {
    /// Whose it is, as `callsheet-coordinator`.
    pub fn service(&self) -> &str {
        self.about.get("service.name").map_or("", String::as_str)
    }

    /// The values by the names that a page for Prometheus has for them.
    pub fn values(&self) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for metric in &self.metrics {
            let name = &metric.name;
            let mut numbers = |points: &[NumberDataPoint]| {
                for point in points {
                    let Some(AsDouble(value)) = point.value else {
                        continue;
                    };
                    values.insert(series(name, &point.attributes, None), value);
                }
            };
            match &metric.data {
                Some(Data::Sum(sum)) => numbers(&sum.data_points),
                Some(Data::Gauge(gauge)) => numbers(&gauge.data_points),
                Some(Data::Histogram(histogram)) => {
                    for point in &histogram.data_points {
                        values.extend(of_histogram(name, point));
                    }
                }
                _ => {}
            }
        }
        values
    }
}

#[expect(clippy::cast_precision_loss, reason = "no test counts so far")]
fn of_histogram(name: &str, point: &HistogramDataPoint) -> Vec<(String, f64)> {
    let named =
        |end: &str, bound: Option<&str>| series(&format!("{name}{end}"), &point.attributes, bound);
    let mut values = vec![
        (named("_count", None), point.count as f64),
        (named("_sum", None), point.sum.unwrap_or_default()),
    ];
    let bounds = point.explicit_bounds.iter().map(ToString::to_string);
    let mut so_far = 0;
    for (bound, here) in bounds.chain(["+Inf".to_owned()]).zip(&point.bucket_counts) {
        so_far += here;
        values.push((named("_bucket", Some(&bound)), so_far as f64));
    }
    values
}

fn series(name: &str, attributes: &[KeyValue], bound: Option<&str>) -> String {
    let text = |it: &KeyValue| texts(vec![it.clone()]).remove(&it.key).unwrap_or_default();
    let labels = attributes
        .iter()
        .map(|it| format!("{}=\"{}\"", it.key, text(it)))
        .chain(bound.map(|bound| format!("le=\"{bound}\"")));
    match labels.collect::<Vec<_>>() {
        labels if labels.is_empty() => name.to_owned(),
        labels => format!("{name}{{{}}}", labels.join(",")),
    }
}

/// A span that was taken.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whose it is, as `callsheet-coordinator`.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent's id; empty if it has none.
    pub parent: String,
    /// When it began and ended, in nanoseconds since 1970.
    pub time: (u64, u64),
    /// Its attributes, as text.
    pub attributes: HashMap<String, String>,
    /// Whether it failed.
    pub failed: bool,
}

impl Seen {
    /// An attribute; empty if it has none of that name.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    fn of(service: &str, span: Span) -> Self {
        const ERROR: i32 = 2;
        Self {
            service: service.to_owned(),
            name: span.name,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            time: (span.start_time_unix_nano, span.end_time_unix_nano),
            attributes: texts(span.attributes),
            failed: span.status.is_some_and(|status| status.code == ERROR),
        }
    }
}

impl Collector {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(temper: Temper) -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into(), temper).await
    }

    /// Starts one there, where another was.
    ///
    /// # Errors
    /// If somebody else is there.
    pub async fn start_at(address: SocketAddr, temper: Temper) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let kept = Arc::new(watch::Sender::default());
        let serving = tokio::spawn(serve(listener, temper, Arc::clone(&kept)));
        Ok(Self {
            address,
            kept,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where it is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// For the settings.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.kept.borrow().spans.clone()
    }

    /// Those that came after the first `known`, as soon as there are any.
    pub async fn spans_after(&self, known: usize) -> Vec<Seen> {
        let mut kept = self.kept.subscribe();
        match kept.wait_for(|kept| kept.spans.len() > known).await {
            Ok(kept) => kept.spans[known..].to_vec(),
            // The other end is ours.
            Err(_) => Vec::new(),
        }
    }

    /// All metrics so far of one service, in the order in which they came.
    pub fn pushes_of(&self, service: &str) -> Vec<Push> {
        let kept = self.kept.borrow();
        let own = kept.pushes.iter().filter(|it| it.service() == service);
        own.cloned().collect()
    }

    /// What was asked for, by whom: paths, and what `Authorization` said.
    pub fn visitors(&self) -> BTreeSet<(String, String)> {
        self.kept.borrow().visitors.clone()
    }
}

async fn serve(listener: TcpListener, temper: Temper, kept: Arc<watch::Sender<Kept>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        connections.spawn(async move {
            // Who breaks off is heard of by what is missing.
            let _ = converse(stream, temper, &kept).await;
        });
    }
}

async fn converse(mut stream: TcpStream, temper: Temper, kept: &watch::Sender<Kept>) -> Result<()> {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = find(&read, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).into_owned();
        let path = text
            .strip_prefix("POST ")
            .and_then(|rest| rest.split([' ', '?']).next())
            .context("a path")?;
        let end = head + header(&text, "content-length").parse::<usize>()?;
        while read.len() < end {
            anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "it breaks off");
        }
        if temper == Temper::Silent {
            std::future::pending::<()>().await;
        }
        let (sort, answer) = match temper {
            Temper::Rubbish => ("text/html", "<html>It works!</html>"),
            Temper::Takes | Temper::Silent => {
                let visitor = (path.to_owned(), header(&text, "authorization").to_owned());
                kept.send_if_modified(|kept| kept.visitors.insert(visitor));
                keep(path, &read[head..end], kept)?;
                ("application/x-protobuf", "")
            }
        };
        read.drain(..end);
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {sort}\r\ncontent-length: {length}\r\n\r\n{answer}"
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// What a header says; empty if it is not there.
fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let mut found = headers.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map_or("", |(_, value)| value.trim())
}

fn keep(path: &str, body: &[u8], kept: &watch::Sender<Kept>) -> Result<()> {
    let about = |it: Option<Resource>| texts(it.map(|it| it.attributes).unwrap_or_default());
    match path {
        "/v1/traces" => {
            let sent = ExportTraceServiceRequest::decode(body)?.resource_spans;
            let spans = sent.into_iter().flat_map(|resource| {
                let about = about(resource.resource);
                let service = about.get("service.name").cloned().unwrap_or_default();
                let spans = resource.scope_spans.into_iter().flat_map(|it| it.spans);
                spans.map(move |span| Seen::of(&service, span))
            });
            kept.send_modify(|kept| kept.spans.extend(spans));
        }
        "/v1/metrics" => {
            let sent = ExportMetricsServiceRequest::decode(body)?.resource_metrics;
            let pushes = sent.into_iter().map(|resource| Push {
                about: about(resource.resource),
                metrics: resource
                    .scope_metrics
                    .into_iter()
                    .flat_map(|it| it.metrics)
                    .collect(),
            });
            kept.send_modify(|kept| kept.pushes.extend(pushes));
        }
        _ => anyhow::bail!("nothing is taken at {path}"),
    }
    Ok(())
}

fn texts(attributes: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value?.value? {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    attributes
        .into_iter()
        .filter_map(|it| Some((it.key, text(it.value)?)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
