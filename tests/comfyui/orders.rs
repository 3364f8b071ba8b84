//! What a film asks for reaches the server, and what a server lacks reaches another worker.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use shared::api::Manifest;
use shared::job::JobKind;
use support::wait::until;

use crate::studio::{LONG, Studio, double};

const RENDER: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_manifest_tells_the_seed_that_each_clip_was_sampled_with_and_a_draft_takes_fewer_steps()
-> Result<()> {
    let mut studio = Studio::open(LONG, RENDER).await?;
    for (quality, steps) in [("draft", 2), ("final", 4)] {
        let film = studio.order(2, &json!({"quality": quality})).await?;
        studio.completed(film).await;
        let path = format!("/v1/films/{film}/film.json");
        let manifest: Manifest = studio.stage.get(&path).await?;
        assert_eq!(json!(manifest.quality), json!(quality));
        for scene in &manifest.scenes {
            let job = json!(scene.clip.job);
            let rendered = studio.double.rendered();
            let mut rendered = rendered.iter();
            let render = rendered.find(|it| it.extra_data["callsheet"]["job"] == job);
            let sampler = &render.context("it was rendered")?.graph["sampler"]["inputs"];
            assert_eq!(
                (&sampler["seed"], &sampler["steps"]),
                (&json!(scene.clip.seed), &json!(steps))
            );
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_model_has_gone_goes_to_a_worker_that_has_it_and_is_not_tried_here_again()
-> Result<()> {
    let mut studio = Studio::open(LONG, RENDER).await?;
    studio.is_ready("painter").await;
    // Nobody looks again before a job has failed of it.
    studio.double.behave(|it| it.models.clear());
    let film = studio.order(1, &json!({})).await?;
    let failure = until("the failure", Duration::from_secs(60), async || {
        let jobs = studio.jobs().await?;
        let job = jobs.into_iter().find(|job| job.kind == JobKind::Scene);
        job.and_then(|job| job.failure).context("it has not failed")
    })
    .await;
    ensure!(failure.message.contains("moving.safetensors"), "{failure}");

    let other = double(RENDER);
    let url = [("CALLSHEET__COMFYUI__URL", &*other.url())];
    let _second = studio.stage.another_painter("second", url)?;
    let view = studio.completed(film).await;
    let mut jobs = view.jobs.iter();
    let clip = jobs
        .find(|job| job.kind == JobKind::Scene)
        .context("a clip")?;
    assert_eq!(clip.worker.as_ref().unwrap().as_str(), "second");
    assert_eq!(
        (studio.double.refused(), studio.double.taken().len()),
        (1, 0)
    );
    assert_eq!((other.refused(), other.rendered().len()), (0, 1));
    Ok(())
}
