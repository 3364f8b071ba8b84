//! Whether a queue is worth opening now, where its work needs a model in device memory: loading one takes a minute, and puts
//! out the one that is there. Pure.
//!
//! A worker decides for itself, from what the coordinator said of the backlogs and from what its host's ledger tells of the
//! card. On one card with a language model and a video model this is what makes them alternate.
//!
//! *Rent or buy.* To go on with the loaded model while another one's job waits costs rent: the time that job waits. To change
//! models costs its price: unloading, loading, and loading back what had to leave. Who pays rent until it amounts to the price
//! and then buys never pays more than twice what one who knew the future would. The rent is what was waited *for the card*: not
//! before the present model came, since that time a job spent waiting for its own kind. So under more work than the card can do
//! each model stays for as long as the rent takes to grow, and the card does not spend its time changing.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use super::choose::QueueView;
use crate::pace::Pace;

/// A class of size counts in the order of cold queues as much as this long a wait.
const CLASS_COUNTS_AS: Duration = Duration::from_mins(5);
/// Memory of the usual cards, in GiB: a model is of the class of how many of them are too small for it.
const CARDS: [u64; 5] = [12, 16, 24, 48, 80];

/// The numbers that the rule goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SwapPolicy {
    /// A cold queue is opened only when nothing has run on the card for this long: the next job of the loaded model may be on
    /// its way.
    pub(crate) patience: Duration,
    /// How many times its price a swap's rent must be.
    pub(crate) kappa: u32,
    /// No job whose turn it is waits longer than this for the loaded model's jobs.
    pub(crate) wait_bound: Duration,
    /// A model that was loaded serves at least this many times its loading time, one job after another.
    pub(crate) batch_loads: u32,
}

impl SwapPolicy {
    /// The same where time goes that fast.
    pub(crate) fn at(pace: Pace) -> Self {
        let usual = Self::default();
        Self {
            patience: pace.of(usual.patience),
            wait_bound: pace.of(usual.wait_bound),
            ..usual
        }
    }
}

impl Default for SwapPolicy {
    fn default() -> Self {
        Self {
            patience: Duration::from_millis(1500),
            kappa: 2,
            wait_bound: Duration::from_mins(3),
            batch_loads: 3,
        }
    }
}

/// The card as the rule sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CardView {
    /// The model that is loaded, or being loaded; absent on an empty card.
    pub(crate) present: Option<Present>,
    /// For how long nothing has run or been loaded; absent while something does.
    pub(crate) quiet: Option<Duration>,
    /// A job of another worker waits for the card.
    pub(crate) spoken_for: bool,
}

/// The model on the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    /// Its profile, for a person.
    pub(crate) name: String,
    /// How long it has been there.
    pub(crate) stay: Duration,
    /// Jobs that have begun on it since.
    pub(crate) served: u32,
    /// How long it takes.
    pub(crate) times: Times,
    /// What waits for it, where that is known.
    pub(crate) waits: Option<Waits>,
}

/// How long the work of a profile takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// Loading its model.
    pub(crate) load: Duration,
    /// One run, with the model loaded.
    pub(crate) run: Duration,
}

/// What waits for a profile, everywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// Jobs queued.
    pub(crate) queued: u32,
    /// Jobs running.
    pub(crate) running: u32,
    /// How long the oldest of those queued has waited.
    pub(crate) oldest: Duration,
}

/// A queue of work that needs a model in device memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Its model is loaded.
    pub(crate) warm: bool,
    /// It fits beside what is loaded: nothing has to leave for it.
    pub(crate) beside: bool,
    /// How long it takes.
    pub(crate) times: Times,
    /// What changing to it costs: unloading, loading, and loading back what has to leave.
    pub(crate) price: Duration,
    /// How many of the usual sizes of cards are too small for it.
    pub(crate) class: u32,
    /// What waits for it, where that is known.
    pub(crate) waits: Option<Waits>,
}

/// How a queue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It is worth opening.
    Open(Turn),
    /// Not now.
    Shut(Why),
}

/// Which turn a queue has. The order of opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// Its job has waited long enough for the loaded model.
    Due,
    /// Its model is loaded, or it needs none.
    Warm,
    /// The card has nothing better to do.
    Cold,
}

/// Why a queue is not worth opening now. The figures do not change from one moment to the next, so that what is said of a
/// worker does not either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// A job of another worker waits for the card.
    SpokenFor,
    /// The loaded model has work.
    Rent {
        /// It.
        present: String,
        /// What changing costs.
        price: Duration,
        /// After how long a wait that is paid.
        after: Duration,
    },
    /// The loaded model has not served long enough.
    Batch {
        /// It.
        present: String,
        /// The jobs that it serves at least.
        least: u32,
        /// Unless a job waits for this long.
        bound: Duration,
    },
    /// Others are at work on the little that waits.
    DoesNotPay {
        /// How many.
        running: u32,
    },
    /// Something runs on the card, or did a moment ago.
    Patience,
}

/// How that queue stands.
pub(crate) fn stand(candidate: &Candidate, card: &CardView, policy: &SwapPolicy) -> Stand {
    if card.spoken_for {
        return Stand::Shut(Why::SpokenFor);
    }
    if candidate.warm {
        return Stand::Open(Turn::Warm);
    }
    // What has to leave for it; where nothing has, there is no batch to wait for.
    let leaves = card.present.as_ref().filter(|_| !candidate.beside);
    let stay = leaves.map_or(Duration::MAX, |present| present.stay);
    let is_quiet = card.quiet.is_some_and(|quiet| quiet >= policy.patience);
    let Some(waits) = candidate.waits else {
        // A static order: the loaded model first, but not for ever; then the others.
        return match (is_quiet, leaves) {
            (true, _) => Stand::Open(Turn::Cold),
            (false, Some(_)) if stay >= policy.wait_bound => Stand::Open(Turn::Due),
            (false, _) => Stand::Shut(Why::Patience),
        };
    };
    let rent = match waits.queued {
        0 => Duration::ZERO,
        _ => waits.oldest.min(stay),
    };
    let least = leaves.map_or(0, |present| least_batch(present.times, policy));
    let has_served = leaves.is_none_or(|present| present.served >= least);
    let price = candidate.price.saturating_mul(policy.kappa);
    let is_paid = waits.queued > 0 && rent >= price;
    if rent >= policy.wait_bound || is_paid && has_served {
        return Stand::Open(Turn::Due);
    }
    if let Some(present) = leaves
        && present.waits.is_none_or(|waits| waits.queued > 0)
    {
        let name = present.name.clone();
        return Stand::Shut(match is_paid {
            true => Why::Batch {
                present: name,
                least,
                bound: policy.wait_bound,
            },
            false => Why::Rent {
                present: name,
                price: candidate.price,
                after: price.min(policy.wait_bound),
            },
        });
    }
    match (pays(waits, candidate.times), is_quiet || candidate.beside) {
        (false, _) => Stand::Shut(Why::DoesNotPay {
            running: waits.running,
        }),
        (true, false) => Stand::Shut(Why::Patience),
        (true, true) => Stand::Open(Turn::Cold),
    }
}

/// The fewest jobs that a model serves once it was loaded.
pub(crate) fn least_batch(times: Times, policy: &SwapPolicy) -> u32 {
    let serves = times.load.saturating_mul(policy.batch_loads).as_millis();
    let jobs = serves.div_ceil(times.run.as_millis().max(1));
    u32::try_from(jobs).unwrap_or(u32::MAX).max(1)
}

/// Whether those who are at work on it would need longer than loading it here and doing one job takes. With nobody at work, who
/// could begin sooner?
fn pays(waits: Waits, times: Times) -> bool {
    let work = times.run.saturating_mul(waits.queued);
    waits.running == 0 || work / waits.running > times.load.saturating_add(times.run)
}

/// How many of the usual sizes of cards are too small for that much memory, given in GiB.
pub(crate) fn size_class(gib: u64) -> u32 {
    CARDS.iter().map(|card| u32::from(*card < gib)).sum()
}

/// Closes the queues that are not worth opening, and puts the others in order. Queues of work that needs no device memory are
/// as they were: theirs is `None`.
pub(crate) fn arrange(
    queues: &mut [QueueView],
    candidates: &[Option<Candidate>],
    card: &CardView,
    policy: &SwapPolicy,
) -> Vec<Option<Stand>> {
    let mut stands = Vec::new();
    for (queue, candidate) in queues.iter_mut().zip(candidates) {
        let stand = candidate.map(|candidate| stand(&candidate, card, policy));
        let (turn, within) = match (&stand, candidate) {
            (Some(Stand::Shut(_)), _) => {
                queue.admitted = false;
                (Turn::Cold, queue.served)
            }
            (Some(Stand::Open(turn @ (Turn::Due | Turn::Cold))), Some(candidate)) => {
                (*turn, MIDDLE.saturating_add_signed(-score(candidate)))
            }
            (Some(Stand::Open(_)) | None, _) => (Turn::Warm, queue.served),
        };
        queue.served = (turn as u64) * EACH_TURN + within.min(EACH_TURN - 1);
        stands.push(stand);
    }
    stands
}

/// So many places has the order within one turn.
const EACH_TURN: u64 = 1 << 60;
/// The place of a queue with no score.
const MIDDLE: u64 = EACH_TURN / 2;

/// Which cold queue comes first, in milliseconds: the one whose oldest job has waited longest, where a large model counts as a
/// long wait, since few cards can run it, and a dear swap as a short one. With nothing known of the backlogs the largest is first.
fn score(candidate: &Candidate) -> i64 {
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 8);
    let oldest = candidate
        .waits
        .map_or(Duration::ZERO, |waits| waits.oldest)
        .min(Duration::from_hours(24 * 365));
    let size = CLASS_COUNTS_AS.saturating_mul(candidate.class);
    let price = candidate.price.min(Duration::from_hours(24));
    millis(oldest) + millis(size) - 2 * millis(price)
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpokenFor => f.write_str("another worker's job waits for the card"),
            Self::Rent {
                present,
                price,
                after,
            } => write!(
                f,
                "{present} is loaded and has work; changing models costs {} s and is done for a job that has waited {} s for it",
                price.as_secs(),
                after.as_secs()
            ),
            Self::Batch {
                present,
                least,
                bound,
            } => write!(
                f,
                "{present} was loaded a short while ago and serves {least} jobs first, unless a job waits {} s for it",
                bound.as_secs()
            ),
            Self::DoesNotPay { running } => write!(
                f,
                "{running} are at work on what little waits; loading the model here would take longer"
            ),
            Self::Patience => f.write_str("the card is at work, or was a moment ago"),
        }
    }
}
