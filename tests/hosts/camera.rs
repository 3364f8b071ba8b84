//! A host with a card, a ComfyUI and a worker.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use comfyui_double::process::{Process, Standing};
use shared::api::JobView;
use support::http::client;
use support::programs::Program;
use video_worker::comfyui::tag::Tag;

use crate::network::Host;
use crate::page::Page;

/// How long a step takes on a quick card.
pub(crate) const QUICK: Duration = Duration::from_millis(50);
/// Where its worker tells how it is.
pub(crate) const METRICS_PORT: u16 = 9464;

/// A host with a card. What runs there ends before it does.
pub(crate) struct Camera {
    pub(crate) name: &'static str,
    pub(crate) worker: Program,
    pub(crate) comfyui: Process,
    pub(crate) card: simulated_gpu::Card,
    pub(crate) host: Host,
    /// Opens what its worker tells Prometheus.
    pub(crate) token: String,
}

impl Camera {
    /// How its ComfyUI stands, by its own count: also while nobody can reach it.
    pub(crate) fn standing(&self) -> Result<Standing> {
        self.comfyui.standing().context(self.name)
    }

    /// Checks that its ComfyUI works on that job.
    pub(crate) fn is_still_at(&self, job: &JobView) -> Result<()> {
        let standing = self.standing()?;
        ensure!(standing.running == Some(prompt_of(job)), "{standing:?}");
        Ok(())
    }

    /// From now on it is as quick as others.
    pub(crate) fn hurries(&self) -> Result<()> {
        Ok(self.comfyui.take_for_a_step(QUICK)?)
    }

    /// Who has asked its card for memory that was not there.
    pub(crate) fn refusals(&self) -> Result<usize> {
        Ok(self.card.refusals()?.len())
    }

    /// What its worker has complained of more than so often in the same words.
    pub(crate) fn complaints(&self, more_than: usize) -> Vec<(String, usize)> {
        let log = self.worker.printed();
        let mut said: BTreeMap<&str, usize> = BTreeMap::new();
        // Behind the time.
        let lines = log.lines().filter_map(|line| line.split_once(' '));
        let lines = lines.map(|(_, line)| line.trim_start());
        for line in lines.filter(|it| it.starts_with("WARN") || it.starts_with("ERROR")) {
            *said.entry(line).or_default() += 1;
        }
        said.retain(|_, times| *times > more_than);
        said.into_iter()
            .map(|(line, times)| (line.to_owned(), times))
            .collect()
    }

    /// What its worker tells Prometheus.
    pub(crate) async fn page(&self) -> Result<Page> {
        let url = format!(
            "http://{}:{METRICS_PORT}/metrics",
            self.host.place.address()
        );
        let asked = client().get(url).bearer_auth(self.token.trim());
        let page = asked.send().await?.error_for_status()?;
        Ok(Page(page.text().await?))
    }
}

/// The id under which a job's clip is rendered.
pub(crate) fn prompt_of(job: &JobView) -> String {
    Tag::first(job.id, job.take).prompt()
}
