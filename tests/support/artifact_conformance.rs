//! What every artifact store promises, as one suite for all of them: a folder, a coordinator over HTTP, a bucket.
//!
//! Each promise is a function; [`every_artifact_promise!`](crate::every_artifact_promise) lists them once.
#![expect(missing_docs, reason = "the name of a promise says what it is")]
#![expect(clippy::unwrap_used, reason = "a promise that is broken fails by it")]

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use shared::artifact::{Artifact, MediaType, Sha256};
use shared::artifacts::{ArtifactError, ArtifactStore};
use shared::time::Timestamp;
use tempfile::TempDir;

use crate::http::client;

const DAY: Duration = Duration::from_secs(86_400);

/// Runs `$run! { $subject: promise promise .. }` with the name of every promise.
#[macro_export]
macro_rules! every_artifact_promise {
    ($run:ident, $subject:path) => {
        $run! { $subject:
            a_file_is_named_by_its_content_and_comes_back_the_same
            a_file_of_many_parts_survives_the_journey
            ranges_are_read_and_an_empty_one_is_nothing
            a_missing_artifact_is_told_by_its_hash
            a_damaged_artifact_is_never_handed_out_and_storing_it_again_repairs_it
            what_is_received_has_its_hash_or_leaves_nothing_behind
            a_file_that_cannot_be_read_is_named
            the_sweep_removes_what_is_old_and_unwanted_and_nothing_else
            storing_content_again_protects_it_from_the_sweep
            a_store_that_is_there_says_so
        }
    };
}

/// A store under test.
pub struct Shelf {
    /// As a worker has it.
    store: ArtifactStore,
    /// As the coordinator has it, who sweeps.
    owner: ArtifactStore,
    behind: Behind,
    folder: TempDir,
    /// What is to live as long.
    _server: Option<Box<dyn Send + Sync>>,
}

/// Where its files really lie.
enum Behind {
    Folder(PathBuf),
    /// The URL of a bucket of a server that asks nobody who they are.
    Bucket(String),
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The server looks at no signature, but takes what has none for a stranger's.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKIATESTSUITE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

async fn ask(request: reqwest::RequestBuilder) -> reqwest::Response {
    let request = request.header("Authorization", SIGNED);
    request.send().await.unwrap()
}

impl Shelf {
    /// A folder.
    pub fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let behind = folder.path().join("store");
        let store = ArtifactStore::open_folder(&behind).unwrap();
        Self {
            owner: store.clone(),
            store,
            behind: Behind::Folder(behind),
            folder,
            _server: None,
        }
    }

    /// A store that someone keeps in that folder and serves to us.
    pub fn served(
        store: ArtifactStore,
        behind: PathBuf,
        server: impl Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            owner: ArtifactStore::open_folder(&behind).unwrap(),
            behind: Behind::Folder(behind),
            folder: tempfile::tempdir().unwrap(),
            _server: Some(Box::new(server)),
        }
    }

    /// A bucket, with the URL below which anybody may write and read its objects.
    pub fn bucket(store: ArtifactStore, url: String) -> Self {
        Self {
            owner: store.clone(),
            store,
            behind: Behind::Bucket(url),
            folder: tempfile::tempdir().unwrap(),
            _server: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn put(&self, content: &'static str) -> Artifact {
        let put = self.store.put_bytes(content.into(), MediaType::Png).await;
        put.unwrap()
    }

    /// Writes an object behind the store's back.
    async fn plant(&self, key: &str, content: &str) {
        match &self.behind {
            Behind::Folder(folder) => std::fs::write(folder.join(key), content).unwrap(),
            Behind::Bucket(url) => {
                let put = client()
                    .put(format!("{url}/{key}"))
                    .body(content.to_owned());
                ask(put).await.error_for_status().unwrap();
            }
        }
    }

    async fn remove(&self, key: &str) {
        match &self.behind {
            Behind::Folder(folder) => std::fs::remove_file(folder.join(key)).unwrap(),
            Behind::Bucket(url) => {
                let delete = client().delete(format!("{url}/{key}"));
                ask(delete).await.error_for_status().unwrap();
            }
        }
    }

    async fn is_there(&self, key: &str) -> bool {
        match &self.behind {
            Behind::Folder(folder) => folder.join(key).exists(),
            Behind::Bucket(url) => {
                let head = client().head(format!("{url}/{key}"));
                ask(head).await.status().is_success()
            }
        }
    }

    async fn read(&self, hash: Sha256, range: Range<u64>) -> Vec<u8> {
        let pieces = self.store.read(hash, range).await.unwrap();
        let pieces: Vec<_> = pieces.try_collect().await.unwrap();
        pieces.concat()
    }

    async fn receive(
        &self,
        hash: Sha256,
        size: u64,
        content: &[&'static str],
    ) -> Result<(), ArtifactError> {
        let pieces: Vec<_> = content.iter().map(|piece| Ok((*piece).into())).collect();
        let content = futures::stream::iter(pieces).boxed();
        self.store.receive(hash, size, content).await
    }
}

fn key(artifact: &Artifact) -> String {
    let digits = artifact.sha256.to_string();
    format!("{}/{}", &digits[..2], &digits[2..])
}

pub async fn a_file_is_named_by_its_content_and_comes_back_the_same(shelf: Shelf) {
    std::fs::write(shelf.path("in.png"), "abc").unwrap();
    let file = shelf.path("in.png");
    let put = shelf.store.put_file(&file, MediaType::Png);
    let artifact = put.await.unwrap();
    assert_eq!(
        artifact.sha256.to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(shelf.store.size(artifact.sha256).await.unwrap(), 3);
    assert!(shelf.is_there(&key(&artifact)).await);
    shelf.store.verify(&artifact).await.unwrap();
    let out = shelf.path("out.png");
    shelf.store.fetch(&artifact, &out).await.unwrap();
    assert_eq!(std::fs::read(out).unwrap(), b"abc");
    assert_eq!(shelf.put("abc").await, artifact);
}

pub async fn a_file_of_many_parts_survives_the_journey(shelf: Shelf) {
    let numbers = (0_u32..).flat_map(u32::to_le_bytes);
    let content: Vec<u8> = numbers.take((25 << 20) + 7).collect();
    std::fs::write(shelf.path("in.mp4"), &content).unwrap();
    let file = shelf.path("in.mp4");
    let put = shelf.store.put_file(&file, MediaType::Mp4);
    let artifact = put.await.unwrap();
    assert_eq!(artifact.sha256, Sha256::of(&content));
    let out = shelf.path("out.mp4");
    shelf.store.fetch(&artifact, &out).await.unwrap();
    assert!(std::fs::read(out).unwrap() == content);
    let part = shelf.read(artifact.sha256, 9_000_000..17_000_000).await;
    assert!(part == content[9_000_000..17_000_000]);
}

pub async fn ranges_are_read_and_an_empty_one_is_nothing(shelf: Shelf) {
    let hash = shelf.put("0123456789").await.sha256;
    assert_eq!(shelf.read(hash, 0..10).await, b"0123456789");
    assert_eq!(shelf.read(hash, 3..5).await, b"34");
    assert_eq!(shelf.read(hash, 4..4).await, b"");
    let nothing = shelf.put("").await;
    assert_eq!(shelf.read(nothing.sha256, 0..0).await, b"");
    shelf.store.verify(&nothing).await.unwrap();
}

pub async fn a_missing_artifact_is_told_by_its_hash(shelf: Shelf) {
    let artifact = shelf.put("x").await;
    shelf.remove(&key(&artifact)).await;
    let hash = artifact.sha256;
    let is_missing = |error| matches!(error, ArtifactError::Missing(missing) if missing == hash);
    let store = &shelf.store;
    assert!(is_missing(store.verify(&artifact).await.unwrap_err()));
    let out = shelf.path("out");
    assert!(is_missing(store.fetch(&artifact, &out).await.unwrap_err()));
    assert!(is_missing(store.size(hash).await.unwrap_err()));
    for range in [0..1, 0..0] {
        assert!(is_missing(store.read(hash, range).await.err().unwrap()));
    }
    assert!(!out.exists());
}

pub async fn a_damaged_artifact_is_never_handed_out_and_storing_it_again_repairs_it(shelf: Shelf) {
    let artifact = shelf.put("right").await;
    let out = shelf.path("out/clip");
    std::fs::create_dir_all(shelf.path("out")).unwrap();
    for damage in ["wrong", "too long", ""] {
        shelf.plant(&key(&artifact), damage).await;
        let error = shelf.store.fetch(&artifact, &out).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Damaged(_)), "{error:?}");
        assert_eq!(std::fs::read_dir(shelf.path("out")).unwrap().count(), 0);
        let error = shelf.store.verify(&artifact).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Damaged(_)), "{error:?}");

        shelf.put("right").await;
        shelf.store.verify(&artifact).await.unwrap();
    }
}

pub async fn what_is_received_has_its_hash_or_leaves_nothing_behind(shelf: Shelf) {
    let wanted = shelf.put("right").await;
    shelf.remove(&key(&wanted)).await;
    let hash = wanted.sha256;
    for (size, content) in [(5, "wrong"), (9, "too right"), (0, "")] {
        let error = shelf.receive(hash, size, &[content]).await.unwrap_err();
        assert!(
            matches!(error, ArtifactError::Damaged(_)),
            "{content}: {error:?}"
        );
        assert!(!shelf.is_there(&key(&wanted)).await, "{content}");
    }
    for _ in 0..2 {
        shelf.receive(hash, 5, &["ri", "", "ght"]).await.unwrap();
        shelf.store.verify(&wanted).await.unwrap();
    }
    let error = shelf.receive(hash, 5, &["wrong"]).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Damaged(_)), "{error:?}");
    shelf.store.verify(&wanted).await.unwrap();
}

pub async fn a_file_that_cannot_be_read_is_named(shelf: Shelf) {
    let put = shelf
        .store
        .put_file(Path::new("/nowhere/clip.mp4"), MediaType::Mp4);
    let error = put.await.unwrap_err();
    assert!(matches!(error, ArtifactError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("/nowhere/clip.mp4"), "{error}");
}

pub async fn the_sweep_removes_what_is_old_and_unwanted_and_nothing_else(shelf: Shelf) {
    let (wanted, unwanted) = (shelf.put("wanted").await, shelf.put("unwanted").await);
    shelf.plant("notes.txt", "not ours").await;
    let now = Timestamp::now();
    let in_two_days = Timestamp::from_millis(now.as_millis() + 2 * 86_400_000);
    let keep = HashSet::from([wanted.sha256]);
    assert_eq!(
        shelf.owner.sweep(&keep, DAY, now).await.unwrap(),
        0,
        "all is young"
    );
    assert_eq!(shelf.owner.sweep(&keep, DAY, in_two_days).await.unwrap(), 1);
    for (key, stays) in [
        (key(&wanted), true),
        (key(&unwanted), false),
        ("notes.txt".to_owned(), true),
    ] {
        assert_eq!(shelf.is_there(&key).await, stays, "{key}");
    }
}

pub async fn storing_content_again_protects_it_from_the_sweep(shelf: Shelf) {
    let artifact = shelf.put("shared by two films").await;
    // Times of objects may be whole seconds.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let between = Timestamp::now();
    shelf.put("shared by two films").await;
    // Seen from a moment at which the first copy is just older than a day, and the second one is not.
    let later = Timestamp::from_millis(between.as_millis() + 86_400_000 - 1_000);
    let removed = shelf
        .owner
        .sweep(&HashSet::new(), DAY, later)
        .await
        .unwrap();
    assert_eq!(removed, 0);
    shelf.store.verify(&artifact).await.unwrap();
    let much_later = Timestamp::from_millis(later.as_millis() + 60_000);
    let removed = shelf.owner.sweep(&HashSet::new(), DAY, much_later).await;
    assert_eq!(removed.unwrap(), 1);
}

pub async fn a_store_that_is_there_says_so(shelf: Shelf) {
    shelf.store.check().await.unwrap();
}
