//! Artifacts in a bucket of a real S3 server.

use std::sync::atomic::{AtomicU32, Ordering};

use shared::artifacts::{ArtifactError, ArtifactStore};
use shared::failure::chain;
use shared::settings::{ArtifactSettings, Secret};
use support::artifact_conformance::Shelf;
use support::moto::Moto;
use tokio::sync::OnceCell;

use crate::run;

/// One server for all tests of this process.
async fn moto() -> &'static Moto {
    static MOTO: OnceCell<Moto> = OnceCell::const_new();
    MOTO.get_or_init(async || Moto::start().await.unwrap())
        .await
}

/// A bucket of each test's own; in every second one the store begins at a prefix.
async fn shelf() -> Shelf {
    static BUCKETS: AtomicU32 = AtomicU32::new(0);
    let moto = moto().await;
    let number = BUCKETS.fetch_add(1, Ordering::Relaxed);
    let bucket = format!("films-{number}");
    moto.make(&bucket).await.unwrap();
    let place = match number % 2 {
        0 => bucket,
        _ => format!("{bucket}/studio/one"),
    };
    let store = ArtifactStore::connect(&moto.settings(&place)).unwrap();
    Shelf::bucket(store, moto.url_of(&place))
}

support::every_artifact_promise!(run, shelf);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_not_there_is_told_at_once() {
    let store = ArtifactStore::connect(&moto().await.settings("nowhere")).unwrap();
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, ArtifactError::Refused { .. }), "{error:?}");
    assert!(chain(&error).contains("bucket"), "{error}");
}

#[test]
fn keys_are_not_printed() {
    let settings = ArtifactSettings {
        access_key_id: Some(Secret::new("AKIAPLANTED")),
        secret_access_key: Some(Secret::new("planted/secret")),
        endpoint: Some("http://127.0.0.1:1".to_owned()),
        ..ArtifactSettings::at("s3://films")
    };
    let store = ArtifactStore::connect(&settings).unwrap();
    let shown = format!("{settings:?}{store:?}");
    assert!(
        !shown.contains("AKIAPLANTED") && !shown.contains("planted/secret"),
        "{shown}"
    );
}
