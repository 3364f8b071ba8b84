//! Files, renewals and handshakes. The two certificates beside this file are for `localhost`, hold until 2120 and are of no use to
//! anyone: their keys lie beside them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::failure::chain;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::*;

pub(crate) const FIRST: (&str, &str) = (
    include_str!("tests/first.pem"),
    include_str!("tests/first.key"),
);
pub(crate) const SECOND: (&str, &str) = (
    include_str!("tests/second.pem"),
    include_str!("tests/second.key"),
);
/// Longer than what was read is taken for what is there.
const A_WHILE: Duration = Duration::from_secs(11);
/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two files, and a folder that goes with them.
struct Given {
    files: Files,
    _folder: TempDir,
}

impl Given {
    fn new((certificate, key): (&str, &str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files {
            certificate: folder.path().join("certificate.pem"),
            key: folder.path().join("key.pem"),
        };
        let given = Self {
            files,
            _folder: folder,
        };
        given.write((certificate, key));
        given
    }

    fn write(&self, (certificate, key): (&str, &str)) {
        write(&self.files.certificate, certificate);
        write(&self.files.key, key);
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

#[test]
fn one_file_without_the_other_is_a_mistake() {
    let settings = |certificate_file: &str, key_file: &str| TlsSettings {
        certificate_file: certificate_file.into(),
        key_file: key_file.into(),
    };
    assert_eq!(settings("", "").mistakes(), []);
    assert_eq!(settings("", "").files(), None);
    assert_eq!(settings("c", "k").mistakes(), []);
    assert!(settings("c", "k").files().is_some());
    for (given, named) in [
        (settings("c", ""), "coordinator.tls.key_file"),
        (settings("", "k"), "coordinator.tls.certificate_file"),
    ] {
        assert_eq!(given.mistakes()[0].field, named);
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_their_setting_and_what_to_do() {
    let (certificate, key) = FIRST;
    let certificate_file = "coordinator.tls.certificate_file";
    let key_file = "coordinator.tls.key_file";
    for (given, parts) in [
        (
            (certificate, SECOND.1),
            [certificate_file, key_file, "made together"],
        ),
        (
            (key, key),
            [certificate_file, "certificate.pem", "BEGIN CERTIFICATE"],
        ),
        (
            ("", key),
            [certificate_file, "certificate.pem", "BEGIN CERTIFICATE"],
        ),
        (
            (certificate, certificate),
            [key_file, "key.pem", "openssl pkey"],
        ),
        (
            (
                certificate,
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
            ),
            [key_file, "key.pem", "openssl pkey"],
        ),
        (
            (&certificate[..200], key),
            [certificate_file, "certificate.pem", "PEM"],
        ),
    ] {
        let error = Given::new(given).files.certificate().await.unwrap_err();
        let text = chain(&error);
        for part in parts {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
    let mut given = Given::new(FIRST);
    given.files.key = given.files.key.join("nowhere");
    let text = chain(&given.files.certificate().await.unwrap_err());
    for part in [key_file, "nowhere", "(os error "] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_certificate_says_until_when_it_holds() {
    let certificate = Given::new(FIRST).files.certificate().await.unwrap();
    let until = certificate.until().unwrap();
    assert_eq!(until.to_string(), "2120-01-01T00:00:00.000Z");
    let before = |days: i64| {
        shared::time::Timestamp::from_millis(until.as_millis() - days * 24 * 3_600 * 1_000)
    };
    assert_eq!(certificate.validity(before(15)), Validity::Good);
    assert_eq!(certificate.validity(before(13)), Validity::Soon);
    assert_eq!(certificate.validity(until), Validity::Over);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_certificate_counts_once_both_files_are_there() {
    let given = Given::new(FIRST);
    let renewal = Renewal::begin(given.files.clone()).await.unwrap();
    let first = renewal.current().await;
    let is_first = async |renewal: &Renewal| Arc::ptr_eq(&renewal.current().await, &first);

    given.write(SECOND);
    assert!(is_first(&renewal).await, "the files were read at once");
    write(&given.files.key, FIRST.1);
    tokio::time::advance(A_WHILE).await;
    assert!(is_first(&renewal).await, "half a renewal counted");
    std::fs::remove_file(&given.files.certificate).unwrap();
    tokio::time::advance(A_WHILE).await;
    assert!(is_first(&renewal).await, "nothing at all counted");
    given.write(SECOND);
    tokio::time::advance(A_WHILE).await;
    assert!(!is_first(&renewal).await, "a renewal did not count");
}

/// The first certificate as a coordinator has it.
pub(crate) async fn first() -> Renewal {
    let given = Given::new(FIRST);
    Renewal::begin(given.files.clone()).await.unwrap()
}

/// Somebody who has connected, and what takes its greeting.
async fn connected() -> (TcpStream, impl Future<Output = bool>) {
    let renewal = first().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let (connection, peer) = accepted.unwrap();
    let greeted = async move { greet(&renewal, connection, peer).await.is_some() };
    (client.unwrap(), greeted)
}

/// Speaks TLS with whoever is there, trusting that certificate.
pub(crate) async fn connect(
    address: SocketAddr,
    trusted: &str,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let connection = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), connection)
        .await
}

async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, future).await;
    waited.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_for_long_is_let_go() {
    let (mut silent, greeted) = connected().await;
    assert!(!patiently("the end of the greeting", greeted).await);
    silent.read_u8().await.unwrap_err();
}

#[tokio::test]
async fn who_is_mad_is_let_go_at_once() {
    let (mut mad, greeted) = connected().await;
    mad.write_all(&[22, 3, 1, 255, 255, 0, 0, 0]).await.unwrap();
    assert!(!patiently("the end of the greeting", greeted).await);
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_of_https() {
    let (mut plain, greeted) = connected().await;
    let asked = async move {
        plain
            .write_all(b"POST /v1/films HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .unwrap();
        let mut answer = String::new();
        plain.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let both = async { tokio::join!(greeted, asked) };
    let (is_greeted, answer) = patiently("an answer", both).await;
    assert!(!is_greeted, "it spoke no TLS");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("write https://"), "{answer}");
}
