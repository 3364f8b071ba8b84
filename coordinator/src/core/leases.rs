//! How long silent runs are believed alive. Pure.
//!
//! A lease counts only while the coordinator can hear. When one runs out, the coordinator sends itself a probe through the
//! queue of reports; only if the run is still silent when the probe comes back (everything that was reported before has then
//! been read) has the lease really expired. Leases live in memory and start afresh with the process, after a disconnection
//! and after a suspend.

use std::collections::HashMap;
use std::time::Duration;

use shared::ids::{JobId, RunId};
use shared::protocol::RunRef;
use shared::time::Timestamp;

/// The leases of all running jobs.
#[derive(Debug)]
pub struct Leases {
    usual: Duration,
    held: HashMap<JobId, Lease>,
    probe: Option<SentProbe>,
    probes: u64,
}

/// One run's lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease {
    /// The run.
    pub run: RunRef,
    /// Until when it is believed alive without a word.
    pub until: Timestamp,
    /// The share of it that is done, as it said last; `None` if it has not said so to this process.
    pub share: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
struct SentProbe {
    number: u64,
    /// When it was sent first: what was reported before then has been read when it comes back, whichever copy of it does.
    at: Timestamp,
    /// When it is sent again, if it has not come back.
    again_at: Timestamp,
}

impl Leases {
    /// No leases; new ones last `usual` at least.
    pub fn new(usual: Duration) -> Self {
        Self {
            usual,
            held: HashMap::new(),
            probe: None,
            probes: 0,
        }
    }

    /// The lease of a job's current run.
    pub fn get(&self, job: JobId) -> Option<&Lease> {
        self.held.get(&job)
    }

    /// All leases.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.held.values()
    }

    /// A run was granted, or has taken its place back.
    pub fn begin(&mut self, run: RunRef, now: Timestamp) {
        self.held.insert(
            run.job,
            Lease {
                run,
                until: now.plus(self.usual),
                share: None,
            },
        );
    }

    /// The job has no current run any more.
    pub fn end(&mut self, job: JobId) {
        self.held.remove(&job);
    }

    /// The current run was heard of. `expected` is how long it thinks to need still: the lease is never shorter. `share` is
    /// how far it is, if it said so. `false` if this run is not the job's current one.
    pub fn extend(
        &mut self,
        run: RunRef,
        now: Timestamp,
        expected: Option<Duration>,
        share: Option<f64>,
    ) -> bool {
        match self.held.get_mut(&run.job).filter(|lease| lease.run == run) {
            Some(lease) => {
                lease.until = lease
                    .until
                    .max(now.plus(expected.unwrap_or_default().max(self.usual)));
                lease.share = share.or(lease.share);
                true
            }
            None => false,
        }
    }

    /// All begin afresh: nobody could be heard, or no time went by for us.
    pub fn restart(&mut self, now: Timestamp) {
        self.probe = None;
        for lease in self.held.values_mut() {
            lease.until = lease.until.max(now.plus(self.usual));
        }
    }

    /// The number of a probe that must be sent now: some lease has run out and no probe is under way. One that has not come
    /// back for as long as a lease lasts may be lost, and is sent again.
    pub fn probe_due(&mut self, now: Timestamp) -> Option<u64> {
        let again_at = now.plus(self.usual);
        match &mut self.probe {
            Some(probe) if now < probe.again_at => None,
            Some(probe) => {
                probe.again_at = again_at;
                Some(probe.number)
            }
            None if self.held.values().any(|lease| lease.until <= now) => {
                self.probes += 1;
                self.probe = Some(SentProbe {
                    number: self.probes,
                    at: now,
                    again_at,
                });
                Some(self.probes)
            }
            None => None,
        }
    }

    /// When [`Leases::probe_due`] must be asked again, if nothing happens meanwhile.
    pub fn next_due(&self) -> Option<Timestamp> {
        match &self.probe {
            Some(probe) => Some(probe.again_at),
            None => self.held.values().map(|lease| lease.until).min(),
        }
    }

    /// A probe could not be sent; the next question asks for another.
    pub fn probe_lost(&mut self, number: u64) {
        self.probe = self.probe.filter(|probe| probe.number != number);
    }

    /// A probe has come back. The runs whose leases had run out when it was sent, and which nobody has heard of since.
    pub fn probe_returned(&mut self, number: u64) -> Vec<(JobId, RunId)> {
        match self.probe.take_if(|probe| probe.number == number) {
            Some(probe) => {
                let expired = self.held.values().filter(|lease| lease.until <= probe.at);
                expired
                    .map(|lease| (lease.run.job, lease.run.run))
                    .collect()
            }
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::Attempt;

    use super::*;

    const USUAL: Duration = Duration::from_secs(180);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn run(job: u128, run: u128) -> RunRef {
        RunRef {
            job: JobId::from_u128(job),
            attempt: Attempt::FIRST,
            run: RunId::from_u128(run),
        }
    }

    #[test]
    fn a_silent_run_expires_only_when_a_probe_sent_after_its_end_has_come_back() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        assert_eq!(leases.probe_due(at(179)), None);
        let probe = leases.probe_due(at(180)).unwrap();
        assert_eq!(leases.probe_due(at(181)), None, "one probe at a time");
        assert_eq!(
            leases.probe_returned(probe),
            [(JobId::from_u128(1), RunId::from_u128(1))]
        );
    }

    #[test]
    fn the_next_look_is_due_when_a_lease_ends_or_the_probe_must_go_again() {
        let mut leases = Leases::new(USUAL);
        assert_eq!(leases.next_due(), None);
        leases.begin(run(1, 1), at(0));
        leases.begin(run(2, 2), at(20));
        assert_eq!(leases.next_due(), Some(at(180)));
        let probe = leases.probe_due(at(180)).unwrap();
        assert_eq!(leases.next_due(), Some(at(360)));
        leases.probe_lost(probe);
        leases.end(JobId::from_u128(1));
        assert_eq!(leases.next_due(), Some(at(200)));
    }

    #[test]
    fn a_word_that_was_read_before_the_probe_saves_the_run() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        let probe = leases.probe_due(at(200)).unwrap();
        assert!(leases.extend(run(1, 1), at(201), None, Some(0.5)));
        assert_eq!(leases.probe_returned(probe), []);
        assert_eq!(leases.get(JobId::from_u128(1)).unwrap().share, Some(0.5));
    }

    #[test]
    fn a_lease_is_never_shorter_than_what_the_run_expects_to_need() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        leases.extend(run(1, 1), at(10), Some(Duration::from_secs(3600)), None);
        leases.extend(run(1, 1), at(20), None, None);
        assert_eq!(leases.probe_due(at(3609)), None);
        assert!(leases.probe_due(at(3610)).is_some());
    }

    #[test]
    fn a_disconnection_starts_every_lease_afresh_and_voids_the_probe() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        let probe = leases.probe_due(at(180)).unwrap();
        leases.restart(at(190));
        assert_eq!(leases.probe_returned(probe), []);
        assert_eq!(leases.probe_due(at(369)), None);
        assert!(leases.probe_due(at(370)).is_some());
    }

    #[test]
    fn only_the_current_run_extends_the_lease() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        leases.begin(run(1, 2), at(5));
        assert!(!leases.extend(run(1, 1), at(6), None, None));
        assert!(leases.extend(run(1, 2), at(6), None, None));
    }

    #[test]
    fn a_lost_probe_is_sent_again() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        let first = leases.probe_due(at(180)).unwrap();
        leases.probe_lost(first);
        let second = leases.probe_due(at(181)).unwrap();
        assert_ne!(first, second);
        assert_eq!(leases.probe_returned(first), []);
    }

    #[test]
    fn a_probe_that_does_not_come_back_is_sent_again_and_proves_the_same() {
        let mut leases = Leases::new(USUAL);
        leases.begin(run(1, 1), at(0));
        leases.begin(run(2, 2), at(10));
        let probe = leases.probe_due(at(180)).unwrap();
        assert_eq!(leases.probe_due(at(359)), None);
        assert_eq!(leases.probe_due(at(360)), Some(probe));
        assert_eq!(
            leases.probe_returned(probe),
            [(JobId::from_u128(1), RunId::from_u128(1))],
            "the other lease ran out after the probe was sent first"
        );
    }
}
