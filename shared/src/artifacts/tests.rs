use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use url::Url;

use super::*;

/// Files that are larger are written in parts, by each sort of store.
const PART_SIZE: usize = 8 << 20;
const DAY: Duration = Duration::from_secs(86_400);

struct Shelf {
    folder: tempfile::TempDir,
    store: ArtifactStore,
}

impl Shelf {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path().join("a folder")).unwrap();
        let store = ArtifactStore::open(url.as_str()).unwrap();
        Self { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the store keeps an artifact.
    fn kept(&self, artifact: &Artifact) -> PathBuf {
        let digits = artifact.sha256.to_string();
        self.path("a folder").join(&digits[..2]).join(&digits[2..])
    }

    async fn put(&self, content: &'static str) -> Artifact {
        self.store
            .put_bytes(content.into(), MediaType::Png)
            .await
            .unwrap()
    }

    /// All files in the folder of the store, by name.
    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path("a folder"))
            .unwrap()
            .flat_map(|entry| fs::read_dir(entry.unwrap().path()).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn age(file: &Path, by: Duration) {
    let file = fs::File::options().write(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

fn modified(file: &Path) -> SystemTime {
    fs::metadata(file).unwrap().modified().unwrap()
}

async fn read_all(store: &ArtifactStore, artifact: &Artifact, range: Range<u64>) -> Vec<u8> {
    let pieces: Vec<Bytes> = store
        .read(artifact.sha256, range)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    pieces.concat()
}

#[tokio::test]
async fn a_file_is_named_by_its_content_and_comes_back_the_same() {
    let shelf = Shelf::new();
    fs::write(shelf.path("in.png"), "abc").unwrap();
    let artifact = shelf
        .store
        .put_file(&shelf.path("in.png"), MediaType::Png)
        .await
        .unwrap();
    assert_eq!(
        artifact.sha256.to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(artifact.size, ByteSize::bytes(3));
    assert_eq!(fs::read(shelf.kept(&artifact)).unwrap(), b"abc");

    shelf.store.verify(&artifact).await.unwrap();
    shelf
        .store
        .fetch(&artifact, &shelf.path("out.png"))
        .await
        .unwrap();
    assert_eq!(fs::read(shelf.path("out.png")).unwrap(), b"abc");
    assert_eq!(shelf.put("abc").await, artifact);
}

#[tokio::test]
async fn a_file_of_many_parts_survives_the_journey() {
    let shelf = Shelf::new();
    let content: Vec<u8> = (0_u32..)
        .flat_map(u32::to_le_bytes)
        .take(3 * PART_SIZE + 7)
        .collect();
    fs::write(shelf.path("in.mp4"), &content).unwrap();
    let artifact = shelf
        .store
        .put_file(&shelf.path("in.mp4"), MediaType::Mp4)
        .await
        .unwrap();
    shelf
        .store
        .fetch(&artifact, &shelf.path("out.mp4"))
        .await
        .unwrap();
    assert!(fs::read(shelf.path("out.mp4")).unwrap() == content);
    assert_eq!(shelf.files().len(), 1, "{:?}", shelf.files());
}

#[tokio::test]
async fn ranges_are_read_and_an_empty_one_is_nothing() {
    let shelf = Shelf::new();
    let artifact = shelf.put("0123456789").await;
    assert_eq!(
        read_all(&shelf.store, &artifact, 0..10).await,
        b"0123456789"
    );
    assert_eq!(read_all(&shelf.store, &artifact, 3..5).await, b"34");
    assert_eq!(read_all(&shelf.store, &artifact, 4..4).await, b"");
    let nothing = shelf.put("").await;
    assert_eq!(read_all(&shelf.store, &nothing, 0..0).await, b"");
}

#[tokio::test]
async fn a_missing_artifact_is_told_by_its_hash() {
    let shelf = Shelf::new();
    let artifact = shelf.put("x").await;
    fs::remove_file(shelf.kept(&artifact)).unwrap();
    let is_missing =
        |error| matches!(error, ArtifactError::Missing(hash) if hash == artifact.sha256);
    let out = shelf.path("out");
    assert!(is_missing(shelf.store.verify(&artifact).await.unwrap_err()));
    assert!(is_missing(
        shelf.store.fetch(&artifact, &out).await.unwrap_err()
    ));
    for range in [0..1, 0..0] {
        assert!(is_missing(
            shelf
                .store
                .read(artifact.sha256, range)
                .await
                .err()
                .unwrap()
        ));
    }
}

#[tokio::test]
async fn a_damaged_artifact_is_never_handed_out_and_storing_it_again_repairs_it() {
    let shelf = Shelf::new();
    let artifact = shelf.put("right").await;
    for damage in ["wrong", "too long", ""] {
        fs::write(shelf.kept(&artifact), damage).unwrap();
        let out = shelf.path("out/clip");
        fs::create_dir_all(out.parent().unwrap()).unwrap();
        let error = shelf.store.fetch(&artifact, &out).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Damaged(_)), "{error:?}");
        assert_eq!(fs::read_dir(shelf.path("out")).unwrap().count(), 0);
        let error = shelf.store.verify(&artifact).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Damaged(_)), "{error:?}");

        shelf.put("right").await;
        shelf.store.verify(&artifact).await.unwrap();
    }
}

#[tokio::test]
async fn the_sweep_removes_what_is_old_and_unwanted() {
    let shelf = Shelf::new();
    let wanted = shelf.put("wanted").await;
    let unwanted = shelf.put("unwanted").await;
    let young = shelf.put("young").await;
    let broken = PathBuf::from(format!("{}#1", shelf.kept(&wanted).display()));
    let not_ours = shelf.kept(&wanted).with_file_name("notes.txt");
    fs::write(&broken, "half").unwrap();
    fs::write(&not_ours, "mine").unwrap();
    for file in [
        &shelf.kept(&wanted),
        &shelf.kept(&unwanted),
        &broken,
        &not_ours,
    ] {
        age(file, 2 * DAY);
    }
    let keep = HashSet::from([wanted.sha256]);
    let removed = shelf
        .store
        .sweep(&keep, DAY, Timestamp::now())
        .await
        .unwrap();
    assert_eq!(removed, 1);
    for (file, stays) in [
        (shelf.kept(&wanted), true),
        (shelf.kept(&young), true),
        (not_ours, true),
        (shelf.kept(&unwanted), false),
        (broken, false),
    ] {
        assert_eq!(file.exists(), stays, "{}", file.display());
    }
}

#[tokio::test]
async fn storing_content_again_protects_it_from_the_sweep() {
    let shelf = Shelf::new();
    let artifact = shelf.put("shared by two films").await;
    age(&shelf.kept(&artifact), 2 * DAY);
    let before = modified(&shelf.kept(&artifact));
    shelf.put("shared by two films").await;
    assert!(modified(&shelf.kept(&artifact)) > before + DAY);
    let removed = shelf
        .store
        .sweep(&HashSet::new(), DAY, Timestamp::now())
        .await
        .unwrap();
    assert_eq!(removed, 0);
    shelf.store.verify(&artifact).await.unwrap();
}

#[test]
fn a_url_that_cannot_be_read_gives_no_secret_away() {
    for url in [
        "s3://key:s3cret@host:99999/films",
        "s3://key:s3cret@ho st/films",
    ] {
        let error = ArtifactStore::open(url).unwrap_err();
        let text = crate::failure::chain(&error);
        assert!(
            text.contains("s3://…") && !text.contains("s3cret"),
            "{text}"
        );
    }
}

#[test]
fn a_url_that_names_no_store_says_which_would() {
    for (url, reason) in [
        ("", "relative URL"),
        ("s3://", "names no bucket"),
        ("gs://", "no store for `gs`"),
        ("://", "relative URL"),
        ("file://films", "absolute"),
    ] {
        let error = ArtifactStore::open(url).unwrap_err().to_string();
        assert!(
            error.contains(reason) && error.contains("file:///"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn credentials_do_not_belong_into_a_url() {
    for url in [
        "s3://me:secret@bucket/films",
        "s3://bucket/films?key=secret",
        "http://me:secret@studio:7420",
        "https://secret@studio",
    ] {
        let error = ArtifactStore::open(url).unwrap_err().to_string();
        assert!(error.contains("secret_access_key"), "{error}");
        assert!(
            !error.contains("secret@") && !error.contains("=secret"),
            "{error}"
        );
    }
}

#[test]
fn a_bare_path_is_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/when needed");
    ArtifactStore::open(path.to_str().unwrap()).unwrap();
    assert!(path.is_dir());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = ArtifactStore::open_folder(&folder.path().join("file/store")).unwrap_err();
    let text = crate::failure::chain(&error);
    for part in ["file/store", "[artifacts] url", "(os error "] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_full_disk_is_told_from_other_failures() {
    let error = |kind: io::ErrorKind| {
        ArtifactError::from(object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(kind)),
        })
    };
    assert!(matches!(
        error(io::ErrorKind::StorageFull),
        ArtifactError::Full(_)
    ));
    assert!(matches!(
        error(io::ErrorKind::QuotaExceeded),
        ArtifactError::Full(_)
    ));
    assert!(matches!(
        error(io::ErrorKind::TimedOut),
        ArtifactError::Store(_)
    ));
}

#[test]
fn a_bucket_that_does_not_let_us_in_is_told_from_other_failures_and_its_words_are_not_repeated() {
    let error = |said: &'static str| {
        ArtifactError::from(object_store::Error::Generic {
            store: "S3",
            source: said.into(),
        })
    };
    let refused = error("<Code>InvalidAccessKeyId</Code><AWSAccessKeyId>AKIA1</AWSAccessKeyId>");
    let text = crate::failure::chain(&refused);
    assert!(
        matches!(refused, ArtifactError::Refused { .. }),
        "{refused:?}"
    );
    assert!(
        text.contains("access_key_id") && !text.contains("AKIA1"),
        "{text}"
    );
    assert!(matches!(
        error("<Code>SlowDown</Code>"),
        ArtifactError::Store(_)
    ));
}
