//! A studio on several hosts, each with an address of its own, of which some lose their network while films are made.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]
#![expect(
    clippy::print_stdout,
    reason = "what took how long is a figure of the README"
)]

mod apart;
mod network;
mod studio;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use shared::ids::{Attempt, Take};
use shared::job::JobKind;
use tokio::time::{Instant, sleep_until};

use crate::studio::{Studio, prompt_of};

/// The camera that is cut off for a minute, and the one that is cut off for good.
const AWAY: usize = 0;
const LOST: usize = 1;
const A_MINUTE: Duration = Duration::from_secs(60);
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
    runtime.block_on(two_hosts_are_cut_off(&folder)).unwrap();
}

async fn two_hosts_are_cut_off(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    let mut studio = Studio::open(folder).await?;
    say("eight hosts are set up", begun);
    studio.order(FILMS).await?;
    let survives = studio.cut_off_in_mid_render(AWAY).await?;
    let cut_off = Instant::now();
    let lost = studio.cut_off_in_mid_render(LOST).await?;
    say("both are cut off", begun);
    // Work is taken from the queues of a broker that has not noticed yet.
    studio.order(1).await?;
    studio.is_listed_as(AWAY, &["silent"]).await?;
    studio.is_listed_as(LOST, &["silent"]).await?;
    // What it had reported is known by now.
    let stranded = studio.running_at(LOST).await?;
    ensure!(stranded.iter().any(|job| job.id == lost.id), "{stranded:?}");
    studio.has_rendered(AWAY, &survives).await?;
    sleep_until(cut_off + A_MINUTE).await;

    let plugged_in = Instant::now();
    studio.cameras[AWAY].host.plug_in()?;
    studio.is_listed_as(AWAY, &["idle", "working"]).await?;
    say(
        "the host that was away for a minute is heard again",
        plugged_in,
    );
    let survived = studio.done(survives.id).await?;
    say(
        "and its render, which ended meanwhile, is there",
        plugged_in,
    );
    let by = survived.worker.as_ref().context("somebody made it")?;
    assert_eq!(by.as_str(), studio.cameras[AWAY].name);
    let tries = (survived.attempt, survived.take, survived.failures);
    assert_eq!(tries, (Attempt::FIRST, Take::FIRST, 0));

    let told = studio.explained().await?;
    let name = studio.cameras[LOST].name;
    let mut workers = told.workers.iter();
    let of_lost = workers.find(|it| it.worker.as_str() == name);
    let of_lost = of_lost.context("who offered it once is told of")?;
    ensure!(!of_lost.online && !of_lost.takes, "{of_lost:?}");
    ensure!(of_lost.reason.contains("for the last time"), "{of_lost:?}");

    studio.all_films_are_made().await?;
    say("all films are made", begun);
    studio.is_listed_as(LOST, &["silent"]).await?;
    studio.is_let_go(LOST).await?;
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

fn say(what: &str, since: Instant) {
    println!("{what}: {:.1} s", since.elapsed().as_secs_f64());
}
