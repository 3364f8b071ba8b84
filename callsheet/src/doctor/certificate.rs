//! The certificate of a coordinator on this machine.

use coordinator::tls::{TlsSettings, Validity};
use shared::failure::chain;
use shared::time::Timestamp;

use super::{Check, Verdict};

/// Reads the files that the settings name, if they name any.
pub(crate) async fn certificate(settings: &TlsSettings) -> Option<Check> {
    let files = settings.files()?;
    let file = settings.certificate_file.display();
    let (verdict, told) = match files.certificate().await {
        Err(error) => (Verdict::Bad, chain(&error)),
        Ok(certificate) => {
            let until = certificate.until();
            let until = until.map_or("a time that is not known".to_owned(), |it| it.to_string());
            match certificate.validity(Timestamp::now()) {
                Validity::Good => (Verdict::Well, format!("{file} holds until {until}")),
                Validity::Soon => {
                    let told = format!("{file} holds until {until}: have it renewed");
                    (Verdict::Bad, told)
                }
                Validity::Over => {
                    let told = format!(
                        "{file} has run out at {until}, and clients refuse it: have it renewed"
                    );
                    (Verdict::Bad, told)
                }
            }
        }
    };
    Some(Check::new("certificate", verdict, told))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_certificate_that_is_named_must_be_there() {
        assert_eq!(certificate(&TlsSettings::default()).await, None);
        let nowhere = TlsSettings {
            certificate_file: "/nowhere/certificate.pem".into(),
            key_file: "/nowhere/key.pem".into(),
        };
        let check = certificate(&nowhere).await.unwrap();
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(
            check.told.contains("/nowhere/certificate.pem")
                && check.told.contains("certificate_file"),
            "{}",
            check.told
        );
    }
}
