//! Files to and from the server, piece by piece: none of them is ever held whole.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Body, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::http::Reply;
use super::{ANSWER_TIMEOUT, Client, ComfyError, OutputFile, encode};
use crate::comfyui::tag::FOLDER;

/// How long the next piece of a file may take.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
/// An upload of some megabytes takes no longer.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// What stands between the parts of an upload. It is not in an image: a PNG of ours has no text of that length.
const BOUNDARY: &str = "callsheet-0f3c1d2e4b5a69788796a5b4c3d2e1f0";

impl Client {
    /// Uploads a PNG into our folder of the server's input folder. Returns what a `LoadImage` node calls it.
    ///
    /// # Errors
    /// If the file cannot be read, or the server does not take it.
    pub async fn upload_image(&self, path: &Path, name: &str) -> Result<String, ComfyError> {
        let what = "upload";
        let cannot_read = |source| ComfyError::File {
            path: path.to_owned(),
            source,
        };
        let file = tokio::fs::File::open(path).await.map_err(cannot_read)?;
        let size = file.metadata().await.map_err(cannot_read)?.len();
        let field = |name: &str, value: &str| {
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
        };
        let head = format!(
            "{}{}{}--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"{name}\"\r\nContent-Type: \
             image/png\r\n\r\n",
            field("subfolder", FOLDER),
            field("type", "input"),
            field("overwrite", "true"),
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let length = head.len() as u64 + size + tail.len() as u64;
        let once = |text: String| stream::iter([Ok::<_, io::Error>(text.into())]);
        let parts = once(head).chain(ReaderStream::new(file)).chain(once(tail));
        let sent = self
            .http
            .post(self.at("upload/image"))
            .header(
                CONTENT_TYPE,
                format!("multipart/form-data; boundary={BOUNDARY}"),
            )
            .header(reqwest::header::CONTENT_LENGTH, length)
            .body(Body::wrap_stream(parts))
            .timeout(UPLOAD_TIMEOUT)
            .send()
            .await;
        let response = sent.map_err(|error| ComfyError::of_sending(what, self.url(), error))?;
        let answer = Reply::read(response, what, self.url()).await?.json()?;
        let text = |key: &str| answer[key].as_str();
        match (text("name"), text("subfolder").unwrap_or_default()) {
            (Some(name), "") => Ok(name.to_owned()),
            // It may have chosen another name. Both sorts of system take this separator.
            (Some(name), folder) => Ok(format!("{folder}/{name}")),
            (None, _) => Err(ComfyError::Unreadable {
                what,
                why: "it names no file".to_owned(),
            }),
        }
    }

    /// Whether a file is there.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn has(&self, file: &OutputFile) -> Result<bool, ComfyError> {
        let what = "view";
        let sent = self
            .http
            .head(self.view(file))
            .timeout(ANSWER_TIMEOUT)
            .send()
            .await;
        let response = sent.map_err(|error| ComfyError::of_sending(what, self.url(), error))?;
        match response.status() {
            status if status.is_success() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(Reply::read(response, what, self.url()).await?.unexpected()),
        }
    }

    /// Downloads a file into a new local one, as it comes. Returns its size in bytes.
    ///
    /// # Errors
    /// [`ComfyError::NoFile`] if it is not there; others if it does not come whole or cannot be written.
    pub async fn download(&self, file: &OutputFile, to: &Path) -> Result<u64, ComfyError> {
        let what = "download";
        let sent = timeout(ANSWER_TIMEOUT, self.http.get(self.view(file)).send()).await;
        let sent = sent.map_err(|_| ComfyError::TimedOut { what })?;
        let response = sent.map_err(|error| ComfyError::of_sending(what, self.url(), error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(ComfyError::NoFile(file.name.clone())),
            _ => return Err(Reply::read(response, what, self.url()).await?.unexpected()),
        }
        let announced = response.content_length();
        let cannot_write = |source| ComfyError::File {
            path: to.to_owned(),
            source,
        };
        let mut local = tokio::fs::File::create(to).await.map_err(cannot_write)?;
        let mut size = 0_u64;
        let mut pieces = response.bytes_stream();
        loop {
            let piece = timeout(PIECE_TIMEOUT, pieces.next()).await;
            let Some(piece) = piece.map_err(|_| ComfyError::TimedOut { what })? else {
                break;
            };
            let piece = piece.map_err(|error| ComfyError::of_sending(what, self.url(), error))?;
            local.write_all(&piece).await.map_err(cannot_write)?;
            size += piece.len() as u64;
        }
        local.flush().await.map_err(cannot_write)?;
        match announced.is_none_or(|announced| announced == size) && size > 0 {
            true => Ok(size),
            false => Err(ComfyError::Unreadable {
                what,
                why: format!("{size} bytes came instead of {}", announced.unwrap_or(0)),
            }),
        }
    }

    fn view(&self, file: &OutputFile) -> String {
        let OutputFile { name, subfolder } = file;
        let (name, subfolder) = (encode(name), encode(subfolder));
        self.at(&format!(
            "view?filename={name}&subfolder={subfolder}&type=output"
        ))
    }
}
