//! Makes the queues of the work that workers offer, so that a worker's user need not have the right to make any.

use shared::broker::{Queue, SharedBroker};
use shared::profile::Profile;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Makes the queue of each profile that is heard of, and the one for what nobody can read, which workers write to, too. The
/// broker's session knows which of them are there, so that hearing of one again costs nothing.
pub(crate) async fn run(
    broker: SharedBroker,
    mut offers: mpsc::Receiver<Vec<Profile>>,
    stop: CancellationToken,
) {
    let make_all = async {
        while let Some(profiles) = offers.recv().await {
            make(&broker, Queue::Parked).await;
            for profile in profiles {
                make(&broker, Queue::Jobs(profile.kind, profile.name)).await;
            }
        }
    };
    stop.run_until_cancelled(make_all).await;
}

async fn make(broker: &SharedBroker, queue: Queue) {
    if let Err(error) = broker.make(&queue).await {
        tracing::warn!(queue = queue.name(), %error, "a queue could not be made yet");
    }
}
