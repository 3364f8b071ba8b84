//! How often and for how long things are tried.

use std::time::Duration;

/// How often the end of a prompt is asked for: the WebSocket may say nothing of it.
pub(super) const PEEK_EVERY: Duration = Duration::from_millis(500);
/// The same once its end was heard of: the history is written a moment later.
pub(super) const PEEK_SOON: Duration = Duration::from_millis(50);
/// How long after that word the end is asked for so often.
pub(super) const SOON: Duration = Duration::from_secs(3);
/// How often the queue is looked at for a prompt that runs. It is large, as all graphs are in it.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same for one that waits, or while others are at work.
pub(super) const LOOK_WAITING: Duration = Duration::from_secs(1);
/// Pause before it is believed that the server knows nothing of a prompt: it may still be on its way there.
pub(super) const DOUBT: Duration = Duration::from_millis(500);
/// Pause before a server that is away is asked again.
pub(super) const AWAY_PAUSE: Duration = Duration::from_millis(500);
/// A server that is away for so long is started anew, if that is ours to do.
pub(super) const RESTART_AFTER: Duration = Duration::from_secs(10);
/// Prompts wait and none runs for so long: nothing will ever run there.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(10);
/// A prompt that was told to stop goes on for so long: nobody hears there. A node that loads a model stops at its end.
pub(super) const STOP_WITHIN: Duration = Duration::from_secs(60);
/// How often it is told to stop meanwhile.
pub(super) const STOP_AGAIN: Duration = Duration::from_secs(10);
/// How often a take is sent, at most, when the server loses it, or others stop it.
pub(super) const TRIES: u32 = 3;
