//! A process that renders scenes is killed with SIGKILL, again and again: each scene is rendered once, by the server's own count.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use comfyui_double::Flavour;
use shared::ids::JobId;
use video_worker::comfyui::ComfyUiSettings;

use crate::support::{Stage, Wan, double, until};

/// Where the server is and where the process keeps what it has done, for the process that is killed.
const URL: &str = "CALLSHEET_TEST_KILLED_URL";
const FOLDER: &str = "CALLSHEET_TEST_KILLED_FOLDER";
const SCENES: u128 = 24;
const KILLS: u64 = 20;
const STEP: Duration = Duration::from_millis(100);

/// A moment of a render, spread over all of it and a little beyond.
fn moment(kill: u64) -> Duration {
    let chance = (kill + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    STEP.mul_f64(5.0 * chance as f64 / 65_536.0)
}

#[tokio::test]
#[ignore = "it is the process that the test below kills"]
async fn renders_one_scene_after_another() {
    let (Ok(url), Some(folder)) = (std::env::var(URL), std::env::var_os(FOLDER)) else {
        return;
    };
    let settings = ComfyUiSettings {
        url,
        ..ComfyUiSettings::default()
    };
    let stage = Stage::at(Wan::default(), settings).await;
    for scene in 1..=SCENES {
        let mark = Path::new(&folder).join(scene.to_string());
        if mark.exists() {
            continue;
        }
        let mut attempt = stage.attempt();
        attempt.job = JobId::from_u128(scene);
        stage.run(&attempt).await.unwrap();
        std::fs::write(mark, "").unwrap();
    }
}

struct Killed(Child);

impl Killed {
    fn start(url: &str, folder: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kills::renders_one_scene_after_another",
                "--ignored",
            ])
            .env(URL, url)
            .env(FOLDER, folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn twenty_kills_at_any_moment_of_a_render_cost_no_render() {
    let double = double(Flavour::New);
    double.behave(|it| it.step = STEP);
    let folder = tempfile::tempdir().unwrap();
    let mut process = Killed::start(&double.url(), folder.path());
    for kill in 0..KILLS {
        until("a render", || double.running().is_some()).await;
        tokio::time::sleep(moment(kill)).await;
        process.kill();
        process = Killed::start(&double.url(), folder.path());
    }
    let ended = tokio::task::spawn_blocking(move || process.0.wait());
    let ended = tokio::time::timeout(Duration::from_secs(120), ended).await;
    assert!(ended.unwrap().unwrap().unwrap().success());
    let rendered = double.rendered();
    let jobs: BTreeSet<_> = rendered
        .iter()
        .map(|it| it.extra_data["callsheet"]["job"].to_string())
        .collect();
    let scenes = usize::try_from(SCENES).unwrap();
    assert_eq!(
        (rendered.len(), jobs.len()),
        (scenes, scenes),
        "{rendered:?}"
    );
    assert_eq!((double.taken().len(), double.interrupts()), (scenes, 0));
}
