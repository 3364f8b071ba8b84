//! `/ws`.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures::future::pending;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::state::{Flavour, Life, Listener, lock};

pub(crate) async fn serve(life: Arc<Life>, mut socket: WebSocket, id: String) {
    let (hears, mut told) = mpsc::channel(1);
    let (remaining, node) = {
        let mut now = lock(&life.now);
        // The older one of the same id stays open and hears nothing more.
        let listener = Listener {
            hears,
            takes_metadata: false,
        };
        now.sockets.insert(id.clone(), listener);
        let remaining = now.pending.len() + usize::from(now.running.is_some());
        let running = now.running.as_ref();
        let ours = running.filter(|running| running.prompt.client() == Some(id.as_str()));
        (remaining, ours.and_then(|running| running.node.clone()))
    };
    let mute = lock(&life.shared.behaviour).mute;
    let mut greetings = vec![
        json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": remaining}}, "sid": id}}),
    ];
    greetings.extend(node.map(|node| json!({"type": "executing", "data": {"node": node}})));
    for greeting in greetings.into_iter().filter(|_| !mute) {
        if socket
            .send(Message::Text(greeting.to_string().into()))
            .await
            .is_err()
        {
            break;
        }
    }
    let mut first = true;
    loop {
        tokio::select! {
            told = async {
                match told.recv().await {
                    Some(told) => told,
                    // Forgotten: open, and silent for ever.
                    None => pending().await,
                }
            } => {
                if socket.send(told).await.is_err() {
                    break;
                }
            }
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(text))) => {
                    let flags = std::mem::take(&mut first).then(|| flags(&text, life.shared.flavour));
                    if let Some(flags) = flags.flatten() {
                        if let Some(listener) = lock(&life.now).sockets.get_mut(&id) {
                            listener.takes_metadata = takes_metadata(&text);
                        }
                        let _ = socket.send(Message::Text(flags.to_string().into())).await;
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
        }
    }
    // Whichever socket of that id closes, the one that is known is forgotten.
    lock(&life.now).sockets.remove(&id);
}

/// Whether a client says that it takes what is said beside pictures.
fn takes_metadata(flags: &str) -> bool {
    let flags: Value = serde_json::from_str(flags).unwrap_or_default();
    flags["data"]["supports_preview_metadata"] == true
}

/// The answer to a client's flags.
fn flags(text: &str, flavour: Flavour) -> Option<Value> {
    let said: Value = serde_json::from_str(text).ok()?;
    let data = match flavour {
        Flavour::Old => json!({"supports_preview_metadata": true, "max_upload_size": 104_857_600}),
        Flavour::New => {
            json!({"supports_preview_metadata": true, "supports_model_type_tags": true, "max_upload_size": 104_857_600, "node_replacements": true, "assets": false})
        }
    };
    (said["type"] == "feature_flags").then(|| json!({"type": "feature_flags", "data": data}))
}
