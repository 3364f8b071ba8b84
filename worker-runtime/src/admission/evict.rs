//! Making room: this worker asks others to leave, and its own models leave when others ask.
//!
//! Nobody's word counts but the card's: memory is free when it is read as free. Who is asked and does not give enough is asked
//! once more, then its backend is started anew if it is ours; then the job waits.

use std::sync::Arc;
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::fields;
use shared::ids::ProfileName;
use tokio::time::{Instant, sleep};

use super::Card;
use crate::gpu::admit::Victim;
use crate::gpu::gate::Turn;
use crate::gpu::ledger::{Asked, BackendId, Page};
use crate::worker::Worker;

/// A backend gives its memory back within this time, or is asked again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often free memory is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// Has those leave, and waits until so much is free; whether it is.
pub(super) async fn make_room(
    worker: &Arc<Worker>,
    card: &Arc<Card>,
    mut turn: Turn,
    victims: Vec<Victim>,
    target: ByteSize,
) -> (Turn, bool) {
    unload_own(card, &victims).await;
    let mut reached = is_free(worker, card, target).await;
    if !reached && !is_draining(worker) {
        turn = ask_again(turn, victims.clone()).await;
        unload_own(card, &victims).await;
        reached = is_free(worker, card, target).await;
    }
    if !reached && !is_draining(worker) && restart_own(card, &victims).await {
        reached = is_free(worker, card, target).await;
    }
    let told = tokio::task::spawn_blocking(move || {
        let told = turn.evicted(&victims, reached);
        (turn, told)
    });
    let (turn, told) = told.await.expect("writing down does not panic");
    if let Err(error) = told {
        tracing::warn!({ fields::ERROR } = %error, "who has left could not be written down");
    }
    (turn, reached)
}

async fn ask_again(turn: Turn, victims: Vec<Victim>) -> Turn {
    let asked = tokio::task::spawn_blocking(move || {
        let asked = turn.ask_again(&victims);
        (turn, asked)
    });
    let (turn, asked) = asked.await.expect("asking does not panic");
    if let Err(error) = asked {
        tracing::warn!({ fields::ERROR } = %error, "others could not be asked to leave once more");
    }
    turn
}

/// Waits until so much is free, and says whether it is.
async fn is_free(worker: &Worker, card: &Card, target: ByteSize) -> bool {
    let pace = worker.config.pace;
    let until = Instant::now() + pace.of(PATIENCE);
    loop {
        if card.sight.free().is_some_and(|free| free >= target) {
            return true;
        }
        if Instant::now() >= until || is_draining(worker) {
            return false;
        }
        sleep(pace.of(LOOK)).await;
    }
}

fn is_draining(worker: &Worker) -> bool {
    worker.conditions.borrow().draining
}

/// Has this worker's backends unload what is among the victims.
async fn unload_own(card: &Card, victims: &[Victim]) {
    for victim in victims {
        let profile = victim.model.as_ref().map(|model| &model.profile);
        unload(card, &victim.backend, profile).await;
    }
}

/// Has that backend unload that model, or everything, if it is this worker's.
async fn unload(card: &Card, id: &BackendId, profile: Option<&ProfileName>) {
    let own = card.sight.backends().iter().find(|(own, _)| own == id);
    let Some((_, backend)) = own else {
        return;
    };
    if let Err(error) = backend.unload(profile).await {
        tracing::warn!({ fields::BACKEND } = %id, { fields::ERROR } = error, "the backend could not be asked to unload");
    }
}

/// Starts those of this worker's backends anew that did not give enough; whether there was one.
async fn restart_own(card: &Card, victims: &[Victim]) -> bool {
    let mut any = false;
    for (id, backend) in card.sight.backends() {
        if victims.iter().any(|victim| victim.backend == *id) && backend.restart().await {
            tracing::warn!({ fields::BACKEND } = %id, "the backend did not give its memory back and was started anew");
            any = true;
        }
    }
    any
}

/// What others asked of this worker's backends and can be done now: nothing of ours runs there.
pub(super) fn to_leave<'a>(card: &Card, page: &'a Page) -> Vec<&'a Asked> {
    let is_own = |id: &BackendId| card.sight.backends().iter().any(|(own, _)| own == id);
    let is_at_work = |id: &BackendId| {
        page.entries
            .iter()
            .any(|booked| booked.is_in_line() && booked.entry.work.backend == *id)
    };
    let asked = page.asked.iter();
    asked
        .filter(|asked| is_own(&asked.backend) && !is_at_work(&asked.backend))
        .collect()
}

/// Does what was asked, and writes down that it was done.
pub(super) async fn leave(card: Arc<Card>, asked: Asked) {
    tracing::info!(
        { fields::BACKEND } = %asked.backend,
        { fields::JOB_ID } = %asked.by,
        "unloads for another job"
    );
    unload(&card, &asked.backend, asked.profile.as_ref()).await;
    let done = tokio::task::spawn_blocking(move || card.gate.seen_to(&asked)).await;
    if let Ok(Err(error)) = done {
        tracing::warn!({ fields::ERROR } = %error, "that a model was unloaded could not be written down");
    }
}
