//! Keeps two connections to the broker: one to publish, one for everything else, because a broker that is short of memory
//! or disk silences a connection that publishes.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{Channel, Connection, ConnectionProperties, ConnectionState, ErrorKind, Event};
use tokio::sync::{Notify, OnceCell, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::declare::Known;
use super::target::{ConnectError, Target};
use crate::broker::Link;
use crate::tls;

/// Longest wait for a connection to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for a connection to be closed in order.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);
/// How often a connection on which the broker is silent is looked at, and for how long at most.
const LOOK_EACH: Duration = Duration::from_secs(1);
const SILENT_LIMIT: Duration = Duration::from_mins(5);
/// Wait before the first try to connect again, and the longest one.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// How long a session must live for the next one to be made without delay. One that ends sooner may have ended by what it
/// read, which is waiting for the next one.
const SOUND: Duration = Duration::from_secs(10);
/// Channels that are kept for the next subscription at most.
const IDLE_CHANNELS: usize = 16;

/// The current session, if there is one.
pub(super) type Sessions = watch::Receiver<Option<Arc<Session>>>;

/// The broker has been closed by us.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the broker has been closed")]
pub(super) struct Closed;

/// The current session; waits for one.
pub(super) async fn current(sessions: &mut Sessions) -> Result<Arc<Session>, Closed> {
    let session = sessions
        .wait_for(Option::is_some)
        .await
        .map_err(|_| Closed)?;
    session.clone().ok_or(Closed)
}

/// Both connections, from when they were made to when either is lost.
pub(super) struct Session {
    pub(super) publishing: Connection,
    /// To consume, to ack and to declare.
    pub(super) consuming: Connection,
    /// What is there.
    pub(super) known: tokio::sync::Mutex<Known>,
    /// Set once it is known that the broker delivers answers.
    pub(super) answers: OnceCell<()>,
    /// The session before this one did not live long: until then, what anyone may write is read one by one.
    pub(super) careful_until: Option<Instant>,
    /// Fires when either connection was found lost.
    pub(super) gone: CancellationToken,
    idle_channels: Mutex<Vec<(u16, Channel)>>,
    doubt: Notify,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Says that a connection may be lost, where lapin does not say so itself.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// What lapin answers to a call; an error once the session is gone. lapin may leave a call unanswered for ever that is made
    /// while the connection is being lost.
    pub(super) async fn heard<T>(
        &self,
        call: impl Future<Output = lapin::Result<T>>,
    ) -> lapin::Result<T> {
        match self.gone.run_until_cancelled(call).await {
            Some(answer) => answer,
            None => Err(ErrorKind::InvalidConnectionState(ConnectionState::Closed).into()),
        }
    }

    /// A channel that was kept, with its prefetch; the one that has that prefetch already, if there is one.
    pub(super) fn idle_channel(&self, prefetch: u16) -> Option<(u16, Channel)> {
        let mut idle = self
            .idle_channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let same = idle.iter().rposition(|(its, _)| *its == prefetch);
        match same {
            Some(index) => Some(idle.swap_remove(index)),
            None => idle.pop(),
        }
    }

    /// Keeps a channel on which nothing is open or unsettled.
    pub(super) fn keep_channel(&self, prefetch: u16, channel: Channel) {
        let mut idle = self
            .idle_channels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if channel.status().connected() && idle.len() < IDLE_CHANNELS {
            idle.push((prefetch, channel));
        }
    }

    fn is_connected(&self) -> bool {
        self.publishing.status().connected() && self.consuming.status().connected()
    }

    async fn close(&self) {
        tokio::join!(close(&self.publishing), close(&self.consuming));
    }

    /// Closes what is left of it once one connection was lost.
    async fn end(&self) {
        tokio::join!(end(&self.publishing), end(&self.consuming));
    }
}

async fn close(connection: &Connection) {
    let closing = connection.close(200, "closed in order".into());
    if !matches!(timeout(CLOSE_LIMIT, closing).await, Ok(Ok(()))) {
        debug!("a connection to the broker was gone before it was closed");
    }
}

/// Closes a connection on which the broker still answers. Another one is left to its heartbeat: lapin has none on a connection that
/// is closing, and would keep it and its thread for as long as the system tries to send the last word, some 15 minutes.
async fn end(connection: &Connection) {
    if let Ok(Ok(_)) = timeout(CLOSE_LIMIT, connection.create_channel()).await {
        return close(connection).await;
    }
    let dead = async {
        while connection.status().connected() {
            sleep(LOOK_EACH).await;
        }
    };
    // Where somebody has turned heartbeats off, nothing ends it.
    let _ = timeout(SILENT_LIMIT, dead).await;
}

/// Why no session came about.
enum ConnectFailure {
    Refused(String),
    Tls(String),
    Unreachable(String),
}

/// A session and what happens to its connections.
struct Opened {
    session: Arc<Session>,
    events: BoxStream<'static, Event>,
}

/// Makes sessions, one after the other.
pub(super) struct Supervisor {
    target: Target,
    connection_name: String,
    sessions: watch::Sender<Option<Arc<Session>>>,
    link: watch::Sender<Link>,
    stop: CancellationToken,
    connected: u64,
}

impl Supervisor {
    /// Tries to connect once, and goes on trying in the background until `stop`.
    pub(super) async fn start(
        target: Target,
        connection_name: &str,
        stop: CancellationToken,
    ) -> Result<(JoinHandle<()>, Sessions, watch::Receiver<Link>), ConnectError> {
        let (sessions, sessions_of_others) = watch::channel(None);
        let (link, link_of_others) = watch::channel(Link::Down("not connected yet".to_owned()));
        let mut supervisor = Self {
            target,
            connection_name: connection_name.to_owned(),
            sessions,
            link,
            stop,
            connected: 0,
        };
        let first = match supervisor.open(false).await {
            Ok(opened) => {
                supervisor.up(&opened);
                Some(opened)
            }
            Err(ConnectFailure::Unreachable(reason)) => {
                supervisor.down(reason);
                None
            }
            Err(ConnectFailure::Refused(reason)) => {
                return Err(ConnectError::Refused {
                    target: supervisor.target.to_string(),
                    reason,
                });
            }
            Err(ConnectFailure::Tls(reason)) => {
                return Err(ConnectError::Tls {
                    target: supervisor.target.to_string(),
                    reason,
                });
            }
        };
        let stays_connected = async move {
            let stop = supervisor.stop.clone();
            stop.run_until_cancelled(supervisor.stay_connected(first))
                .await;
            supervisor.shut_down().await;
        };
        Ok((
            tokio::spawn(stays_connected),
            sessions_of_others,
            link_of_others,
        ))
    }

    async fn stay_connected(&mut self, mut opened: Option<Opened>) {
        let mut failures = 0;
        loop {
            if let Some(opened) = opened.take() {
                let session = Arc::clone(&opened.session);
                let since = Instant::now();
                let reason = lost(opened).await;
                session.gone.cancel();
                self.down(reason);
                // One of the two connections may be alive, and subscriptions on it with it.
                tokio::spawn(async move { session.end().await });
                if since.elapsed() >= SOUND {
                    failures = 0;
                }
            }
            sleep(back_off(failures)).await;
            failures += 1;
            match self.open(failures > 1).await {
                Ok(new) => {
                    self.up(&new);
                    opened = Some(new);
                }
                Err(ConnectFailure::Unreachable(reason)) => self.down(reason),
                Err(ConnectFailure::Refused(reason)) => {
                    self.down(format!("the broker does not let us in: {reason}"));
                }
                Err(ConnectFailure::Tls(reason)) => {
                    self.down(format!(
                        "the broker cannot be trusted with anything: {reason}"
                    ));
                }
            }
        }
    }

    async fn open(&self, careful: bool) -> Result<Opened, ConnectFailure> {
        let (publishing, consuming) = tokio::try_join!(
            self.open_connection("publish"),
            self.open_connection("consume")
        )?;
        let events =
            stream::select(publishing.events_listener(), consuming.events_listener()).boxed();
        let session = Session {
            publishing,
            consuming,
            known: tokio::sync::Mutex::default(),
            answers: OnceCell::new(),
            careful_until: careful.then(|| Instant::now() + SOUND),
            gone: CancellationToken::new(),
            idle_channels: Mutex::default(),
            doubt: Notify::new(),
        };
        // What happened before somebody listened is told to nobody.
        if !session.is_connected() {
            return Err(ConnectFailure::Unreachable(
                "lost as soon as it was made".to_owned(),
            ));
        }
        Ok(Opened {
            session: Arc::new(session),
            events,
        })
    }

    async fn open_connection(&self, purpose: &str) -> Result<Connection, ConnectFailure> {
        let name = format!("{} ({purpose})", self.connection_name);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.target.uri(), properties);
        match timeout(CONNECT_LIMIT, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) if is_refusal(&error) => Err(ConnectFailure::Refused(error.to_string())),
            Ok(Err(error)) => Err(match tls::trouble(&error) {
                Some(reason) => ConnectFailure::Tls(reason),
                None => ConnectFailure::Unreachable(error.to_string()),
            }),
            Err(_) => Err(ConnectFailure::Unreachable(format!(
                "no answer for {} s",
                CONNECT_LIMIT.as_secs()
            ))),
        }
    }

    fn up(&mut self, opened: &Opened) {
        self.connected += 1;
        info!(broker = %self.target, times = self.connected, "connected to the broker");
        self.sessions
            .send_replace(Some(Arc::clone(&opened.session)));
        self.link.send_replace(Link::Up(self.connected));
    }

    /// Says so when it is news.
    fn down(&self, reason: String) {
        let now = Link::Down(reason);
        let Link::Down(reason) = &now else { return };
        match *self.link.borrow() == now {
            true => debug!(broker = %self.target, reason, "still no connection to the broker"),
            false => warn!(
                broker = %self.target, reason,
                "no connection to the broker; trying again until there is one (where it is: `url` in [broker], or \
                 CALLSHEET__BROKER__URL)"
            ),
        }
        self.sessions.send_replace(None);
        self.link
            .send_if_modified(|link| std::mem::replace(link, now.clone()) != now);
    }

    async fn shut_down(self) {
        let session = self.sessions.send_replace(None);
        self.link.send_replace(Link::Down(Closed.to_string()));
        if let Some(session) = session {
            session.close().await;
            session.gone.cancel();
        }
    }
}

/// Waits until either connection is lost, and says why.
async fn lost(opened: Opened) -> String {
    let Opened { session, events } = opened;
    let mut events = pin!(events);
    loop {
        let reason = tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    warn!(reason, "the broker takes no messages for the time being");
                    continue;
                }
                Some(Event::ConnectionUnblocked) => {
                    info!("the broker takes messages again");
                    continue;
                }
                // A channel's errors are told here, too.
                Some(Event::Error(error)) => error.to_string(),
                Some(_) => continue,
                None => "the connection ended".to_owned(),
            },
            () = session.doubt.notified() => "the connection was found dead".to_owned(),
        };
        if !session.is_connected() {
            return reason;
        }
    }
}

/// Whether trying again is of no use before a person has changed something.
fn is_refusal(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else {
        return false;
    };
    matches!(
        error.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
    )
}

/// Doubles with each failure up to a limit; between half and all of it, so that clients do not come back all at once.
fn back_off(failures: u32) -> Duration {
    let (shortest, longest) = BACK_OFF;
    let wait = shortest.saturating_mul(1 << failures.min(16)).min(longest);
    let random = RandomState::new().hash_one(failures) as f64 / u64::MAX as f64;
    wait.mul_f64(0.5 + 0.5 * random)
}
