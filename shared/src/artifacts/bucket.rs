//! A bucket of S3 or its kin.

use std::sync::Arc;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::prefix::PrefixStore;

use super::objects::Objects;
use crate::http;
use crate::settings::ArtifactSettings;

/// Files up to this size are stored in one piece, larger ones in parts of it. S3 takes no smaller parts than 5 MiB, and no more
/// than 10,000 of them: 78 GiB.
const PART_SIZE: usize = 8 << 20;
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence in an answer.
const SILENCE: Duration = Duration::from_secs(60);

/// The bucket of that name, with keys that begin with `prefix`. Nothing is sent yet.
///
/// # Errors
/// If the settings do not name one.
pub(super) fn open(
    name: &str,
    prefix: &str,
    settings: &ArtifactSettings,
) -> Result<Objects, object_store::Error> {
    http::use_ring();
    let store = bucket(name, settings)?;
    Ok(match prefix {
        "" => Objects::new(Arc::new(store), PART_SIZE),
        prefix => Objects::new(Arc::new(PrefixStore::new(store, prefix)), PART_SIZE),
    })
}

fn bucket(name: &str, settings: &ArtifactSettings) -> Result<AmazonS3, object_store::Error> {
    // A file takes as long as it takes; what counts is that something comes.
    let client = ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(SILENCE);
    let mut bucket = AmazonS3Builder::new()
        .with_client_options(client)
        .with_bucket_name(name)
        .with_region(&settings.region);
    if let Some(endpoint) = &settings.endpoint {
        let is_plain = endpoint.starts_with("http://");
        bucket = bucket.with_endpoint(endpoint).with_allow_http(is_plain);
    }
    if let (Some(id), Some(key)) = (&settings.access_key_id, &settings.secret_access_key) {
        bucket = bucket
            .with_access_key_id(id.expose())
            .with_secret_access_key(key.expose());
    }
    bucket.build()
}
