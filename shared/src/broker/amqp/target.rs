//! Where the broker is, and how to say so without giving away the password.

use std::fmt;

use lapin::uri::AMQPUri;
use url::Url;

/// Heartbeat interval in seconds if the URL gives none: a dead peer is noticed within twice that.
const HEARTBEAT_SECONDS: u16 = 10;
/// Largest frame in bytes: what RabbitMQ grants to every client. With less, the headers of a submission could be larger than
/// a frame of ours, and they cannot be split.
const FRAME_BYTES: u32 = 128 * 1024;

/// Why a broker cannot be used. Only a person can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The URL cannot be read.
    #[error(
        "the broker's URL cannot be read: {0}; write it as amqp://USER:PASSWORD@HOST:5672/VHOST, with special characters \
         percent-encoded"
    )]
    BadUrl(String),
    /// The broker does not let us in.
    #[error(
        "the broker at {target} does not let us in: {reason}; check user, password and virtual host in the broker's URL, and \
         the user's permissions at the broker"
    )]
    Refused {
        /// Host, port and virtual host.
        target: String,
        /// What the broker said.
        reason: String,
    },
    /// No TLS with what answers there.
    #[error("the broker at {target} cannot be trusted with anything: {reason}")]
    Tls {
        /// Host, port and virtual host.
        target: String,
        /// Why, and what to do.
        reason: String,
    },
}

/// Where the broker is. Prints without user and password.
#[derive(Clone)]
pub(super) struct Target {
    uri: AMQPUri,
}

impl Target {
    /// Reads a URL. An empty virtual host, as in `amqp://host/`, means the default one, `/`.
    pub(super) fn parse(text: &str) -> Result<Self, ConnectError> {
        let bad = |why: String| ConnectError::BadUrl(why);
        let url = Url::parse(text).map_err(|error| bad(error.to_string()))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(bad(format!(
                "it begins with `{}:` and not with `amqp:` or `amqps:`",
                url.scheme()
            )));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("it names no host".to_owned()))?;
        // lapin's own messages may repeat the URL.
        let mut uri: AMQPUri = text
            .parse()
            .map_err(|_| bad("a part of it is not as it should be".to_owned()))?;
        host.trim_matches(['[', ']'])
            .clone_into(&mut uri.authority.host);
        if uri.vhost.is_empty() {
            "/".clone_into(&mut uri.vhost);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        uri.query.frame_max.get_or_insert(FRAME_BYTES);
        Ok(Self { uri })
    }

    pub(super) fn uri(&self) -> AMQPUri {
        self.uri.clone()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri {
            authority, vhost, ..
        } = &self.uri;
        write!(
            f,
            "{}:{} (virtual host `{vhost}`)",
            authority.host, authority.port
        )
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_without_its_credentials() {
        let target = Target::parse("amqp://anna:s3cret@broker.example:5673/film").unwrap();
        assert_eq!(
            target.to_string(),
            "broker.example:5673 (virtual host `film`)"
        );
        assert!(!format!("{target:?}").contains("s3cret"));
    }

    #[test]
    fn what_the_url_leaves_out_is_filled_in() {
        for text in ["amqp://[::1]", "amqp://[::1]/", "amqp://[::1]:5672/%2f"] {
            let uri = Target::parse(text).unwrap().uri();
            assert_eq!(
                (uri.vhost.as_str(), uri.authority.port),
                ("/", 5672),
                "{text}"
            );
            assert_eq!(uri.authority.host, "::1");
            assert_eq!(uri.query.heartbeat, Some(HEARTBEAT_SECONDS));
        }
        let uri = Target::parse("amqp://127.0.0.1/?heartbeat=3")
            .unwrap()
            .uri();
        assert_eq!(
            (uri.authority.host.as_str(), uri.query.heartbeat),
            ("127.0.0.1", Some(3))
        );
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        for text in [
            "",
            "localhost:5672",
            "http://anna:s3cret@localhost",
            "amqp:anna:s3cret@localhost",
            "amqp://",
            "amqp://anna:s3cret@localhost/?heartbeat=often",
            "amqp://anna:s3cret@localhost:99999",
        ] {
            let error = Target::parse(text)
                .map(|target| target.to_string())
                .unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }
}
