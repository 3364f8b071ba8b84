//! The database of the coordinator.

use std::path::Path;
use std::time::Duration;

use coordinator::store::{FILE, inspect};
use shared::failure::chain;
use tokio::time::timeout;

use super::{Check, Verdict};

/// Longest look: a large database is read as a whole.
const PATIENCE: Duration = Duration::from_secs(30);

/// Looks whether the database in that folder can be read and is sound. A coordinator that works with it goes on meanwhile.
pub(crate) async fn store(folder: &Path) -> Check {
    let file = folder.join(FILE);
    let shown = file.display();
    if !file.exists() {
        let told = format!("{shown} is not there yet; the coordinator makes it");
        return Check::new("store", Verdict::Well, told);
    }
    match timeout(PATIENCE, inspect(&file)).await {
        Ok(Ok(seen)) => {
            let told = format!("{shown} is sound: {} films, {} jobs", seen.films, seen.jobs);
            Check::new("store", Verdict::Well, told)
        }
        Ok(Err(error)) => {
            let told = format!(
                "{shown}: {}; stop the coordinator and put a backup in its place, or begin with another folder \
                 (coordinator.data_dir)",
                chain(&error)
            );
            Check::new("store", Verdict::Bad, told)
        }
        Err(_) => {
            let told = format!("{shown} is so large that it was not read to its end");
            Check::new("store", Verdict::Note, told)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_is_read_and_what_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let none = store(folder.path()).await;
        assert_eq!(none.verdict, Verdict::Well);
        let file = folder.path().join(FILE);
        let (reader, writer) = coordinator::store::open(&file).await.unwrap();
        reader.close().await;
        writer.close().await.unwrap();
        let empty = store(folder.path()).await;
        assert_eq!(empty.verdict, Verdict::Well);
        assert!(empty.told.contains("0 films"), "{}", empty.told);
        std::fs::write(&file, "no database ".repeat(1_000)).unwrap();
        let damaged = store(folder.path()).await;
        assert_eq!(damaged.verdict, Verdict::Bad);
        assert!(damaged.told.contains("backup"), "{}", damaged.told);
    }
}
