//! Coordinator and worker in a process that is killed with SIGKILL, again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use comfyui_double::{Content, Double, Flavour};
use support::moving::clip;
use support::programs::Program;
use support::wait::until;

const FILMS: usize = 8;
const SCENES: usize = 3 * FILMS;
const KILLS: u64 = 20;
/// How long a render takes, about.
const RENDER: Duration = Duration::from_millis(600);

/// A moment of a render, spread over all of it and a little beyond.
fn moment(kill: u64) -> Duration {
    let chance = (kill + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    RENDER.mul_f64(1.1 * chance as f64 / 65_536.0)
}

/// Each scene was rendered, and none twice.
pub(crate) fn rendered_once(double: &Double, scenes: usize) {
    let rendered = double.rendered();
    let jobs: BTreeSet<_> = rendered
        .iter()
        .map(|it| it.extra_data["callsheet"]["job"].to_string())
        .collect();
    assert_eq!(
        (rendered.len(), jobs.len()),
        (scenes, scenes),
        "{rendered:?}"
    );
    assert_eq!(double.taken().len(), scenes);
}

#[tokio::test]
async fn twenty_kills_at_any_moment_of_a_render_cost_no_render() {
    let double = Double::start(Flavour::New);
    double.behave(|it| {
        it.content = Content::Bytes(clip().unwrap());
        it.step = RENDER / 4;
    });
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        "--folder".to_owned(),
        folder.path().join("studio").to_string_lossy().into_owned(),
        "--url".to_owned(),
        double.url(),
        "--films".to_owned(),
        FILMS.to_string(),
    ];
    let mut studio = Program::start("comfyui-studio", "studio", arguments, folder.path()).unwrap();
    let mut kills = 0;
    while kills < KILLS {
        // It ends by itself when all films are made, and may do so before it was killed often enough only if it renders nothing.
        until("a render", Duration::from_secs(60), async || {
            match double.running() {
                Some(_) => Ok(()),
                None => Err(studio.printed()),
            }
        })
        .await;
        tokio::time::sleep(moment(kills)).await;
        studio.kill().unwrap();
        kills += 1;
        studio.start_again().unwrap();
    }
    until(
        "the films",
        Duration::from_secs(240),
        async || match studio.printed() {
            printed if printed.ends_with("done\n") => Ok(()),
            printed => Err(printed),
        },
    )
    .await;
    rendered_once(&double, SCENES);
    assert_eq!(double.interrupts(), 0);
}
