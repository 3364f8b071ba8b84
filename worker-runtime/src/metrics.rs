//! What a worker counts, and what it reads off when somebody asks.

use std::time::Duration;

use shared::broker::Link;
use shared::ids::ProfileName;
use shared::job::JobKind;
use shared::metrics::{Counter, Histogram, Page, Registry, catalogue};
use shared::protocol::Device;

use crate::gpu::gate::Answer;
use crate::worker::Worker;

/// The device of work without a card.
pub(crate) const NO_DEVICE: &str = "none";

/// What a worker counts.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    verdicts: Counter,
    admission_wait: Histogram,
    evictions: Counter,
    model_loads: Counter,
    load: Histogram,
    run: Histogram,
    adoptions: Counter,
}

/// What was found again instead of being made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Adopted {
    /// The result of an earlier run of this worker.
    Result,
    /// What the backend made for an earlier run, or was still making.
    Render,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let registry = Registry::default();
        Self {
            verdicts: registry.counter(&catalogue::VERDICTS),
            admission_wait: registry.histogram(&catalogue::ADMISSION_WAIT),
            evictions: registry.counter(&catalogue::EVICTIONS),
            model_loads: registry.counter(&catalogue::MODEL_LOADS),
            load: registry.histogram(&catalogue::LOAD_SECONDS),
            run: registry.histogram(&catalogue::RUN_SECONDS),
            adoptions: registry.counter(&catalogue::ADOPTIONS),
            registry,
        }
    }

    pub(crate) fn verdict(&self, profile: &ProfileName, (verdict, reason): Said) {
        self.verdicts.add(&[profile.as_str(), verdict, reason]);
    }

    pub(crate) fn waited(&self, profile: &ProfileName, outcome: &str, wait: Duration) {
        self.admission_wait
            .observe(&[profile.as_str(), outcome], wait);
    }

    pub(crate) fn evicted(&self, profile: &ProfileName, is_enough: bool) {
        let outcome = if is_enough { "enough" } else { "too_little" };
        self.evictions.add(&[profile.as_str(), outcome]);
    }

    /// A job began with its model not loaded; loading took that long, where it was seen.
    pub(crate) fn loaded(&self, profile: &ProfileName, device: &str, took: Option<Duration>) {
        let labels = [profile.as_str(), device];
        self.model_loads.add(&labels);
        if let Some(took) = took {
            self.load.observe(&labels, took);
        }
    }

    pub(crate) fn ran(
        &self,
        (kind, profile): (JobKind, &ProfileName),
        device: &str,
        outcome: &str,
        took: Duration,
    ) {
        let labels = [kind.name(), profile.as_str(), device, outcome];
        self.run.observe(&labels, took);
    }

    pub(crate) fn adopted(&self, profile: &ProfileName, what: Adopted) {
        let what = match what {
            Adopted::Result => "result",
            Adopted::Render => "render",
        };
        self.adoptions.add(&[profile.as_str(), what]);
    }

    /// The page for whoever asks now.
    pub(crate) fn page(&self, worker: &Worker) -> Page {
        let mut page = self.registry.page();
        let link = worker.broker.link();
        page.about(worker.program(), matches!(&*link.borrow(), Link::Up(_)));
        page.set(&catalogue::SLOTS, &[], f64::from(worker.config.slots));
        page.set(&catalogue::SLOTS_FREE, &[], f64::from(worker.slots.free()));
        let pending = u32::try_from(worker.reporter.pending()).unwrap_or(u32::MAX);
        page.set(&catalogue::REPORTS_PENDING, &[], f64::from(pending));
        for (place, offer) in worker.offers.iter().enumerate() {
            let labels = [offer.profile.kind.name(), offer.profile.name.as_str()];
            let is_open = f64::from(u8::from(worker.would_take(place)));
            page.set(&catalogue::PROFILE_OPEN, &labels, is_open);
        }
        for device in worker.admission.told().0 {
            card(&mut page, &device);
        }
        page
    }
}

fn card(page: &mut Page, device: &Device) {
    let uuid = [device.uuid.as_str()];
    let held = |is_ours: bool| {
        let holders = device.holders.iter().filter(|it| it.ours == is_ours);
        holders.map(|it| it.used.as_bytes()).sum()
    };
    for (metric, bytes) in [
        (&catalogue::CARD_TOTAL, device.total.as_bytes()),
        (&catalogue::CARD_FREE, device.free.as_bytes()),
        (&catalogue::CARD_OURS, held(true)),
        (&catalogue::CARD_FOREIGN, held(false)),
        (&catalogue::CARD_PROMISED, device.promised.as_bytes()),
    ] {
        page.set(metric, &uuid, number(bytes));
    }
    page.set(&catalogue::CARD_AGE, &uuid, device.age.as_secs_f64());
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 bytes are more than any card has"
)]
const fn number(bytes: u64) -> f64 {
    bytes as f64
}

/// A verdict and its reason, each in a word.
pub(crate) type Said = (&'static str, &'static str);

/// What the gate says, in words that there are few of.
pub(crate) fn said(answer: &Answer) -> Said {
    match answer {
        Answer::Reserved(_) => ("admit", "fits"),
        Answer::Evict { .. } => ("evict", "short"),
        Answer::Wait(reason) => ("wait", reason.class()),
        Answer::Never(_) => ("never", "too_large"),
    }
}
