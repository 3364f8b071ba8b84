//! A look at a broker, for whoever sets one up: its version, what is declared there, and whether this user may do what it must. It
//! changes nothing.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::declare::arguments;
use super::needs::needs;
pub use super::needs::{Lack, Pattern};
use super::target::{ConnectError, Target};
use crate::broker::Queue;
use crate::broker::rights::Role;
use crate::broker::topology::{self, EXCHANGES, ExchangeKind as Sort};
use crate::tls;

/// Longest wait for any answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The oldest version that has all that is used here.
pub const OLDEST: (u32, u32) = (3, 10);
/// What a client says first.
const GREETING: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
/// Larger than any first word of a broker.
const FIRST_WORD_MAX: usize = 64 * 1024;

/// What was seen of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Its version, where it says so: over TLS it is not asked.
    pub version: Option<String>,
    /// Exchanges and queues that are not there yet. The coordinator makes them when it starts.
    pub absent: Vec<String>,
    /// Queues and exchanges that are there and are not as they must be, with what the broker says.
    pub different: Vec<String>,
    /// What this user may not do although its roles must. Whether it may do more than that is not looked at.
    pub lacks: Vec<Lack>,
}

/// Why nothing could be seen.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The URL is unusable, or the broker does not let us in.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It does not answer.
    #[error("the broker at {target} cannot be reached: {reason}")]
    Unreachable {
        /// Host, port and virtual host.
        target: String,
        /// Why.
        reason: String,
    },
}

/// Looks at the broker at that URL, whose user is to have these roles.
///
/// # Errors
/// If nothing can be seen.
pub async fn inspect(url: &str, roles: &[Role]) -> Result<Inspection, InspectError> {
    let target = Target::parse(url)?;
    let unreachable = |reason: String| InspectError::Unreachable {
        target: target.to_string(),
        reason,
    };
    let properties =
        ConnectionProperties::default().with_connection_name("callsheet doctor (look)".into());
    let connecting = Connection::connect_uri(target.uri(), properties);
    let connection = match timeout(PATIENCE, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::ProtocolError(_)) => {
            let refused = ConnectError::Refused {
                target: target.to_string(),
                reason: error.to_string(),
            };
            return Err(refused.into());
        }
        Ok(Err(error)) => {
            let target = target.to_string();
            return Err(match tls::trouble(&error) {
                Some(reason) => ConnectError::Tls { target, reason }.into(),
                None => unreachable(error.to_string()),
            });
        }
        Err(_) => {
            let waited = format!("no answer for {} s", PATIENCE.as_secs());
            return Err(unreachable(waited));
        }
    };
    let mut seen = Inspection {
        version: version(url).await,
        ..Inspection::default()
    };
    let looked = timeout(4 * PATIENCE, look(&connection, roles, &mut seen)).await;
    // What it is told next is nobody's business any more.
    let _ = timeout(PATIENCE, connection.close(200, "looked".into())).await;
    match looked {
        Ok(Ok(())) => Ok(seen),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable("it answers too slowly".to_owned())),
    }
}

/// Whether that version is older than what is needed. One of another form is not judged.
pub fn is_too_old(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) < OLDEST,
        _ => false,
    }
}

async fn look(connection: &Connection, roles: &[Role], seen: &mut Inspection) -> lapin::Result<()> {
    for exchange in EXCHANGES {
        look_at_exchange(connection, exchange.name, exchange.kind, seen).await?;
    }
    for queue in [
        Queue::Reports,
        Queue::Submissions,
        Queue::RejectedSubmissions,
        Queue::Parked,
    ] {
        look_at_queue(connection, &queue, seen).await?;
    }
    for need in needs(roles) {
        seen.lacks.extend(need.lack(connection).await?);
    }
    Ok(())
}

async fn look_at_exchange(
    connection: &Connection,
    name: &str,
    sort: Sort,
    seen: &mut Inspection,
) -> lapin::Result<()> {
    let channel = connection.create_channel().await?;
    let kind = match sort {
        Sort::Direct => ExchangeKind::Direct,
        Sort::Fanout => ExchangeKind::Fanout,
    };
    let options = ExchangeDeclareOptions {
        passive: true,
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let declared = channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await;
    match declared.map_err(|error| answer(&error)) {
        Ok(()) | Err(Answer::Forbidden) => {}
        Err(Answer::NotThere) => seen.absent.push(name.to_owned()),
        Err(Answer::Otherwise(reason)) => {
            seen.different.push(format!("exchange {name}: {reason}"));
        }
    }
    Ok(())
}

async fn look_at_queue(
    connection: &Connection,
    queue: &Queue,
    seen: &mut Inspection,
) -> lapin::Result<()> {
    let declaration = topology::declaration(queue);
    let name = declaration.name.as_str();
    let options = |passive| QueueDeclareOptions {
        passive,
        ..QueueDeclareOptions::durable()
    };
    let channel = connection.create_channel().await?;
    let there = channel.queue_declare(name.into(), options(true), FieldTable::default());
    match there.await.map_err(|error| answer(&error)) {
        Ok(_) => {}
        Err(Answer::NotThere) => {
            seen.absent.push(name.to_owned());
            return Ok(());
        }
        Err(Answer::Otherwise(reason)) => {
            seen.different.push(format!("queue {name}: {reason}"));
            return Ok(());
        }
        Err(Answer::Forbidden) => return Ok(()),
    }
    // One that is there is not made: the broker compares. Who may not declare it has no say in it.
    let channel = connection.create_channel().await?;
    let same = channel.queue_declare(name.into(), options(false), arguments(&declaration));
    if let Err(Answer::Otherwise(reason)) = same.await.map_err(|error| answer(&error)) {
        seen.different.push(format!("queue {name}: {reason}"));
    }
    Ok(())
}

/// What a broker says that does not do what it is asked for.
enum Answer {
    NotThere,
    Forbidden,
    Otherwise(String),
}

fn answer(error: &lapin::Error) -> Answer {
    use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
    if let ErrorKind::ProtocolError(said) = error.kind() {
        match said.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => return Answer::NotThere,
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => return Answer::Forbidden,
            _ => {}
        }
    }
    Answer::Otherwise(error.to_string())
}

/// What the broker calls its version in its first word, which lapin keeps to itself.
async fn version(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "amqp")?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let asked = async {
        let mut stream = TcpStream::connect((host, url.port().unwrap_or(5672)))
            .await
            .ok()?;
        stream.write_all(GREETING).await.ok()?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut body = vec![0; length.min(FIRST_WORD_MAX)];
        stream.read_exact(&mut body).await.ok()?;
        // Class, method, and the version of the protocol stand before the table.
        text_in(body.get(6..)?, "version")
    };
    timeout(PATIENCE, asked).await.ok().flatten()
}

/// The text of that name in a table of the protocol. Looks at texts, flags and tables, which are all that a broker says of itself.
fn text_in(table: &[u8], name: &str) -> Option<String> {
    let length = u32::from_be_bytes(table.get(..4)?.try_into().ok()?) as usize;
    let mut rest = table.get(4..)?.get(..length)?;
    while let Some((size, after)) = rest.split_first() {
        let key = after.get(..usize::from(*size))?;
        let (sort, value) = after.get(usize::from(*size)..)?.split_first()?;
        let width = match sort {
            b't' => 1,
            b'S' | b'F' => 4 + u32::from_be_bytes(value.get(..4)?.try_into().ok()?) as usize,
            _ => return None,
        };
        if key == name.as_bytes() && *sort == b'S' {
            let text = value.get(4..width)?;
            return String::from_utf8(text.to_vec()).ok();
        }
        rest = value.get(width..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, sort: u8, value: &[u8]) -> Vec<u8> {
        let mut entry = vec![u8::try_from(name.len()).unwrap()];
        entry.extend_from_slice(name.as_bytes());
        entry.push(sort);
        if sort != b't' {
            entry.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        }
        entry.extend_from_slice(value);
        entry
    }

    #[test]
    fn a_version_is_found_behind_whatever_else_a_broker_says() {
        let entries = [
            entry("capabilities", b'F', &entry("version", b't', &[1])),
            entry("copyright", b'S', b"somebody"),
            entry("version", b'S', b"3.10.8"),
        ]
        .concat();
        let table = [
            &u32::try_from(entries.len()).unwrap().to_be_bytes()[..],
            &entries,
        ]
        .concat();
        assert_eq!(text_in(&table, "version").as_deref(), Some("3.10.8"));
        assert_eq!(text_in(&table, "product"), None);
        for cut in 0..table.len() {
            // What breaks off is no version, and no panic.
            let _ = text_in(&table[..cut], "version");
        }
    }

    #[test]
    fn versions_before_the_oldest_are_told_apart() {
        for (version, old) in [
            ("3.9.29", true),
            ("3.10.8", false),
            ("3.13.0", false),
            ("4.0.5", false),
            ("2.8", true),
            ("unknown", false),
        ] {
            assert_eq!(is_too_old(version), old, "{version}");
        }
    }
}
