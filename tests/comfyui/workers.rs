//! A worker that is killed comes back late, or not at all, or finds that ComfyUI was restarted, too.

use std::time::Duration;

use crate::kills::rendered_once;
use crate::studio::Studio;

const LONG: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_worker_that_comes_back_after_its_lease_has_run_out_finds_its_render() {
    let lease = Duration::from_millis(500);
    let mut studio = Studio::open(lease, Duration::from_millis(100)).await;
    let film = studio.submit().await;
    let camera = studio.camera("camera");
    studio.a_render_runs().await;
    let killed = studio.kill(camera).await;
    // The render goes on and ends; nobody hears of it, and its run is given up.
    studio.so_many_are_rendered(1).await;
    studio.the_lease_runs_out(film).await;
    let _camera = studio.start_again(killed);
    studio.film_is_made(film).await;
    rendered_once(&studio.double, 3);
    studio.close().await;
}

#[tokio::test]
async fn a_sibling_at_the_same_server_takes_the_render_over() {
    let lease = Duration::from_millis(500);
    let mut studio = Studio::open(lease, Duration::from_millis(500)).await;
    let film = studio.submit().await;
    let camera = studio.camera("camera");
    studio.a_render_runs().await;
    // It stays away. Its sibling has no notes of its renders.
    let _killed = studio.kill(camera).await;
    let _sibling = studio.camera("sibling");
    studio.film_is_made(film).await;
    rendered_once(&studio.double, 3);
    studio.close().await;
}

#[tokio::test]
async fn a_clip_that_was_written_before_comfyui_was_restarted_is_found_by_its_name() {
    let mut studio = Studio::open(LONG, Duration::from_millis(100)).await;
    let film = studio.submit().await;
    let camera = studio.camera("camera");
    studio.a_render_runs().await;
    let killed = studio.kill(camera).await;
    studio.so_many_are_rendered(1).await;
    studio.double.start_again();
    let _camera = studio.start_again(killed);
    studio.film_is_made(film).await;
    rendered_once(&studio.double, 3);
    studio.close().await;
}
