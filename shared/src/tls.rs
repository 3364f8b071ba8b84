//! What to tell a person when TLS does not come about. Pure, but for the certificates of the machine, which the libraries read.
//!
//! All that we call over TLS (coordinators, brokers, buckets, ComfyUI) is known by the authorities that this machine trusts, or by
//! those in the file that `SSL_CERT_FILE` names. What keeps it from being known is a person's to mend, so that it is told apart from
//! a server that is away, and in words that say what to do.

use std::error::Error;
use std::io;

use rustls::{CertificateError, InvalidMessage};

use crate::time::Timestamp;

/// Why TLS did not come about and what to do, if that is what an error is about.
pub fn trouble(error: &(dyn Error + 'static)) -> Option<String> {
    Some(match cause_of(error)? {
        rustls::Error::InvalidCertificate(refused) => distrust(refused),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it speaks no TLS there: write http:// (amqp:// for a broker), or another port, in its URL".to_owned()
        }
        // All that a client says of a machine without a single authority.
        rustls::Error::General(text) if text.contains("No CA certificates") => {
            "this machine knows no authority of certificates: name a file with them (PEM) in the environment as SSL_CERT_FILE, or look \
             at the one that is named there, or install the package ca-certificates"
                .to_owned()
        }
        _ => return None,
    })
}

fn distrust(refused: &CertificateError) -> String {
    let date = |at: u64| {
        let millis = i64::try_from(at).unwrap_or_default().saturating_mul(1_000);
        Timestamp::from_millis(millis)
    };
    match refused {
        CertificateError::UnknownIssuer => {
            "its certificate is from an authority that this machine does not know: name the file with that authority's certificate \
             (PEM) in the environment as SSL_CERT_FILE"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "its certificate has run out at {}: have it renewed",
            date(not_after.as_secs())
        ),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "its certificate holds from {} on: look at the clocks of both machines",
            date(not_before.as_secs())
        ),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "its certificate is for [{}] and not for {}: write one of its names in the URL, or have one made that has this name, too",
            presented.join(", "),
            expected.to_str()
        ),
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority (CA:TRUE), and no server's: have one made for the server, signed by it".to_owned()
        }
        other => format!("its certificate is refused: {other}"),
    }
}

/// What TLS says of it, wherever it is wrapped.
fn cause_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // What an I/O error wraps is not its source: its source is that of what it wraps.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &'a (dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it cannot be reached")]
    struct Unreachable(#[source] io::Error);

    fn told(error: rustls::Error) -> String {
        trouble(&Unreachable(io::Error::other(error))).unwrap()
    }

    #[test]
    fn what_a_person_can_mend_is_found_under_all_wrappings() {
        let unknown = rustls::Error::from(CertificateError::UnknownIssuer);
        assert!(told(unknown.clone()).contains("SSL_CERT_FILE"));
        let twice = io::Error::other(io::Error::other(unknown));
        assert!(trouble(&twice).is_some());
        let at =
            rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(86_400));
        let expired = CertificateError::ExpiredContext {
            time: at,
            not_after: at,
        };
        let text = told(expired.into());
        assert!(text.contains("1970-01-02T00:00:00"), "{text}");
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert!(told(plain).contains("http://"));
    }

    #[test]
    fn what_is_no_matter_of_certificates_is_left_to_others() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(trouble(&Unreachable(refused)), None);
        assert_eq!(trouble(&rustls::Error::HandshakeNotComplete), None);
    }
}
