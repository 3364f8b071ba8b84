//! Makes the queues of the work that workers offer, so that a worker's user need not have the right to make any.

use std::collections::BTreeMap;

use shared::broker::{Queue, SharedBroker, SubscribeError};
use shared::fields;
use shared::log_news;
use shared::news::News;
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
    // Every worker says every few seconds what it offers.
    let mut told = BTreeMap::new();
    let make_all = async {
        while let Some(profiles) = offers.recv().await {
            make(&broker, Queue::Parked, &mut told).await;
            for profile in profiles {
                let queue = Queue::Jobs(profile.kind, profile.name);
                make(&broker, queue, &mut told).await;
            }
        }
    };
    stop.run_until_cancelled(make_all).await;
}

/// `told`: what was told last of the queues that could not be made, by name.
async fn make(broker: &SharedBroker, queue: Queue, told: &mut BTreeMap<String, News>) {
    let error = match broker.make(&queue).await {
        Ok(()) => {
            told.remove(&queue.name());
            return;
        }
        Err(error) => error,
    };
    let queue = queue.name();
    let is_known = matches!(error, SubscribeError::Disconnected(_));
    let told = told.entry(queue.clone()).or_default();
    // That there is no connection is told where it is connected to.
    log_news!(
        !is_known && told.is_news(&error.to_string()),
        warn,
        { fields::DESTINATION } = queue,
        %error,
        "a queue could not be made yet"
    );
}
