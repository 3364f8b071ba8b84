//! Whoever watches a film sees its renders while they go on: over RabbitMQ, and in one process.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use serde_json::json;
use shared::api::{FilmStatus, FilmView, JobView, Problem, SubmitAnswer};
use shared::ids::{FilmId, JobId};
use shared::job::JobKind;
use support::http::client;
use support::programs::Program;
use support::wait::until;

use crate::studio::{LONG, PROFILE, STEPS, Studio, double};

/// Long enough for several pictures, which are told every two seconds at most.
const RENDER: Duration = Duration::from_secs(12);
const PATIENCE: Duration = Duration::from_secs(60);

/// A picture of the recorded size.
fn picture(number: u8) -> Bytes {
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, number];
    bytes.resize(69_582, number);
    bytes.into()
}

/// A coordinator's API.
struct Viewer {
    url: String,
    http: reqwest::Client,
}

impl Viewer {
    fn at(url: String) -> Self {
        Self {
            url,
            http: client(),
        }
    }

    async fn film(&self, film: FilmId) -> Result<FilmView> {
        let asked = self.http.get(format!("{}/v1/films/{film}", self.url));
        Ok(asked.send().await?.error_for_status()?.json().await?)
    }

    /// The clip's job, as it stands.
    async fn clip(&self, film: FilmId) -> Result<JobView> {
        let view = self.film(film).await?;
        let mut jobs = view.jobs.into_iter();
        jobs.find(|job| job.kind == JobKind::Scene)
            .context("there is no clip to make yet")
    }

    fn preview(&self, job: JobId) -> reqwest::RequestBuilder {
        let url = format!("{}/v1/jobs/{job}/preview", self.url);
        self.http.get(url)
    }

    /// Waits until that picture of a render is shown; which one it is by the film's own word, and its tag.
    async fn sees(&self, film: FilmId, picture: &Bytes) -> (JobView, u64, String) {
        until("a picture of the render", PATIENCE, async || {
            let number_in = |job: &JobView| job.progress.as_ref().and_then(|it| it.preview);
            let job = self.clip(film).await?;
            let number = number_in(&job).with_context(|| format!("{:?}", job.progress))?;
            let answer = self.preview(job.id).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.text().await?);
            let header = |name| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
            assert_eq!(header(CONTENT_TYPE).as_deref(), Some("image/jpeg"));
            assert_eq!(header(CACHE_CONTROL).as_deref(), Some("no-store"));
            let tag = header(ETAG).context("a tag")?;
            ensure!(answer.bytes().await? == *picture, "it is another one");
            // Another may have come between the two answers.
            let now = number_in(&self.clip(film).await?);
            ensure!(now == Some(number), "{now:?} after {number}");
            Ok((job, number, tag))
        })
        .await
    }

    /// Sees a render of one scene in its middle, and nothing more of it after its end.
    async fn watches(&self, film: FilmId, show: impl Fn(Bytes)) -> Result<()> {
        let (job, first, tag) = self.sees(film, &picture(1)).await;
        let progress = job.progress.context("it runs")?;
        ensure!(
            (1..STEPS).contains(&progress.step) && progress.steps == STEPS,
            "{progress:?}"
        );
        let known = self.preview(job.id).header(IF_NONE_MATCH, &tag);
        assert_eq!(known.send().await?.status(), StatusCode::NOT_MODIFIED);
        show(picture(2));
        let (_, second, other_tag) = self.sees(film, &picture(2)).await;
        assert!(second > first && other_tag != tag);

        until("the film", PATIENCE, async || {
            let view = self.film(film).await?;
            let status = view.summary.status;
            ensure!(status == FilmStatus::Completed, "{status:?}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
        let answer = self.preview(job.id).send().await?;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let problem: Problem = answer.json().await?;
        assert!(problem.detail.contains("has ended"), "{problem:?}");
        assert!(problem.kind.ends_with("not-there-yet"), "{problem:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_is_seen_over_rabbitmq_while_it_goes_on_and_not_after_it() -> Result<()> {
    let mut studio = Studio::open(LONG, RENDER).await?;
    studio.double.behave(|it| it.picture = picture(1));
    let film = studio.order(1, &json!({})).await?;
    let viewer = Viewer::at(studio.stage.url("")?);
    viewer
        .watches(film, |picture| {
            studio.double.behave(|it| it.picture = picture);
        })
        .await?;
    studio.all_is_rendered_once().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_render_is_seen_at_the_same_address_when_all_is_one_process() -> Result<()> {
    let double = double(RENDER);
    double.behave(|it| it.picture = picture(1));
    let folder = tempfile::tempdir()?;
    let (program, url) = up(folder.path(), &double.url()).await?;
    let request = json!({
        "script": {"title": "Waves", "scenes": [{"action": "A wave."}]}, "seconds": 1, "size": "64x64", "fps": 8, "seed": 1,
    });
    let viewer = Viewer::at(url);
    let sent = viewer.http.post(format!("{}/v1/films", viewer.url));
    let answer: SubmitAnswer = sent.json(&request).send().await?.json().await?;
    let SubmitAnswer::Accepted { film } = answer else {
        panic!("{answer:?}")
    };
    viewer
        .watches(film, |picture| {
            double.behave(|it| it.picture = picture);
        })
        .await?;
    drop(program);
    Ok(())
}

/// `callsheet up` with that ComfyUI, and where it is spoken to.
async fn up(folder: &Path, comfyui: &str) -> Result<(Program, String)> {
    let workflows = concat!(env!("CARGO_MANIFEST_DIR"), "/comfyui/workflows");
    let settings = format!(
        "[coordinator.profiles]\nscene = \"{PROFILE}\"\n\
         [comfyui]\nurl = \"{comfyui}\"\nworkflows = '{workflows}'\n\
         [gpu]\ndevice = \"none\"\n",
    );
    let at = |name: &str| folder.join(name).into_os_string();
    std::fs::write(at("settings.toml"), settings)?;
    let words = ["up", "--listen", "127.0.0.1:0", "--data-dir"].map(Into::into);
    let files = [at("data"), "--config".into(), at("settings.toml")];
    let arguments = words.into_iter().chain(files);
    let program = Program::start("callsheet", "up", arguments, folder)?;
    let url = until("the server to be up", PATIENCE, async || {
        let printed = program.printed();
        let (_, url) = printed.split_once("is up at ").context("not up yet")?;
        let (url, _) = url.split_once('\n').context("half a line")?;
        Ok::<_, anyhow::Error>(url.trim().to_owned())
    })
    .await;
    Ok((program, url))
}
