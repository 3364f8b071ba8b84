//! A look at a ComfyUI server: what it is, and what it has.

use std::time::Duration;

use serde_json::Value;
use shared::byte_size::ByteSize;
use shared::http;
use url::Url;
use video_worker::workflows::ObjectInfo;

/// Longest silence in an answer. A server with many packages of nodes takes seconds to list them.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest answer, in bytes. A bare server's list of nodes has 0.7 MB.
const ANSWER_MAX: usize = 128 << 20;

/// What a server said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// Its version, as `0.33.0`.
    pub(crate) version: String,
    /// What it computes on, the first one first.
    pub(crate) devices: Vec<Device>,
    /// Memory of its host.
    pub(crate) ram: ByteSize,
    /// Its node classes.
    pub(crate) nodes: ObjectInfo,
}

/// What a server computes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its name.
    pub(crate) name: String,
    /// Its memory; none if it is no card.
    pub(crate) memory: Option<ByteSize>,
}

/// Why nothing was seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// The client itself could not be set up.
    #[error("cannot set up the HTTP client")]
    SetUp(#[source] reqwest::Error),
    /// Nobody answers there.
    #[error("cannot reach ComfyUI at {url} (is it running, and does it listen there?)")]
    Unreachable {
        /// Where.
        url: Url,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// What answers is no ComfyUI server.
    #[error("{url} answered {what}; is that a ComfyUI server?")]
    Foreign {
        /// Where.
        url: Url,
        /// What it answered.
        what: String,
    },
}

/// Asks a server what it is and what it has.
///
/// # Errors
/// If there is none, or something else.
pub(crate) async fn look(url: &Url) -> Result<Seen, LookError> {
    let http = http::client_of(url)
        .read_timeout(READ_TIMEOUT)
        .build()
        .map_err(LookError::SetUp)?;
    let stats_url = url
        .join("system_stats")
        .expect("a server's URL can be joined to");
    let stats = ask(&http, stats_url.clone()).await?;
    let (version, devices, ram) = read_stats(&stats).ok_or_else(|| LookError::Foreign {
        url: stats_url,
        what: "without a version of ComfyUI".to_owned(),
    })?;
    let nodes_url = url
        .join("object_info")
        .expect("a server's URL can be joined to");
    let nodes = ask(&http, nodes_url.clone()).await?;
    let nodes = ObjectInfo::parse(&nodes).map_err(|error| LookError::Foreign {
        url: nodes_url,
        what: format!("something else than its nodes ({error})"),
    })?;
    Ok(Seen {
        version,
        devices,
        ram,
        nodes,
    })
}

async fn ask(http: &reqwest::Client, url: Url) -> Result<Value, LookError> {
    let foreign = |what: String| LookError::Foreign {
        url: url.clone(),
        what,
    };
    let unreachable = |source| LookError::Unreachable {
        url: url.clone(),
        source,
    };
    let mut answer = http.get(url.clone()).send().await.map_err(unreachable)?;
    if !answer.status().is_success() {
        return Err(foreign(format!("with status {}", answer.status())));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + piece.len() > ANSWER_MAX {
            return Err(foreign("without end".to_owned()));
        }
        body.extend_from_slice(&piece);
    }
    serde_json::from_slice(&body).map_err(|_| foreign("something that is no JSON".to_owned()))
}

/// Version, devices and memory of the host, if there is a version.
fn read_stats(stats: &Value) -> Option<(String, Vec<Device>, ByteSize)> {
    let version = stats["system"]["comfyui_version"].as_str()?;
    let device = |device: &Value| Device {
        name: device["name"].as_str().unwrap_or("a device").to_owned(),
        // Of a server without a card, these figures are the memory of its host.
        memory: (device["type"] != "cpu")
            .then(|| device["vram_total"].as_u64().map(ByteSize::bytes))
            .flatten(),
    };
    let devices = stats["devices"]
        .as_array()
        .into_iter()
        .flatten()
        .map(device);
    let ram = stats["system"]["ram_total"].as_u64().unwrap_or(0);
    Some((version.to_owned(), devices.collect(), ByteSize::bytes(ram)))
}

impl Seen {
    /// In a line.
    pub(crate) fn line(&self) -> String {
        let device = |device: &Device| match device.memory {
            Some(memory) => format!("{} ({memory})", device.name),
            None => format!("{} (no card)", device.name),
        };
        let devices: Vec<_> = self.devices.iter().map(device).collect();
        format!(
            "ComfyUI {}, {}, host memory {}",
            self.version,
            devices.join(", "),
            self.ram
        )
    }

    /// The memory of its first card.
    pub(crate) fn card(&self) -> Option<ByteSize> {
        self.devices.first()?.memory
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use axum::routing::get;
    use serde_json::json;

    use super::*;

    /// Node classes of a server that has everything, written by hand.
    pub(crate) const OBJECT_INFO: &str =
        include_str!("../../video-worker/src/workflows/check/object_info.json");

    /// What a server with a card of 24 GB says of itself.
    pub(crate) fn stats() -> Value {
        json!({
            "system": {"os": "linux", "ram_total": 68_719_476_736_u64, "comfyui_version": "0.33.0"},
            "devices": [{"name": "cuda:0 NVIDIA GeForce RTX 4090", "type": "cuda", "vram_total": 25_757_220_864_u64}]
        })
    }

    /// A server that gives these two answers. It ends with the test.
    pub(crate) async fn serve(
        stats: impl IntoResponse + Clone + Send + Sync + 'static,
        nodes: impl IntoResponse + Clone + Send + Sync + 'static,
    ) -> Url {
        let router = Router::new()
            .route("/system_stats", get(move || async move { stats }))
            .route("/object_info", get(move || async move { nodes }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url.parse().unwrap()
    }

    /// A URL where nobody listens.
    pub(crate) async fn nobody() -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}/", listener.local_addr().unwrap())
            .parse()
            .unwrap()
    }

    #[tokio::test]
    async fn a_server_tells_its_version_its_card_and_its_nodes() {
        let url = serve(stats().to_string(), OBJECT_INFO).await;
        let seen = look(&url).await.unwrap();
        assert_eq!(
            seen.line(),
            "ComfyUI 0.33.0, cuda:0 NVIDIA GeForce RTX 4090 (24.0 GiB), host memory 64.0 GiB"
        );
        assert!(!seen.nodes.is_empty());
        assert_eq!(seen.card(), Some(ByteSize::bytes(25_757_220_864)));
    }

    #[test]
    fn the_memory_of_a_host_is_no_card() {
        let mut stats = stats();
        stats["devices"][0]["type"] = json!("cpu");
        let (_, devices, _) = read_stats(&stats).unwrap();
        assert_eq!(devices[0].memory, None);
    }

    #[tokio::test]
    async fn what_is_no_comfyui_is_told_as_such() {
        let nobody = look(&nobody().await).await.unwrap_err();
        assert!(
            nobody
                .to_string()
                .starts_with("cannot reach ComfyUI at http://127.0.0.1"),
            "{nobody}"
        );
        let said = async |url: Url| look(&url).await.unwrap_err().to_string();
        let stats = stats().to_string();
        for (url, expected) in [
            (
                serve("<html>", OBJECT_INFO).await,
                "system_stats answered something that is no JSON; is that a ComfyUI server?",
            ),
            (
                serve(r#"{"status": "ok"}"#, OBJECT_INFO).await,
                "system_stats answered without a version of ComfyUI",
            ),
            (
                serve((StatusCode::INTERNAL_SERVER_ERROR, "500"), OBJECT_INFO).await,
                "answered with status 500",
            ),
            (
                serve((StatusCode::FOUND, [("location", "/")]), OBJECT_INFO).await,
                "answered with status 302",
            ),
            (
                serve(stats.clone(), "{").await,
                "object_info answered something that is no JSON",
            ),
            (
                serve(stats.clone(), r#"{"error": "no"}"#).await,
                "object_info answered something else than its nodes",
            ),
        ] {
            let said = said(url).await;
            assert!(said.contains(expected), "{said}");
        }
    }
}
