//! What the server has in hand. Pure.

use serde_json::Value;
use shared::time::Timestamp;

use super::error::ComfyError;
use crate::comfyui::tag::{EXTRA, SENT_AT, Tag};

/// What runs and what waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Queue {
    /// What runs: one at most.
    pub running: Vec<Queued>,
    /// What waits, in no order that could be relied on.
    pub pending: Vec<Queued>,
}

/// A prompt in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its id.
    pub prompt: String,
    /// The WebSocket that hears of it.
    pub client: Option<String>,
    /// Whose work it is, if a worker of ours has sent it.
    pub tag: Option<Tag>,
    /// When that worker sent it, by its clock.
    pub sent_at: Option<Timestamp>,
}

impl Queue {
    /// Reads the server's answer.
    ///
    /// # Errors
    /// If it is no such answer.
    pub fn read(body: &Value) -> Result<Self, ComfyError> {
        let list = |key: &str| {
            let list = body[key].as_array().ok_or_else(|| ComfyError::Unreadable {
                what: "queue",
                why: format!("it has no list `{key}`"),
            })?;
            list.iter().map(Queued::read).collect::<Result<_, _>>()
        };
        Ok(Self {
            running: list("queue_running")?,
            pending: list("queue_pending")?,
        })
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.pending.is_empty()
    }
}

impl Queued {
    fn read(item: &Value) -> Result<Self, ComfyError> {
        let prompt = item[1].as_str().ok_or_else(|| ComfyError::Unreadable {
            what: "queue",
            why: "an entry has no prompt id".to_owned(),
        })?;
        let extra = &item[3];
        Ok(Self {
            prompt: prompt.to_owned(),
            client: extra["client_id"].as_str().map(ToOwned::to_owned),
            tag: serde_json::from_value(extra[EXTRA].clone()).ok(),
            sent_at: extra[EXTRA][SENT_AT].as_i64().map(Timestamp::from_millis),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::ids::{JobId, Take};

    use super::*;

    #[test]
    fn work_of_ours_is_told_from_that_of_others() {
        let tag = Tag::first(JobId::from_u128(1), Take::FIRST);
        let mut extra = json!({"client_id": "c", "callsheet": tag});
        extra["callsheet"]["sent_at_ms"] = json!(1_795_416_183_972_i64);
        let ours = json!([7, "a", {}, extra, ["save"]]);
        let others = json!([100.0, "None", {}, {}, ["3"], {"new": 1}]);
        let queue = Queue::read(&json!({"queue_running": [ours], "queue_pending": [others]}));
        let queue = queue.unwrap();
        assert_eq!(queue.running[0].tag, Some(tag));
        assert_eq!(queue.running[0].client.as_deref(), Some("c"));
        let sent_at = Timestamp::from_millis(1_795_416_183_972);
        assert_eq!(queue.running[0].sent_at, Some(sent_at));
        assert_eq!(
            (queue.pending[0].tag, queue.pending[0].prompt.as_str()),
            (None, "None")
        );
        for odd in [
            json!({}),
            json!([]),
            json!({"queue_running": [3], "queue_pending": []}),
        ] {
            assert!(Queue::read(&odd).is_err(), "{odd}");
        }
    }
}
