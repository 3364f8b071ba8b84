//! Does what [`Render`] decides, and tells it what came of that.

use shared::failure::{Failure, chain};
use shared::ids::RunId;
use shared::job::{Outcome, Payload};
use shared::preview::Preview;
use shared::protocol::RunAttempt;
use shared::time::Timestamp;
use tokio::time::{Instant, sleep_until};
use worker_runtime::backend::AttemptContext;

use super::client::{ComfyError, Entry, Heard, OutputFile, PreviewMethod, Socket};
use super::collect::{Uncollected, collect};
use super::render::{
    Do, Found, NotCollected, Picture, Place, Policy, Render, Seen, Submitted, Trouble,
};
use super::server::Server;
use super::tag::{FOLDER, Tag};
use super::template::{Expects, Filled, Template};
use crate::ffmpeg::FfmpegPrograms;

/// How many files of one name are looked for: each server that was killed while it saved leaves one.
const FILES: u32 = 8;

/// How a run ended without a clip.
pub(super) enum Ended {
    /// With the render.
    Trouble(Trouble),
    /// With something here.
    Failure(Failure),
}

/// One run of one take.
pub(super) struct Driver<'a> {
    server: &'a Server,
    template: &'a dyn Template,
    attempt: &'a RunAttempt,
    context: &'a AttemptContext,
    programs: &'a FfmpegPrograms,
    socket: Option<Socket>,
    /// The socket's client id, as long as it may connect again.
    client_id: Option<String>,
    /// Whether the last life of this worker has sent this take: its sockets are surely closed.
    was_ours: bool,
    /// Whether the render was told that no steps are heard of.
    told_deaf: bool,
    /// What the server calls the keyframe, once it has it.
    start_image: Option<String>,
    /// The submission that this run has sent, or has worked out how long it has run.
    known: Option<u32>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        server: &'a Server,
        template: &'a dyn Template,
        attempt: &'a RunAttempt,
        context: &'a AttemptContext,
        programs: &'a FfmpegPrograms,
    ) -> Self {
        Self {
            server,
            template,
            attempt,
            context,
            programs,
            socket: None,
            client_id: None,
            was_ours: false,
            told_deaf: false,
            start_image: None,
            known: None,
        }
    }

    /// Runs it to its end.
    pub(super) async fn run(&mut self) -> Result<Outcome, Ended> {
        let tag = Tag::first(self.attempt.job, self.attempt.take);
        let noted = self.context.notebook.earlier().and_then(Tag::from_note);
        self.was_ours = noted.is_some_and(|noted| noted.is_same_take(&tag));
        let filled = self.fill(&tag, "start.png").map_err(Ended::Trouble)?;
        let policy = Policy {
            patience: self.server.settings().patience,
            can_restart: self.server.can_restart(),
        };
        let graph = filled.graph;
        let mut render = Render::new(graph.output, graph.limits, policy, tag, noted);
        let ended = self
            .follow(&mut render, &filled.expects, filled.notes)
            .await;
        if let Some(socket) = self.socket.take() {
            socket.close().await;
        }
        ended
    }

    async fn follow(
        &mut self,
        render: &mut Render,
        expects: &Expects,
        mut fallbacks: Vec<String>,
    ) -> Result<Outcome, Ended> {
        let mut seen = Seen::Begin;
        let mut told_unwanted = false;
        let mut listens_until: Option<Instant> = None;
        loop {
            if self.context.cancelled.is_cancelled() && !told_unwanted {
                told_unwanted = true;
                // Of a worker that goes away the render is left where it is: it is found again.
                if !self.context.leaving.is_cancelled() {
                    seen = Seen::Unwanted;
                }
            }
            // A word is no reason to put off the next look.
            if !matches!(seen, Seen::Word(_) | Seen::Deaf) {
                listens_until = None;
            }
            let next = render.next(seen, Instant::now());
            let (phase, step, steps) = render.says();
            self.context.progress.tell(&phase, step, steps);
            seen = match next {
                Do::Listen(time) => {
                    let until = Instant::now() + time;
                    let until = listens_until.map_or(until, |before| before.min(until));
                    listens_until = Some(until);
                    self.listen(until, told_unwanted).await
                }
                Do::Look => self.look(render.tag()).await,
                Do::Peek => self.peek(render.tag()).await,
                Do::Find => self.find(render.tag(), expects).await,
                Do::Submit(tag) => self.submit(&tag).await?,
                Do::Stop(tag) => match self.server.client().cancel(&tag.prompt()).await {
                    Ok(()) => Seen::Time,
                    Err(error) => Seen::Away(chain(&error)),
                },
                Do::Free => match self.server.free().await {
                    Ok(freed) => Seen::Freed(freed),
                    Err(error) => Seen::Away(chain(&error)),
                },
                Do::Restart => {
                    self.server.restart().await;
                    Seen::Restarted
                }
                Do::Collect(file) => {
                    let client = self.server.client();
                    match collect(client, &file, expects, self.programs, self.context).await {
                        Ok(product) => {
                            fallbacks.extend(render.notes().iter().cloned());
                            return Ok(Outcome { product, fallbacks });
                        }
                        Err(Uncollected::Away(why)) => Seen::Away(why),
                        Err(Uncollected::Not(why)) => {
                            self.told_of_file(&file, &why);
                            Seen::NotCollected(why)
                        }
                    }
                }
                Do::Fail(trouble) => return Err(Ended::Trouble(trouble)),
            };
        }
    }

    fn told_of_file(&self, file: &OutputFile, why: &NotCollected) {
        tracing::warn!(file = file.name, reason = ?why, "a file at ComfyUI is not taken");
    }

    fn fill(&self, tag: &Tag, start_image: &str) -> Result<Filled, Trouble> {
        let start_image = match &self.attempt.payload {
            Payload::Scene(_) => Some(start_image),
            Payload::Story(_) | Payload::Keyframe(_) | Payload::Assembly(_) => None,
        };
        let filled = self
            .template
            .fill(&self.attempt.payload, &tag.prefix(), start_image);
        filled.map_err(Trouble::Unfit)
    }

    async fn listen(&mut self, until: Instant, told_unwanted: bool) -> Seen {
        let cancelled = async {
            match told_unwanted {
                true => std::future::pending().await,
                false => self.context.cancelled.cancelled().await,
            }
        };
        let Some(socket) = &mut self.socket else {
            if !self.told_deaf {
                self.told_deaf = true;
                return Seen::Deaf;
            }
            tokio::select! {
                () = cancelled => {}
                () = sleep_until(until) => {}
            }
            return Seen::Time;
        };
        let heard = tokio::select! {
            biased;
            () = cancelled => return Seen::Time,
            heard = socket.next() => heard,
            () = sleep_until(until) => return Seen::Time,
        };
        match heard {
            Heard::Word(word) => Seen::Word(word),
            Heard::Closed { cleanly } => {
                tracing::debug!(
                    cleanly,
                    "ComfyUI's WebSocket is closed; the render is followed all the same"
                );
                self.socket = None;
                if !cleanly {
                    // The server may forget a new socket under this id when it notices the end of the old one.
                    self.client_id = None;
                }
                self.told_deaf = true;
                Seen::Deaf
            }
        }
    }

    /// The queue first, then the history: a prompt goes from one to the other.
    async fn look(&mut self, tag: &Tag) -> Seen {
        let looked = async {
            let client = self.server.client();
            let queue = client.queue().await?;
            let mut newest: Option<(u32, Entry)> = None;
            let mut submission = tag.submission;
            while let Some(entry) = client.history(&tag.submission(submission).prompt()).await? {
                newest = Some((submission, entry));
                submission += 1;
            }
            Ok::<_, ComfyError>(Picture::of(&queue, newest, tag))
        };
        match looked.await {
            Ok(mut picture) => {
                if let Place::Running(found) = &mut picture.ours {
                    self.tell_begin(found).await;
                }
                self.attach(&picture, tag).await;
                Seen::Picture(picture)
            }
            Err(error) => Seen::Away(chain(&error)),
        }
    }

    /// Of a render that somebody else has sent, or an earlier life of this worker: how long it has run.
    async fn tell_begin(&mut self, found: &mut Found) {
        if self.known.replace(found.submission) == Some(found.submission) {
            return;
        }
        // Where the server does not say, it counts from now on.
        if let Ok(last_end) = self.server.client().last_end().await {
            *found = found.clone().begun_after(last_end, Timestamp::now());
        }
    }

    /// Hears of a render that goes on, if that can be done without taking its words from another worker.
    async fn attach(&mut self, picture: &Picture, tag: &Tag) {
        let (Place::Running(found) | Place::Pending(found)) = &picture.ours else {
            return;
        };
        if self.socket.is_some() {
            return;
        }
        if std::mem::take(&mut self.was_ours) {
            let ours = found.client.clone();
            self.client_id = ours.filter(|id| id.starts_with(FOLDER));
        }
        let Some(id) = &self.client_id else { return };
        let prompt = tag.submission(found.submission).prompt();
        if let Ok(socket) = Socket::connect(self.server.client(), id, &prompt, self.show()).await {
            self.socket = Some(socket);
        }
    }

    /// Where pictures of the render go: to the attempt's progress, which keeps the newest and never makes the socket wait.
    fn show(&self) -> impl Fn(Preview) + Send + use<> {
        let progress = self.context.progress.clone();
        // An older server that was started with them on shows them to whoever wants none, too.
        let are_wanted = self.server.settings().previews != PreviewMethod::None;
        move |preview| {
            if are_wanted {
                progress.show(preview);
            }
        }
    }

    async fn peek(&self, tag: &Tag) -> Seen {
        match self.server.client().history(&tag.prompt()).await {
            Ok(entry) => Seen::Entry(entry),
            Err(error) => Seen::Away(chain(&error)),
        }
    }

    /// The newest file with a name of this take.
    async fn find(&self, tag: &Tag, expects: &Expects) -> Seen {
        let ending = match expects {
            Expects::Clip { .. } => "mp4",
            Expects::Still(_) => "png",
        };
        for submission in (0..=tag.submission).rev() {
            let mut newest = None;
            for number in 1..=FILES {
                let stem = tag.submission(submission).stem();
                let file = OutputFile {
                    name: format!("{stem}_{number:05}_.{ending}"),
                    subfolder: FOLDER.to_owned(),
                };
                match self.server.client().has(&file).await {
                    Ok(true) => newest = Some(file),
                    Ok(false) => break,
                    Err(error) => return Seen::Away(chain(&error)),
                }
            }
            if newest.is_some() {
                return Seen::File(newest);
            }
        }
        Seen::File(None)
    }

    /// Writes a submission down, then sends it.
    async fn submit(&mut self, tag: &Tag) -> Result<Seen, Ended> {
        let refused = |trouble| Ok(Seen::Submitted(Submitted::Refused(trouble)));
        if let Payload::Scene(payload) = &self.attempt.payload {
            let local = self.context.scratch.join("keyframe.png");
            if !local.exists() {
                let fetched = self
                    .context
                    .artifacts
                    .fetch(&payload.keyframe, &local)
                    .await;
                fetched.map_err(|error| Ended::Failure(transient(&error)))?;
            }
            let name = tag.start_image(&payload.keyframe.sha256);
            match self.server.client().upload_image(&local, &name).await {
                Ok(name) => self.start_image = Some(name),
                Err(error @ ComfyError::File { .. }) => {
                    return Err(Ended::Failure(transient(&error)));
                }
                Err(error) if error.is_absence() => return Ok(Seen::Away(chain(&error))),
                Err(error) => return refused(Trouble::NotTaken(chain(&error))),
            }
        }
        let start_image = self.start_image.clone().unwrap_or_default();
        let graph = match self.fill(tag, &start_image) {
            Ok(filled) => match filled.graph.pruned() {
                Ok(graph) => graph,
                Err(error) => return refused(error.into()),
            },
            Err(trouble) => return refused(trouble),
        };
        if let Some(old) = self.socket.take() {
            old.close().await;
        }
        // A new one for each: the server forgets a socket when an older one of the same id closes.
        let id = format!("{FOLDER}-{}", RunId::generate());
        let socket = Socket::connect(self.server.client(), &id, &tag.prompt(), self.show()).await;
        self.told_deaf = false;
        self.socket = socket.ok();
        self.client_id = Some(id.clone());
        let written = self.context.notebook.write(&tag.to_note()).await;
        written.map_err(Ended::Failure)?;
        let sent = self.server.client().submit(&graph, tag, &id).await;
        self.server.set_resident(Some(self.attempt.profile.clone()));
        self.known = Some(tag.submission);
        Ok(match sent {
            Ok(()) => Seen::Submitted(Submitted::Taken),
            Err(ComfyError::Refused(refusal)) => {
                return refused(Trouble::Refused(refusal));
            }
            Err(
                error @ (ComfyError::Broken { .. }
                | ComfyError::TimedOut { .. }
                | ComfyError::Unreadable { .. }),
            ) => {
                tracing::warn!(
                    { shared::fields::ERROR } = chain(&error),
                    "ComfyUI's answer was lost; looks whether it has the render"
                );
                Seen::Submitted(Submitted::Unclear)
            }
            Err(error) if error.is_absence() => Seen::Away(chain(&error)),
            Err(error) => return refused(Trouble::NotTaken(chain(&error))),
        })
    }
}

fn transient(error: &dyn std::error::Error) -> Failure {
    Failure::from_error(shared::failure::FailureKind::Transient, error)
}
