//! An OpenTelemetry collector of a test's own: takes OTLP over HTTP and keeps the spans.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
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
}

/// A collector. It ends with this value.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Arc<watch::Sender<Vec<Seen>>>,
    _serving: AbortOnDropHandle<()>,
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
        Self::listen((Ipv4Addr::LOCALHOST, 0).into(), temper).await
    }

    /// Starts one that listens there.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn listen(address: SocketAddr, temper: Temper) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let spans = Arc::new(watch::Sender::default());
        let serving = tokio::spawn(serve(listener, temper, Arc::clone(&spans)));
        Ok(Self {
            address,
            spans,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// For the settings.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.spans.borrow().clone()
    }

    /// Those that came after the first `known`, as soon as there are any.
    pub async fn spans_after(&self, known: usize) -> Vec<Seen> {
        let mut spans = self.spans.subscribe();
        match spans.wait_for(|spans| spans.len() > known).await {
            Ok(spans) => spans[known..].to_vec(),
            // The other end is ours.
            Err(_) => Vec::new(),
        }
    }
}

async fn serve(listener: TcpListener, temper: Temper, spans: Arc<watch::Sender<Vec<Seen>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let spans = Arc::clone(&spans);
        connections.spawn(async move {
            // Who breaks off is heard of by what is missing.
            let _ = converse(stream, temper, &spans).await;
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    temper: Temper,
    spans: &watch::Sender<Vec<Seen>>,
) -> Result<()> {
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
        let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
        anyhow::ensure!(text.starts_with("post /v1/traces "), "{text}");
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .context("a length")?;
        let end = head + length.trim().parse::<usize>()?;
        while read.len() < end {
            anyhow::ensure!(stream.read_buf(&mut read).await? > 0, "it breaks off");
        }
        if temper == Temper::Silent {
            std::future::pending::<()>().await;
        }
        let request = ExportTraceServiceRequest::decode(&read[head..end])?;
        keep(request, spans);
        read.drain(..end);
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn keep(request: ExportTraceServiceRequest, into: &watch::Sender<Vec<Seen>>) {
    for resource in request.resource_spans {
        let about = texts(
            resource
                .resource
                .map(|it| it.attributes)
                .unwrap_or_default(),
        );
        let service = about.get("service.name").cloned().unwrap_or_default();
        let spans = resource.scope_spans.into_iter().flat_map(|it| it.spans);
        into.send_modify(|into| into.extend(spans.map(|span| Seen::of(&service, span))));
    }
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
