//! What happens at intervals: sweeps, hints, retention, and the watch over the broker's link.

use std::time::Duration;

use shared::broker::{Link, Queue, SharedBroker};
use shared::failure::chain;
use shared::protocol::{Probe, ToCoordinator};
use shared::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::effects;
use crate::engine::{Ask, Input, Shared};
use crate::store::Rows;

const SWEEP: Duration = Duration::from_secs(30);
const RETENTION: Duration = Duration::from_secs(3600);
/// How often the first probe of a connection is repeated until it comes back.
const PROBE: Duration = Duration::from_millis(500);

/// Another coordinator reads this virtual host's reports.
#[derive(Debug, thiserror::Error)]
#[error(
    "another coordinator serves this virtual host: it has read the queue of reports for {} s. Stop it, or give this one \
     a virtual host of its own",
    .0.as_secs()
)]
pub struct AnotherCoordinator(Duration);

/// Sends the engine its sweeps and, at that interval, its hints.
pub(crate) async fn clock(hints: Duration, engine: mpsc::Sender<Input>) {
    let every = |period| {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let (mut sweep, mut hint) = (every(SWEEP), every(hints));
    loop {
        let input = tokio::select! {
            _ = sweep.tick() => Input::Sweep,
            _ = hint.tick() => Input::Hint,
        };
        if engine.send(input).await.is_err() {
            return;
        }
    }
}

/// Watches the link to the broker. After each connection it makes sure that it is we who read the reports.
///
/// # Errors
/// If another coordinator keeps reading them.
pub(crate) async fn watch(shared: Shared, broker: SharedBroker) -> Result<(), AnotherCoordinator> {
    let mut link = broker.link();
    loop {
        let up = matches!(*link.borrow_and_update(), Link::Up(_));
        shared.is_reader.send_replace(false);
        shared.live().leases.restart(Timestamp::now());
        let changed = if up {
            tokio::select! {
                changed = link.changed() => changed,
                result = make_sure(&shared, &broker) => {
                    result?;
                    link.changed().await
                }
            }
        } else {
            link.changed().await
        };
        if changed.is_err() {
            return Ok(());
        }
    }
}

async fn make_sure(shared: &Shared, broker: &SharedBroker) -> Result<(), AnotherCoordinator> {
    let mut is_reader = shared.is_reader.subscribe();
    let takeover = shared.settings.takeover;
    let probing = async {
        let mut again = interval(PROBE);
        for round in 0_u32.. {
            again.tick().await;
            let probe = ToCoordinator::Probe(Probe {
                number: 0,
                boot: shared.boot,
            });
            let message = effects::transient(shared.reader.id(), probe);
            if let Err(error) = broker.publish(&Queue::Reports.into(), message).await {
                tracing::debug!(%error, "a probe did not get out");
            }
            if round == 10 {
                tracing::warn!(
                    "another coordinator still reads the reports, or there are very many: waiting"
                );
            }
        }
    };
    tokio::select! {
        _ = is_reader.wait_for(|is_reader| *is_reader) => Ok(()),
        () = probing => Ok(()),
        () = tokio::time::sleep(takeover) => Err(AnotherCoordinator(takeover)),
    }
}

/// Forgets old films, and removes files that no film has any more. Not before the reports are read that came in while no
/// coordinator was there: they may name files which no job has yet.
pub(crate) async fn retention(shared: Shared, engine: mpsc::Sender<Input>) {
    let mut is_reader = shared.is_reader.subscribe();
    let mut every = interval_at(Instant::now() + RETENTION, RETENTION);
    loop {
        every.tick().await;
        if is_reader.wait_for(|is_reader| *is_reader).await.is_err() {
            return;
        }
        if let Err(error) = clean_up(&shared, &engine).await {
            tracing::error!(
                error = chain(&*error),
                "the clean-up failed; the next one is in an hour"
            );
        }
    }
}

async fn clean_up(
    shared: &Shared,
    engine: &mpsc::Sender<Input>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let kept = shared.settings.retention;
    let mut snapshot = shared.reader.snapshot().await?;
    let mut rows = Rows(&mut snapshot);
    if kept.film_days > 0 {
        let age = Duration::from_secs(u64::from(kept.film_days) * 86_400);
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(Timestamp::now().as_millis().saturating_sub(age_ms));
        for film in rows.films_ended_before(before, 1_000).await? {
            let (reply, _) = oneshot::channel();
            engine
                .send(Input::Ask(Ask::DeleteFilm { film, reply }))
                .await?;
        }
    }
    let used = rows.artifacts_in_use().await?;
    drop(snapshot);
    let grace = Duration::from_secs(u64::from(kept.file_hours) * 3_600);
    let removed = shared
        .artifacts
        .sweep(&used, grace, Timestamp::now())
        .await?;
    if removed > 0 {
        tracing::info!(
            files = removed,
            "files that no film has any more were removed"
        );
    }
    Ok(())
}
