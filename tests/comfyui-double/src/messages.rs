//! Who is told what over the sockets.

use serde_json::{Value, json};

use crate::state::{Life, Prompt, lock};

impl Life {
    /// Tells everybody how much there is to do.
    pub(crate) fn tell_status(&self) {
        let now = lock(&self.now);
        let remaining = now.pending.len() + usize::from(now.running.is_some());
        let told = json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": remaining}}}});
        let targets: Vec<_> = now.sockets.values().cloned().collect();
        drop(now);
        if lock(&self.shared.behaviour).mute {
            return;
        }
        for socket in targets {
            let _ = socket.send(told.to_string());
        }
    }

    /// Tells the client of a prompt, if there is one and it is there. Words of progress of a prompt without one go to all, others
    /// to nobody.
    pub(crate) fn tell(&self, prompt: &Prompt, kind: &str, mut data: Value) {
        if lock(&self.shared.behaviour).mute {
            return;
        }
        data["prompt_id"] = json!(prompt.id);
        let told = json!({"type": kind, "data": data}).to_string();
        let now = lock(&self.now);
        match prompt.client() {
            Some(client) => {
                if let Some(socket) = now.sockets.get(client) {
                    let _ = socket.send(told);
                }
            }
            None if matches!(
                kind,
                "progress" | "progress_state" | "execution_interrupted"
            ) =>
            {
                for socket in now.sockets.values() {
                    let _ = socket.send(told.clone());
                }
            }
            None => {}
        }
    }
}
