//! A studio on several hosts, each with an address of its own, of which some lose their network while films are made.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]
#![expect(
    clippy::print_stdout,
    reason = "what took how long is a figure of the README"
)]

mod apart;
mod camera;
mod files;
mod network;
mod page;
mod studio;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use shared::api::JobView;
use shared::ids::{Attempt, Take};
use shared::job::{JobKind, JobStatus};
use shared::time::Timestamp;
use tokio::time::{Instant, sleep_until};

use crate::camera::prompt_of;
use crate::studio::Studio;

/// The camera that is cut off for a minute, in which its render ends; the one that is cut off as long, and whose render goes on
/// afterwards; and the one that is cut off for good.
const AWAY: usize = 0;
const LOST: usize = 1;
const OUTLASTS: usize = 2;
const A_MINUTE: Duration = Duration::from_secs(60);
/// How often a worker may complain of the same, however long it goes on.
const SAME_COMPLAINTS: usize = 2;
/// Films that are ordered at first.
const FILMS: usize = 4;

#[test]
#[cfg_attr(
    not(target_os = "linux"),
    ignore = "hosts are made of Linux's network namespaces"
)]
fn renders_survive_a_minute_without_network_and_a_host_that_is_lost_takes_only_its_own_along() {
    let Some(folder) = apart::folder() else {
        let me = std::any::type_name_of_val(
            &renders_survive_a_minute_without_network_and_a_host_that_is_lost_takes_only_its_own_along,
        );
        return apart::run(me.rsplit("::").next().unwrap());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(three_hosts_are_cut_off(&folder)).unwrap();
}

async fn three_hosts_are_cut_off(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    let mut studio = Studio::open(folder).await?;
    say("eight hosts are set up", begun);
    studio.order(FILMS).await?;
    let survives = studio.cut_off_in_mid_render(AWAY).await?;
    let outlasts = studio.cut_off_in_mid_render(OUTLASTS).await?;
    let cut_off = Instant::now();
    let lost = studio.cut_off_in_mid_render(LOST).await?;
    say("all three are cut off", begun);
    // Work is taken from the queues of a broker that has not noticed yet.
    studio.order(1).await?;
    for camera in [AWAY, OUTLASTS, LOST] {
        studio.is_listed_as(camera, &["silent"]).await?;
        studio.knows_that_it_is_cut_off(camera).await?;
    }
    // What it had reported is known by now.
    let stranded = studio.running_at(LOST).await?;
    ensure!(stranded.iter().any(|job| job.id == lost.id), "{stranded:?}");
    let told_before = studio.steps_told(&outlasts).await?;
    studio.has_rendered(AWAY, &survives).await?;
    sleep_until(cut_off + A_MINUTE).await;

    let (plugged_in, back_at) = (Instant::now(), Timestamp::now());
    for camera in [AWAY, OUTLASTS] {
        studio.cameras[camera].host.plug_in()?;
    }
    studio.is_listed_as(AWAY, &["idle", "working"]).await?;
    studio.is_listed_as(OUTLASTS, &["working"]).await?;
    say(
        "the hosts that were away for a minute are heard again",
        plugged_in,
    );
    let survived = studio.done(survives.id).await?;
    is_the_first_try(&survived, &studio, AWAY)?;
    say("and the render that ended meanwhile is there", plugged_in);
    studio.is_told_further(&outlasts, told_before).await?;

    let told = studio.explained().await?;
    let name = studio.cameras[LOST].name;
    let mut workers = told.workers.iter();
    let of_lost = workers.find(|it| it.worker.as_str() == name);
    let of_lost = of_lost.context("who offered it once is told of")?;
    ensure!(!of_lost.online && !of_lost.takes, "{of_lost:?}");
    ensure!(of_lost.reason.contains("for the last time"), "{of_lost:?}");

    // By then the lease of the other render would be over, too, if its host had not begun to keep it again.
    studio.is_given_up(&lost).await?;
    let still = studio.job(outlasts.id).await?;
    ensure!(still.status == JobStatus::Running, "{still:?}");
    studio.cameras[OUTLASTS].is_still_at(&outlasts)?;
    studio.cameras[OUTLASTS].hurries()?;
    let outlasted = studio.done(outlasts.id).await?;
    is_the_first_try(&outlasted, &studio, OUTLASTS)?;
    say(
        "and the render that went on has ended, longer after it began than a lease lasts",
        cut_off,
    );

    studio.cameras[AWAY].hurries()?;
    for camera in [AWAY, OUTLASTS] {
        studio.takes_work_since(camera, back_at).await?;
    }
    studio.all_films_are_made().await?;
    say("all films are made", begun);
    studio.is_listed_as(LOST, &["silent"]).await?;
    studio.is_let_go(LOST).await?;
    each_clip_was_rendered_once(&studio, &stranded).await?;
    nothing_stays(&studio, &stranded).await
}

/// It was done without a second try, at that camera.
fn is_the_first_try(job: &JobView, studio: &Studio, camera: usize) -> Result<()> {
    let by = job.worker.as_ref().context("somebody made it")?;
    assert_eq!(by.as_str(), studio.cameras[camera].name);
    let tries = (job.attempt, job.take, job.failures);
    assert_eq!(tries, (Attempt::FIRST, Take::FIRST, 0));
    Ok(())
}

/// By the servers' own counts: but for those that were lost with their host.
async fn each_clip_was_rendered_once(studio: &Studio, stranded: &[JobView]) -> Result<()> {
    let name = studio.cameras[LOST].name;
    let stranded: Vec<_> = stranded.iter().map(|job| job.id).collect();
    let renders = studio.renders()?;
    let (mut clips, mut writers) = (0, BTreeSet::new());
    for job in studio.jobs().await? {
        let worker = job.worker.as_ref().context("somebody made it")?.to_string();
        match job.kind {
            JobKind::Story => {
                writers.insert(worker);
                continue;
            }
            JobKind::Keyframe | JobKind::Assembly => continue,
            JobKind::Scene => clips += 1,
        }
        let none = Default::default();
        let of_it = renders.get(&prompt_of(&job)).unwrap_or(&none);
        let there = of_it.get(name).copied().unwrap_or(0);
        let elsewhere = of_it.values().sum::<usize>() - there;
        match stranded.contains(&job.id) {
            true => {
                assert_eq!(elsewhere, 1, "{of_it:?} of {job:?}");
                assert_eq!(
                    (job.attempt, job.take),
                    (Attempt::FIRST.next(), Take::FIRST)
                );
                assert_ne!(worker, name);
            }
            false => assert_eq!(there + elsewhere, 1, "{of_it:?} of {job:?}"),
        }
    }
    assert_eq!(renders.len(), clips, "nothing else was rendered");
    assert_eq!(writers.len(), 2, "{writers:?}");
    for (number, camera) in studio.cameras.iter().enumerate() {
        let standing = camera.standing()?;
        assert_eq!(
            (standing.interrupts, camera.refusals()?),
            (0, 0),
            "{standing:?}"
        );
        assert!(
            number == LOST || standing.taken == standing.rendered,
            "{standing:?}"
        );
        assert!(
            !standing.rendered.is_empty(),
            "{} rendered nothing",
            camera.name
        );
    }
    println!("{clips} clips of {} films", studio.films.len());
    Ok(())
}

/// Nothing is left of the trouble, where anybody would look.
async fn nothing_stays(studio: &Studio, stranded: &[JobView]) -> Result<()> {
    let told = studio.told_by_the_coordinator().await?;
    for nothing in [
        "callsheet_jobs_queued",
        "callsheet_jobs_running",
        "callsheet_outbox_attempts",
    ] {
        assert_eq!(told.sum(nothing), 0, "{nothing}: {told}");
    }
    let expired = told.sum("callsheet_leases_expired_total");
    assert_eq!(
        expired,
        stranded.len(),
        "only those of the lost host: {told}"
    );
    for camera in [AWAY, OUTLASTS] {
        studio.is_idle_and_open(camera).await?;
    }
    for camera in &studio.cameras {
        let complaints = camera.complaints(SAME_COMPLAINTS);
        assert!(complaints.is_empty(), "{}: {complaints:?}", camera.name);
    }
    Ok(())
}

fn say(what: &str, since: Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}
