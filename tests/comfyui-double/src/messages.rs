//! Who is told what over the sockets. All of it goes through one loop that waits for each socket.

use std::sync::Arc;

use axum::extract::ws::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::picture;
use crate::state::{Life, Prompt, lock};

/// Something for the client of that id.
pub(crate) type ToClient = (String, Message);

/// Hands over what is told, one after the other, for ever. A client that does not read holds up all others.
pub(crate) async fn deliver(life: Arc<Life>, mut told: mpsc::UnboundedReceiver<ToClient>) {
    while let Some((client, message)) = told.recv().await {
        let listener = lock(&life.now).sockets.get(&client).cloned();
        if let Some(listener) = listener {
            // One that has gone hears nothing.
            let _ = listener.hears.send(message).await;
        }
    }
}

impl Life {
    /// Tells everybody how much there is to do.
    pub(crate) fn tell_status(&self) {
        let remaining = {
            let now = lock(&self.now);
            now.pending.len() + usize::from(now.running.is_some())
        };
        let told = json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": remaining}}}});
        self.tell_all(&Message::Text(told.to_string().into()));
    }

    /// Tells the client of a prompt, if there is one and it is there. Words of progress of a prompt without one go to all, others
    /// to nobody.
    pub(crate) fn tell(&self, prompt: &Prompt, kind: &str, mut data: Value) {
        data["prompt_id"] = json!(prompt.id);
        let told = json!({"type": kind, "data": data}).to_string();
        let told = Message::Text(told.into());
        match prompt.client() {
            Some(client) => self.tell_one(client, told),
            None if matches!(
                kind,
                "progress" | "progress_state" | "execution_interrupted"
            ) =>
            {
                self.tell_all(&told);
            }
            None => {}
        }
    }

    /// Shows a picture of a node to the client of a prompt, if it takes what is said beside one, or if it does not. That of a
    /// prompt without a client is shown to all, with nothing beside it.
    pub(crate) fn show(&self, prompt: &Prompt, node: &str, with_metadata: bool) {
        let behaviour = lock(&self.shared.behaviour).clone();
        if !picture::is_shown(&behaviour, self.shared.flavour, prompt) {
            return;
        }
        let frame = picture::frame(&behaviour, &prompt.id, node, with_metadata);
        let shown = Message::Binary(frame);
        match prompt.client() {
            Some(client) => {
                let listener = lock(&self.now).sockets.get(client).cloned();
                if listener.is_some_and(|it| it.takes_metadata == with_metadata) {
                    self.tell_one(client, shown);
                }
            }
            None if !with_metadata => self.tell_all(&shown),
            None => {}
        }
    }

    fn tell_all(&self, told: &Message) {
        let clients: Vec<_> = lock(&self.now).sockets.keys().cloned().collect();
        for client in clients {
            self.tell_one(&client, told.clone());
        }
    }

    fn tell_one(&self, client: &str, told: Message) {
        if lock(&self.shared.behaviour).mute {
            return;
        }
        // The loop ends with this life.
        let _ = self.told.send((client.to_owned(), told));
    }
}
