//! Artifacts with a coordinator.

use std::net::SocketAddr;
use std::time::Duration;

use shared::artifact::{MediaType, Sha256};
use shared::artifacts::{ArtifactError, ArtifactStore};
use shared::failure::chain;
use support::artifact_conformance::Shelf;
use support::wait::soon;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::coordinator::{OPERATE, Server, WORKER};
use crate::run;

async fn shelf() -> Shelf {
    let server = Server::start().await;
    Shelf::served(server.store(Some(WORKER)), server.files(), server)
}

support::every_artifact_promise!(run, shelf);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_of_workers_is_told_which_one_and_nothing_is_sent() {
    let server = Server::start().await;
    for token in [None, Some("guessed-0123456789abcdef01"), Some(OPERATE)] {
        let store = server.store(token);
        let refused = store.check().await.unwrap_err();
        let put = store
            .put_bytes("clip".into(), MediaType::Mp4)
            .await
            .unwrap_err();
        for error in [refused, put] {
            assert!(matches!(error, ArtifactError::Refused { .. }), "{error:?}");
            let text = chain(&error);
            assert!(
                text.contains("worker_token") && text.contains("[artifacts]"),
                "{text}"
            );
            assert!(token.is_none_or(|token| !text.contains(token)), "{text}");
        }
    }
    let files = std::fs::read_dir(server.files()).unwrap().count();
    assert_eq!(files, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_outlives_a_restart_of_the_coordinator() {
    let server = Server::start().await;
    let (store, address) = (server.store(Some(WORKER)), server.running.address);
    let Server { running, folder } = server;
    running.shutdown().await;
    let stranger = TcpListener::bind(address).await.unwrap();
    let uploading = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .put_bytes("a clip that took an hour".into(), MediaType::Mp4)
                .await
        }
    });
    // The first try comes to nothing.
    drop(soon("the first try", stranger.accept()).await.unwrap());
    drop(stranger);
    assert!(!uploading.is_finished());
    let _server = Server::start_at(&address.to_string(), folder).await;
    let artifact = soon("the upload", uploading).await.unwrap().unwrap();
    store.verify(&artifact).await.unwrap();
}

/// A server that answers every connection with these bytes, and what it was sent.
async fn impostor(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 64 << 10];
        let length = socket.read(&mut request).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
        drop(socket);
        vec![String::from_utf8_lossy(&request[..length]).into_owned()]
    });
    (address, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_not_carried_to_where_a_redirect_leads() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = elsewhere.local_addr().unwrap();
    let answer =
        format!("HTTP/1.1 307 Moved\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n");
    let (address, heard) = impostor(answer.leak()).await;
    let mut settings = shared::settings::ArtifactSettings::at(&format!("http://{address}"));
    settings.token = Some(shared::settings::Secret::new(WORKER));
    let store = ArtifactStore::connect(&settings).unwrap();
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, ArtifactError::Refused { .. }), "{error:?}");
    assert!(
        heard.await.unwrap()[0].contains(WORKER),
        "it is shown to who was named"
    );
    let nobody = tokio::time::timeout(Duration::from_millis(300), elsewhere.accept()).await;
    assert!(nobody.is_err(), "the redirect was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_breaks_off_is_no_file() {
    let answer = "HTTP/1.1 206 Partial Content\r\nContent-Length: 10\r\n\r\n01234";
    let (address, _heard) = impostor(answer).await;
    let store = ArtifactStore::open(&format!("http://{address}")).unwrap();
    let content = store.read(Sha256::of(b"0123456789"), 0..10).await.unwrap();
    let read: Result<Vec<_>, _> = futures::TryStreamExt::try_collect(content).await;
    let error = read.unwrap_err();
    assert!(matches!(error, ArtifactError::Away { .. }), "{error:?}");
}
