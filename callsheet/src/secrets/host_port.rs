//! Where a broker is, as `HOST:PORT`, or as `amqps://HOST:PORT` if it is to be spoken to over TLS.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A host, and a port there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostPort {
    is_tls: bool,
    host: String,
    port: u16,
}

impl HostPort {
    /// Where the service of docker-compose.yml is, seen by the others.
    pub(crate) fn of_compose() -> Self {
        Self {
            is_tls: false,
            host: "rabbitmq".to_owned(),
            port: 5672,
        }
    }

    /// What a URL begins with that leads there.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.is_tls { "amqps" } else { "amqp" }
    }

    /// Host and port alone.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mistake = || {
            format!(
                "`{text}` is not written as HOST:PORT or amqps://HOST:PORT, as in rabbitmq:5672"
            )
        };
        let secured = text.strip_prefix("amqps://");
        let rest = secured.unwrap_or(text);
        let url = Url::parse(&format!("amqp://{rest}")).map_err(|_| mistake())?;
        let plain = url.username().is_empty() && url.path().is_empty() && url.query().is_none();
        match (url.host_str(), url.port()) {
            (Some(host), Some(port)) if plain && !host.is_empty() => Ok(Self {
                is_tls: secured.is_some(),
                host: host.to_owned(),
                port,
            }),
            _ => Err(mistake()),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_tls { "amqps://" } else { "" };
        write!(f, "{prefix}{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_needed_and_nothing_else() {
        for good in [
            "rabbitmq:5672",
            "10.0.0.7:5671",
            "[::1]:5672",
            "amqps://rabbitmq:5671",
        ] {
            assert_eq!(good.parse::<HostPort>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "rabbitmq",
            ":5672",
            "a@b:1",
            "a:1/x",
            "a:1?x",
            "a:99999",
            "amqp://a:1",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
