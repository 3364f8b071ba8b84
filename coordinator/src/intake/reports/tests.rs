//! A product in a store that fails.
// A store is made to fail by a link, as Unix has them.
#![cfg(unix)]

use std::path::PathBuf;
use std::sync::Arc;

use shared::artifact::MediaType;
use shared::broker::Message;
use shared::broker::embedded::EmbeddedBroker;
use shared::ids::{Attempt, BootId, JobId, RunId};
use shared::job::{Outcome, Product};
use shared::protocol::{AttemptSucceeded, RunRef, WorkerRef};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

/// The reader of reports, and what it gives the engine.
struct Desk {
    engine: mpsc::Receiver<Input>,
    stop: CancellationToken,
    reader: JoinHandle<()>,
    /// Where the product lies.
    file: PathBuf,
    folder: TempDir,
}

impl Desk {
    /// A success was reported while the store fails: its file is a link that leads nowhere but to itself.
    async fn with_a_failing_store() -> Self {
        let folder = TempDir::new().unwrap();
        let artifacts = ArtifactStore::open_folder(folder.path()).unwrap();
        let image = artifacts
            .put_bytes("a picture".into(), MediaType::Png)
            .await
            .unwrap();
        let digits = image.sha256.to_string();
        let file = folder.path().join(&digits[..2]).join(&digits[2..]);
        std::fs::rename(&file, folder.path().join("kept")).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();

        let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
        let said = AttemptSucceeded {
            run: RunRef {
                job: JobId::generate(),
                attempt: Attempt::FIRST,
                run: RunId::generate(),
            },
            worker: WorkerRef {
                worker: "w".parse().unwrap(),
                boot: BootId::generate(),
            },
            outcome: Outcome::from(Product::Keyframe { image }),
            took: Duration::from_secs(1),
        };
        let said = ToCoordinator::AttemptSucceeded(Box::new(said));
        let envelope = Envelope::new(Some(StoreId::generate()), said);
        let message = Message::durable(envelope.message_id, envelope.to_json());
        broker
            .publish(&Queue::Reports.into(), message)
            .await
            .unwrap();
        let (engine, inputs) = mpsc::channel(8);
        let stop = CancellationToken::new();
        let offers = mpsc::channel(1).0;
        let reader = tokio::spawn(run(broker, artifacts, engine, offers, stop.clone()));
        Self {
            engine: inputs,
            stop,
            reader,
            file,
            folder,
        }
    }

    async fn next(&mut self) -> (ToCoordinator, Result<(), Failure>) {
        let input = tokio::time::timeout(PATIENCE, self.engine.recv()).await;
        match input.expect("something is passed on").unwrap() {
            Input::Report {
                message, verdict, ..
            } => (message, verdict),
            _ => panic!("only reports come in here"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_counts_as_alive_for_as_long_as_its_product_cannot_be_checked() {
    let mut desk = Desk::with_a_failing_store().await;
    for _ in 0..5 {
        let (said, _) = desk.next().await;
        assert!(
            matches!(&said, ToCoordinator::AttemptProgress(said) if said.share().is_none()),
            "alive, and not said to be nearer its end than another run: {said:?}"
        );
    }
    std::fs::rename(desk.folder.path().join("kept"), &desk.file).unwrap();
    loop {
        match desk.next().await {
            (ToCoordinator::AttemptProgress(_), _) => {}
            (ToCoordinator::AttemptSucceeded(_), verdict) => break assert_eq!(verdict, Ok(())),
            (other, _) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_cannot_end_does_not_hold_up_the_shutdown() {
    let mut desk = Desk::with_a_failing_store().await;
    drop(desk.next().await);
    desk.stop.cancel();
    tokio::time::timeout(PATIENCE, desk.reader)
        .await
        .expect("the reader ends")
        .unwrap();
}
