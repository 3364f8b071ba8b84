//! The profiles `gpu`, `worker` and `observability`: two hosts with a card each, and who looks on.
//!
//! What is shipped is run as it is, but for one thing: no container reserves a card, as the engine has no driver for one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use shared::api::{FilmView, WorkerList};
use shared::artifact::Sha256;
use shared::byte_size::ByteSize;
use shared::film::{FilmRequest, Profiles};
use shared::job::JobKind;
use support::api::Api;
use support::docker::docker;
use support::request::small;
use support::wait::{SOON, try_until};

use crate::observers::{Prometheus, is_traced, of_card, page};
use crate::parts::Parts;
use crate::project::{Project, address_of, root};
use crate::secrets::Secrets;
use crate::studio::{LOADED, MODEL, STORY, Studio};
use crate::{
    COORDINATOR, FILM_LIMIT, all_is_well, in_the_end_nothing_is_left, no_secret_is_shown, say,
    who_runs_there,
};

/// What a program of somebody else holds of the first card.
const FOREIGN: ByteSize = ByteSize::gib(2);
/// Where films are rendered: on the first host, and on the further one.
const HERE: &str = "moving";
pub(crate) const FAR: &str = "far";

/// Brings both hosts up, makes a film on each card, and takes everything down.
pub(crate) async fn story(parts: &Parts) -> Result<()> {
    let secrets = Secrets::make(&parts.image, None)?;
    let studio = Studio::open("studio-1", HERE)?.with_lm_studio(HERE)?;
    let bridge = bridge(parts)?;
    let project = studio
        .project(parts, "gpu,observability", &secrets)?
        .at(address_of(1))
        // As .env.example says for a Prometheus in a container.
        .with("CALLSHEET_METRICS_ADDRESS", bridge.to_string())
        .with("CALLSHEET_TARGETS", targets(&studio)?.to_string_lossy())
        .with("CALLSHEET_OTLP_ENDPOINT", "http://otel-collector:4318");
    let first = Host {
        studio,
        project,
        metrics: [9464, 9465]
            .map(|port| SocketAddrV4::new(bridge, port))
            .to_vec(),
        token: secrets.token("token-worker")?,
    };
    first.reservation_reaches_the_engine();
    // A long story within another: their state is not to be carried about.
    let told = Box::pin(tell(parts, &secrets, &first));
    in_the_end_nothing_is_left(&first.project, told).await
}

async fn tell(parts: &Parts, secrets: &Secrets, first: &Host) -> Result<()> {
    let begun = Instant::now();
    first.project.up(&[])?;
    let base = format!("http://{}", first.project.http());
    let api = Api::new(base, secrets.token("token-operate")?);
    api.ready().await?;
    api.workers(2).await?;
    say("a host with a card is up and ready", begun);
    who_runs_there(&first.project, &["llm-worker", "video-worker"])?;

    let begun = Instant::now();
    first.studio.we_hold(FOREIGN)?;
    first.holds(MODEL, FOREIGN).await?;
    strangers_have_names(&api).await?;
    say(
        "the card's memory is told apart across the containers",
        begun,
    );

    let begun = Instant::now();
    let film = api.submit(&on_cards(1, None)).await?;
    let film = api.completed(film, FILM_LIMIT).await?;
    made_by(&film, JobKind::Story, STORY, "studio-1-llm-worker-1")?;
    made_by(&film, JobKind::Scene, HERE, "studio-1-video-worker-1")?;
    // The video worker asked for it in the folder that both containers share.
    let language = first.studio.language().await?;
    ensure!(
        language == (1, 1, false),
        "the language model: {language:?}"
    );
    first.holds(LOADED, FOREIGN).await?;
    is_traced(&first.project, film.summary.id).await?;
    say(
        "a film on the card, which the language model left for it",
        begun,
    );
    all_is_well(&first.project, &[COORDINATOR, "llm-worker", "video-worker"])?;

    let studio = Studio::open("studio-2", FAR)?;
    let metrics = address_of(2);
    let theirs = secrets.for_a_further_host()?;
    let project = studio
        .project(parts, "worker", &theirs)?
        .at(address_of(1))
        .with("CALLSHEET_METRICS_ADDRESS", metrics.to_string())
        .with("CALLSHEET_OTLP_ENDPOINT", "http://otel-collector:4318");
    let further = Host {
        studio,
        project,
        // Its other worker has no work for a card, and looks at none.
        metrics: vec![SocketAddrV4::new(metrics, 9465)],
        token: theirs.token("token-worker")?,
    };
    let told = Box::pin(far_away(first, &further, &api));
    in_the_end_nothing_is_left(&further.project, told).await?;

    let begun = Instant::now();
    let jobs = [
        ("coordinator", 1),
        ("rabbitmq", 1),
        ("workers-with-a-card", 2),
    ];
    Prometheus::of(&first.project).sees(&jobs).await?;
    first.project.all_are_healthy().await?;
    say("Prometheus sees them all, and all are healthy", begun);
    ensure!(first.studio.refusals()? == 0, "the card was over-committed");
    no_secret_is_shown(&first.project, secrets)
}

/// A film of which the further host renders the scenes.
async fn far_away(first: &Host, further: &Host, api: &Api) -> Result<()> {
    let begun = Instant::now();
    further.project.up(&[])?;
    api.workers(4).await?;
    let film = api.submit(&on_cards(2, Some(FAR))).await?;
    let film = api.completed(film, FILM_LIMIT).await?;
    made_by(&film, JobKind::Story, STORY, "studio-1-llm-worker-1")?;
    made_by(&film, JobKind::Scene, FAR, "studio-2-video-worker-1")?;
    // For the second story the first card's video model left.
    let language = first.studio.language().await?;
    ensure!(language == (2, 1, true), "the language model: {language:?}");
    first.holds(MODEL, FOREIGN).await?;
    further.holds(LOADED, ByteSize::ZERO).await?;
    let rendered = (first.studio.rendered()?, further.studio.rendered()?);
    ensure!(rendered == (3, 3), "rendered here and there: {rendered:?}");
    clips_are_at_the_coordinator(&film, api).await?;
    let left = further
        .project
        .exec("video-worker-remote", "ls /srv/callsheet")?;
    ensure!(left.is_empty(), "they have stayed there, too: {left}");
    is_traced(&first.project, film.summary.id).await?;
    ensure!(
        further.studio.refusals()? == 0,
        "the card was over-committed"
    );
    let workers = ["llm-worker-remote", "video-worker-remote"];
    who_runs_there(&further.project, &workers)?;
    all_is_well(&further.project, &workers)?;
    say("a further host, and a film on its card", begun);
    Ok(())
}

/// A host: what is on it outside of containers and within, and where those of its workers that use the card tell their metrics, to
/// whom.
struct Host {
    studio: Studio,
    project: Project,
    metrics: Vec<SocketAddrV4>,
    token: String,
}

impl Host {
    /// Says aloud what of the reservation was seen: it is what this test leaves out.
    fn reservation_reaches_the_engine(&self) {
        match self
            .project
            .does_not_start("docker-compose.yml", "llm-worker")
        {
            Some(why) if why.contains("could not select device driver") => println!(
                "NOT run: the reservation of a card. As shipped, it reaches the engine, which has no driver for it"
            ),
            Some(why) => println!("NOT run: the reservation of a card. As shipped: {why}"),
            None => println!("the reservation of a card is as the engine wants it"),
        }
    }

    /// Waits until they tell that so much of their card is held by our servers, and so much by others.
    async fn holds(&self, ours: ByteSize, foreign: ByteSize) -> Result<()> {
        let card = self.studio.uuid();
        try_until("the card to be told of like that", SOON, async || {
            for address in &self.metrics {
                let url = format!("http://{address}/metrics");
                let page = page(&url, &self.token).await?;
                for (metric, expected) in [
                    ("callsheet_card_ours_bytes", ours),
                    ("callsheet_card_foreign_bytes", foreign),
                ] {
                    let told = of_card(&page, metric, card)?;
                    ensure!(
                        told.as_bytes().abs_diff(expected.as_bytes()) < 1 << 20,
                        "{url}: {metric} is {told} and not {expected}"
                    );
                }
            }
            Ok(())
        })
        .await
    }
}

/// A small film, whose scenes are rendered on that profile, or on that of the settings.
pub(crate) fn on_cards(seed: u64, scene: Option<&str>) -> FilmRequest {
    FilmRequest {
        size: "64x64".parse().ok(),
        fps: Some(8),
        profiles: Profiles {
            scene: scene.and_then(|name| name.parse().ok()),
            ..Profiles::default()
        },
        ..small(seed)
    }
}

/// All work of that kind was done so and there, and nothing otherwise than it was asked for.
pub(crate) fn made_by(film: &FilmView, kind: JobKind, profile: &str, worker: &str) -> Result<()> {
    let jobs = film.jobs.iter().filter(|job| job.kind == kind);
    let made: Vec<_> = jobs
        .map(|job| {
            (
                job.profile.as_str(),
                job.worker.as_ref().map_or("nobody", |it| it.as_str()),
            )
        })
        .collect();
    ensure!(
        !made.is_empty() && made.iter().all(|made| *made == (profile, worker)),
        "{kind} by {made:?}"
    );
    ensure!(film.fallbacks.is_empty(), "{:?}", film.fallbacks);
    Ok(())
}

/// Of the processes of the host that hold a card, ours are called by their servers and others by their programs.
async fn strangers_have_names(api: &Api) -> Result<()> {
    try_until("the holders of the card to be told of", SOON, async || {
        let list: WorkerList = api.get("/v1/workers").await?;
        for worker in list.workers {
            let card = worker.state.devices.first().context("it has a card")?;
            let holders = card.holders.iter();
            let names = holders.map(|it| (it.ours, it.program.as_deref().unwrap_or_default()));
            let names: Vec<_> = names.collect();
            let [(true, server), (false, "compose-test")] = names[..] else {
                bail!("{names:?}")
            };
            ensure!(server.contains("@127.0.0.1:"), "{server}");
        }
        Ok(())
    })
    .await
}

/// What was rendered elsewhere lies at the coordinator under its hash.
async fn clips_are_at_the_coordinator(film: &FilmView, api: &Api) -> Result<()> {
    for scene in &film.scenes {
        let clip = scene.clip.as_ref().context("each scene has a clip")?;
        let number = scene.number;
        let path = format!("/v1/films/{}/scenes/{number}/clip.mp4", film.summary.id);
        let sent = api.bytes(&path).await?;
        ensure!(
            Sha256::of(&sent) == clip.sha256,
            "scene {number} is another file"
        );
    }
    Ok(())
}

/// The address of this machine for its containers, where their Prometheus finds what is in the host's network.
fn bridge(parts: &Parts) -> Result<Ipv4Addr> {
    let run = ["run", "--rm", "--add-host", "machine:host-gateway"];
    let words = [parts.image.as_str(), "getent", "ahostsv4", "machine"];
    let told = docker(&[&run[..], &words].concat())?;
    let first = told.split_whitespace().next().unwrap_or_default();
    first
        .parse()
        .with_context(|| format!("the bridge: {told:?}"))
}

/// The shipped folder of targets with what stands there for a card on the same host.
fn targets(studio: &Studio) -> Result<PathBuf> {
    let folder = studio.folder().join("targets");
    fs::create_dir(&folder)?;
    let shipped = fs::read_to_string(root().join("deploy/prometheus/targets/workers.yml"))?;
    let (off, on) = ("#- targets: [\"host.docker", "- targets: [\"host.docker");
    ensure!(shipped.contains(off), "{shipped}");
    fs::write(folder.join("workers.yml"), shipped.replace(off, on))?;
    Ok(folder)
}
