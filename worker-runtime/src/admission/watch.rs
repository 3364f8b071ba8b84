//! Looks at the card and at the host's books again and again, and opens and shuts the queues by what it sees.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use shared::failure::chain;
use shared::fields;
use shared::log_news;
use shared::news::News;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::card::{NoCard, User, backend_id, probe};
use super::enter::{class_of, shut_by};
use super::evict::{leave, to_leave};
use super::orphans::{Orphans, has_left, is_left};
use super::queues::Queues;
use super::told::split;
use super::{Card, Shut, lock};
use crate::backend::BackendSays;
use crate::gpu::admit::{Booked, Evictions, Verdict};
use crate::gpu::footprint::Extent;
use crate::gpu::gate::{COOL_DOWN, Prospect, Survey};
use crate::gpu::ledger::{BackendId, BootTime, Page, State};
use crate::gpu::probe::Fault;
use crate::gpu::probe::nvml::NvmlProbe;
use crate::gpu::probe::sampler::Often;
use crate::worker::Worker;

/// Pause between two looks while nothing changes.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// The same while something does: a job settles, somebody waits, a queue is about to be opened or shut.
const LOOK_SOON: Duration = Duration::from_millis(200);
/// Pause before a card is looked for again.
const FIND_EACH: Duration = Duration::from_secs(60);
/// A driver that takes longer than this to be opened hangs.
const FIND_WITHIN: Duration = Duration::from_secs(15);
/// A backend that does not say within this time what it does is silent.
const SAYS_WITHIN: Duration = Duration::from_secs(2);
/// Free memory has not moved if it moved by less, since a backend fell silent.
const STILL: u64 = 16 << 20;

/// Looks for as long as the worker lives. Without work for a card there is nothing to look at.
pub(super) async fn watch(worker: Arc<Worker>) {
    let places: Vec<usize> = (0..worker.offers.len())
        .filter(|place| worker.offers[*place].profile.needs.device.is_some())
        .collect();
    if places.is_empty() {
        return;
    }
    let card = find(&worker, &places).await;
    worker.admission.card.send_replace(Some(Arc::clone(&card)));
    let prospects = {
        let (worker, card, places) = (Arc::clone(&worker), Arc::clone(&card), places.clone());
        let ask = move || {
            let prospects: Vec<_> = places
                .iter()
                .map(|place| prospect(&worker, &card, *place))
                .collect();
            for prospect in &prospects {
                worker.takes(&prospect.profile, card.usual(&prospect.profile));
            }
            prospects
        };
        tokio::task::spawn_blocking(ask)
            .await
            .expect("reading what was learned does not panic")
    };
    Watch {
        prospects,
        queues: Queues::new(&worker, places),
        said: Vec::new(),
        orphans: Orphans::default(),
        often: None,
        free_then: None,
        tried_until: None,
        lost: false,
        worker,
        card,
    }
    .look()
    .await;
}

/// Looks for the card until it is there.
async fn find(worker: &Arc<Worker>, places: &[usize]) -> Arc<Card> {
    let user = User {
        worker: worker.me.worker.clone(),
        boot: worker.me.boot,
        settings: worker.config.gpu.clone(),
        footprints: worker.config.data_dir.join("footprints"),
        host: Arc::clone(&worker.host),
        pace: worker.config.pace,
        backends: worker.backends.clone(),
    };
    let probe = probe(&user.settings);
    let mut told = News::default();
    loop {
        let mut opening = pin!(open(user.clone(), Arc::clone(&probe)));
        let opened = match timeout(FIND_WITHIN, &mut opening).await {
            Ok(opened) => opened,
            Err(_) => {
                let why = Fault::Other("nothing; it hangs".to_owned());
                refuse(worker, places, &NoCard::Fault(why), &mut told);
                opening.await
            }
        };
        let why = match opened {
            Ok(card) => {
                tracing::info!(device = %card.device.uuid, name = card.device.name, "the card is found");
                return Arc::new(card);
            }
            Err(why) => why,
        };
        refuse(worker, places, &why, &mut told);
        match why.is_final() {
            true => pending().await,
            false => sleep(FIND_EACH).await,
        }
    }
}

/// Opens the card on a thread of its own: a call of a sick driver may never end, and nobody waits for such a thread when the
/// program ends.
async fn open(user: User, probe: Arc<NvmlProbe>) -> Result<Card, NoCard> {
    let (tell, told) = oneshot::channel();
    let runtime = Handle::current();
    let opening = move || drop(tell.send(Card::open(&user, &probe, runtime)));
    thread::Builder::new()
        .name("gpu-opener".to_owned())
        .spawn(opening)
        .map_err(|error| NoCard::Host(error.to_string()))?;
    let opened = told.await;
    opened.unwrap_or_else(|_| {
        Err(NoCard::Host(
            "the search for the card has failed".to_owned(),
        ))
    })
}

/// Refuses the work that needs a card.
fn refuse(worker: &Worker, places: &[usize], why: &NoCard, told: &mut News) {
    log_news!(
        told.is_news(&why.to_string()),
        info,
        { fields::REASON } = %why,
        "no work that needs a card is taken"
    );
    worker.set(|now| {
        for place in places {
            let needs = worker.offers[*place].profile.needs.device;
            let peak = needs.map(|it| it.peak).unwrap_or_default();
            now.gate[*place] = Some(Shut {
                never: why.is_for_a_person(),
                until_a_run_ends: false,
                reason: format!("needs {peak} of GPU memory; {why}"),
            });
        }
    });
}

fn prospect(worker: &Worker, card: &Card, place: usize) -> Prospect {
    let offer = &worker.offers[place];
    Prospect {
        profile: offer.profile.name.clone(),
        backend: backend_id(worker.backends[offer.backend].as_ref(), &worker.me.worker),
        class: class_of(offer.profile.kind),
        need: card.need(&offer.profile, Extent::default()),
        evictions: Evictions::default(),
    }
}

struct Watch {
    worker: Arc<Worker>,
    card: Arc<Card>,
    /// Those of the offers that need the card.
    queues: Queues,
    /// For each of them.
    prospects: Vec<Prospect>,
    /// What backends with orphans said last.
    said: Vec<(BackendId, BackendSays)>,
    orphans: Orphans,
    /// Held while something goes on on the card.
    often: Option<Often>,
    /// What was free when a backend was first silent.
    free_then: Option<u64>,
    /// Until then others are not asked to leave.
    tried_until: Option<BootTime>,
    /// The card was lost at the last look.
    lost: bool,
}

impl Watch {
    async fn look(mut self) {
        let mut glance = false;
        loop {
            self.look_for_loss().await;
            let pause = match self.survey(glance).await {
                Ok(survey) => {
                    glance = !survey.page.entries.iter().any(|booked| booked.is_active());
                    self.apply(&survey).await
                }
                Err(why) => {
                    self.queues.shut_all(&self.worker, &why);
                    LOOK_EACH
                }
            };
            tokio::select! {
                () = sleep(self.worker.config.pace.of(pause)) => {}
                () = self.worker.admission.look.notified() => {}
            }
        }
    }

    async fn survey(&mut self, glance: bool) -> Result<Arc<Survey>, String> {
        let (gate, said) = (Arc::clone(&self.card.gate), self.said.clone());
        let prospects = self.prospects();
        let look = move || gate.survey(&said, &prospects, glance);
        match tokio::task::spawn_blocking(look).await {
            Ok(Ok(survey)) => Ok(Arc::new(survey)),
            Ok(Err(error)) => Err(chain(&error)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// What was seen has its consequences; how long to wait until the next look.
    async fn apply(&mut self, survey: &Arc<Survey>) -> Duration {
        let page = &survey.page;
        for (backend, alarm) in &survey.alarms {
            tracing::warn!({ fields::BACKEND } = %backend, alarm = ?alarm, "something is odd on the card");
        }
        self.tell_tap(survey);
        self.tell_rooms(survey);
        if self.queues.note_what_became(&self.worker) {
            self.tried_until = Some(BootTime::now().plus(self.worker.config.pace.of(COOL_DOWN)));
        }
        let said = self.prospects.iter().zip(&survey.verdicts);
        let said = said.map(|(prospect, verdict)| {
            // The job that runs there without its worker may be the next one to come, and is taken over.
            let may_be_taken_over = |shut: &Shut| {
                shut.until_a_run_ends && has_left(page, &prospect.backend, &prospect.profile)
            };
            shut_by(verdict).filter(|shut| !may_be_taken_over(shut))
        });
        self.queues.open_and_shut(&self.worker, said);
        *lock(&self.worker.admission.last) = Some(Arc::clone(survey));
        for asked in to_leave(&self.card, page) {
            leave(Arc::clone(&self.card), asked.clone()).await;
        }
        let answers = self.ask_backends(page).await;
        self.said = self.orphans.heard(page, answers);
        let moves = |state: &State| matches!(state, State::Settling { .. } | State::Claim { .. });
        let soon = page
            .entries
            .iter()
            .any(|it| moves(&it.entry.state) || it.orphaned)
            || !page.tickets.is_empty()
            || !page.asked.is_empty()
            || self.queues.is_undecided();
        let is_still = !soon && !page.entries.iter().any(Booked::is_active);
        self.often = match is_still {
            true => None,
            false => self.often.take().or_else(|| Some(self.card.sight.often())),
        };
        match soon {
            true => LOOK_SOON,
            false => LOOK_EACH,
        }
    }

    /// Tells the jobs that go on what their backends hold.
    fn tell_rooms(&self, survey: &Survey) {
        lock(&self.worker.admission.watched).retain(|watched| {
            let Some(watched) = watched.upgrade() else {
                return false;
            };
            lock(&watched).held(|backend| split(survey, backend));
            true
        });
    }

    fn tell_tap(&self, survey: &Survey) {
        let mut card = self.worker.card();
        if let Some(reading) = &survey.seen.device {
            card.has(reading.total);
        }
        if card.looked(&survey.page, &self.worker.me.worker, BootTime::now()) {
            self.worker.card_changed.notify_one();
        }
        for (prospect, verdict) in self.prospects.iter().zip(&survey.verdicts) {
            let fits = matches!(verdict, Verdict::Admit { .. });
            card.fits_beside(&prospect.profile, fits);
        }
    }

    /// What the gate is asked about.
    fn prospects(&mut self) -> Vec<Prospect> {
        let now = BootTime::now();
        self.tried_until = self.tried_until.filter(|until| now < *until);
        // What has just failed to make room is no reason to take a job.
        let evictions = match self.tried_until {
            Some(_) => Evictions {
                plans: u32::MAX,
                swept: true,
                failed: true,
            },
            None => Evictions::default(),
        };
        let needs = lock(&self.worker.admission.needs);
        let with = |(place, prospect): (&usize, &Prospect)| Prospect {
            need: needs.get(place).copied().unwrap_or(prospect.need),
            evictions,
            ..prospect.clone()
        };
        self.queues
            .places()
            .iter()
            .zip(&self.prospects)
            .map(with)
            .collect()
    }

    /// Asks those of our backends that a worker has left in the middle of a job.
    async fn ask_backends(&mut self, page: &Page) -> Vec<(BackendId, BackendSays)> {
        let mut said = Vec::new();
        let mut silent = false;
        for (id, backend) in self.card.sight.backends() {
            let asked_for = page
                .entries
                .iter()
                .any(|it| is_left(it) && it.entry.work.backend == *id);
            if !asked_for {
                continue;
            }
            let says = match timeout(SAYS_WITHIN, backend.says()).await {
                Ok(BackendSays::Silent { .. }) | Err(_) => {
                    silent = true;
                    BackendSays::Silent {
                        quiet: self.is_quiet(),
                    }
                }
                Ok(says) => says,
            };
            said.push((id.clone(), says));
        }
        if !silent {
            self.free_then = None;
        } else if !self.is_quiet() {
            self.free_then = self.card.sight.free().map(|free| free.as_bytes());
        }
        said
    }

    /// Free memory is as it was when a backend fell silent.
    fn is_quiet(&self) -> bool {
        let now = self.card.sight.free().map(|free| free.as_bytes());
        let still = |(then, now): (u64, u64)| then.abs_diff(now) < STILL;
        self.free_then.zip(now).is_some_and(still)
    }

    /// On a card that is lost nothing is left of what was promised. One sample alone may be a hiccup of the driver, and what is
    /// void once stays void, though its backends go on.
    async fn look_for_loss(&mut self) {
        let samples = self.card.sight.samples().borrow().clone();
        let is_lost = samples.is_some_and(|sample| sample.is_lost());
        if is_lost && !self.lost {
            let gate = Arc::clone(&self.card.gate);
            let told = tokio::task::spawn_blocking(move || gate.device_lost()).await;
            if let Ok(Err(error)) = told {
                tracing::warn!(
                    { fields::ERROR } = chain(&error),
                    "the loss of the card could not be written down"
                );
            }
        }
        self.lost = is_lost;
    }
}
