//! The WebSocket: read in a task of its own that never waits for anybody, as a client that does not read silences all others.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use shared::preview::Preview;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::task::AbortOnDropHandle;

use super::{Client, ComfyError, Word, encode, frame};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The server sends no pings.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long a close is waited for, so that the server has let go of this client's id.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Words that wait to be heard. More are dropped: history tells what counts.
const HELD: usize = 256;
/// An error message with the state of a model in it was seen with 68 kB, and a picture with 70 kB; a server can be set to larger ones.
const FRAME_MAX: usize = 16 << 20;

type Stream = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// What comes over a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A word of the server.
    Word(Word),
    /// It is closed. `cleanly`: the server knows, too, so that the same client id may connect again.
    Closed {
        /// Whether the server knows.
        cleanly: bool,
    },
}

/// A WebSocket that hears of one prompt.
#[derive(Debug)]
pub struct Socket {
    heard: mpsc::Receiver<Heard>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: AbortOnDropHandle<()>,
}

impl Socket {
    /// Connects as that client, to hear of that prompt. No other socket may be open under the same id: the server forgets the
    /// newer one when the older one closes.
    ///
    /// Pictures of the prompt are given to `show`, from the task that reads: it must return at once.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn connect(
        client: &Client,
        id: &str,
        prompt: &str,
        show: impl Fn(Preview) + Send + 'static,
    ) -> Result<Self, ComfyError> {
        // `http` becomes `ws`, `https` becomes `wss`.
        let base = client.url().replacen("http", "ws", 1);
        let url = format!("{base}/ws?clientId={}", encode(id));
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(FRAME_MAX);
        config.max_frame_size = Some(FRAME_MAX);
        let connecting = async {
            let (mut stream, _) = connect_async_with_config(url, Some(config), true).await?;
            // What is sent first is what the server looks for flags in.
            stream.send(Message::Text(flags().into())).await?;
            Ok::<_, Error>(stream)
        };
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        let connected = connected.map_err(|_| ComfyError::TimedOut { what: "WebSocket" })?;
        let stream = connected.map_err(|error| ComfyError::Socket(Box::new(error)))?;
        let (words, heard) = mpsc::channel(HELD);
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let prompt = prompt.to_owned();
        let task = tokio::spawn(async move { read(stream, &prompt, &words, show, stopped).await });
        Ok(Self {
            heard,
            stop: Some(stop),
            task: AbortOnDropHandle::new(task),
        })
    }

    /// The next word. After [`Heard::Closed`] there is none.
    pub async fn next(&mut self) -> Heard {
        let closed = Heard::Closed { cleanly: false };
        self.heard.recv().await.unwrap_or(closed)
    }

    /// Closes it and waits until the server knows, for a moment.
    pub async fn close(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = timeout(CLOSE_TIMEOUT, &mut self.task).await;
    }
}

/// What this client understands: pictures that say which prompt they are of.
fn flags() -> String {
    json!({"type": "feature_flags", "data": {"supports_preview_metadata": true}}).to_string()
}

async fn read(
    mut stream: Stream,
    prompt: &str,
    words: &mpsc::Sender<Heard>,
    show: impl Fn(Preview),
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut awaits_pong = false;
    let mut is_at_work = false;
    let cleanly = loop {
        tokio::select! {
            message = stream.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let word = Word::of(&text, prompt);
                    is_at_work = match word {
                        Word::Node(_) | Word::Step { .. } => true,
                        Word::Ended => false,
                        Word::Else => is_at_work,
                    };
                    // A word too many is dropped.
                    if word != Word::Else {
                        let _ = words.try_send(Heard::Word(word));
                    }
                }
                Some(Ok(Message::Pong(_))) => awaits_pong = false,
                Some(Ok(Message::Binary(bytes))) => match frame::picture(&bytes, prompt, is_at_work) {
                    Ok(preview) => show(preview),
                    Err(why) => tracing::debug!(
                        { shared::fields::REASON } = shared::failure::chain(&why),
                        bytes = bytes.len(),
                        "a frame of ComfyUI shows nothing of the render"
                    ),
                },
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) | None => break true,
                // The server's process is gone, and knows nothing of anybody.
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(_))) => break true,
                Some(Err(Error::Io(error))) => break is_told_to_both(&error),
                Some(Err(_)) => break false,
            },
            _ = pings.tick() => {
                if awaits_pong || stream.send(Message::Ping(Vec::new().into())).await.is_err() {
                    break false;
                }
                awaits_pong = true;
            }
            _ = &mut stopped => {
                let _ = stream.close(None).await;
                // The server's answer to it is the last message.
                while let Some(Ok(_)) = stream.next().await {}
                return;
            }
        }
    };
    drop(stream);
    let _ = words.send(Heard::Closed { cleanly }).await;
}

/// Whether such an end of a connection is one at both its sides.
fn is_told_to_both(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::UnexpectedEof
    )
}
