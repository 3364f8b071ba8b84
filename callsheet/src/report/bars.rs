//! For a person at a terminal: a bar for each running job, and one for the film.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shared::api::{FilmEvent, Happening, JobView, ProgressView};
use shared::ids::JobId;
use shared::job::JobStatus;

use super::lines::line;
use super::{Report, job_name};
use crate::term;

/// Draws bars on standard error.
#[derive(Debug)]
pub(crate) struct Bars {
    screen: MultiProgress,
    film: ProgressBar,
    running: HashMap<JobId, ProgressBar>,
    /// Every job heard of, and whether it is done.
    jobs: HashMap<JobId, bool>,
    /// Jobs that the film will have, as far as is known.
    expected: u64,
}

impl Bars {
    /// Bars on a screen that the log shares.
    pub(crate) fn new(screen: MultiProgress) -> Self {
        let film = screen.add(
            ProgressBar::new(1)
                .with_style(style("{prefix:11} {bar:30} {pos} of {len} jobs, {elapsed}")),
        );
        film.set_prefix("film");
        film.enable_steady_tick(Duration::from_millis(250));
        Self {
            screen,
            film,
            running: HashMap::new(),
            jobs: HashMap::new(),
            expected: 1,
        }
    }

    fn job(&mut self, job: &JobView) {
        self.jobs.insert(job.id, job.status == JobStatus::Completed);
        self.film
            .set_length(self.expected.max(self.jobs.len() as u64));
        self.film
            .set_position(self.jobs.values().filter(|done| **done).count() as u64);
        if job.status == JobStatus::Running {
            let (screen, film) = (&self.screen, &self.film);
            self.running.entry(job.id).or_insert_with(|| {
                let bar = ProgressBar::new(0).with_style(style("{prefix:11} {spinner} {msg}"));
                let bar = screen.insert_before(film, bar);
                bar.set_prefix(job_name(job));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
        } else if let Some(bar) = self.running.remove(&job.id) {
            bar.finish_and_clear();
            self.screen.remove(&bar);
        }
    }

    fn progress(&self, job: JobId, progress: &ProgressView) {
        let Some(bar) = self.running.get(&job) else {
            return;
        };
        bar.set_message(term::plain(&progress.phase));
        if progress.steps > 0 {
            bar.set_style(style("{prefix:11} {bar:30} {pos} of {len}, {msg}"));
            // Both at once: a new phase may have fewer steps than the old one had done.
            bar.update(|state| {
                state.set_len(progress.steps.into());
                state.set_pos(progress.step.into());
            });
        }
    }
}

impl Report for Bars {
    fn event(&mut self, event: &FilmEvent) {
        match &event.what {
            Happening::JobChanged { job } => {
                self.job(job);
                if job.status == JobStatus::Running {
                    return;
                }
            }
            Happening::JobProgressed { job, progress } => self.progress(*job, progress),
            // The story, an image and a clip for each scene, and the assembly.
            Happening::StoryWritten { scenes, .. } => self.expected = 2 + 2 * u64::from(*scenes),
            Happening::FilmAccepted
            | Happening::FilmCompleted
            | Happening::FilmFailed { .. }
            | Happening::FilmCancelled => {}
        }
        if let Some(line) = line(event) {
            self.note(&line);
        }
    }

    fn note(&mut self, text: &str) {
        // It fails when the terminal is gone, and then there is nobody to tell.
        drop(self.screen.println(text));
    }

    fn close(&mut self) {
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
        self.film.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("our own templates are valid")
        .progress_chars("━╸─")
}
