//! A thread that reads one device for everybody in this process: its free memory several times a second, everything when
//! asked. A card can be so sick that a call of its driver never ends; then the thread hangs, and nothing else does: what it
//! has said grows old, and the gate admits nothing on an old reading.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use shared::fields;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::{Fault, GPU_UUID, GpuProbe, Memory};
use crate::gpu::reading::{DeviceReading, DeviceUuid};

/// Reads one device as long as this value lives.
#[derive(Debug)]
pub struct Sampler {
    asked: Sender<Question>,
    latest: watch::Receiver<Option<Sample>>,
}

/// The memory of a device at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its memory, or why it could not be read.
    pub memory: Result<Memory, Fault>,
    /// When it was asked for. Answers can be slow, and then it is as old as the question.
    pub asked_at: Instant,
}

impl Sample {
    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.asked_at)
    }
}

#[derive(Debug)]
struct Question {
    backends: Vec<u32>,
    /// The answer, and when it was there.
    answer: oneshot::Sender<(DeviceReading, Instant)>,
}

impl Sampler {
    /// Starts to read a device at that interval.
    ///
    /// # Errors
    /// If the system does not give us a thread.
    pub fn start(
        probe: Arc<dyn GpuProbe>,
        device: DeviceUuid,
        interval: Duration,
    ) -> io::Result<Self> {
        let (asked, questions) = channel();
        let (samples, latest) = watch::channel(None);
        let work = Work {
            probe,
            device,
            interval,
            questions,
            samples,
        };
        // Nobody waits for its end, which a hanging call would put off for ever.
        thread::Builder::new()
            .name("gpu-sampler".to_owned())
            .spawn(move || work.run())?;
        Ok(Self { asked, latest })
    }

    /// The latest sample; none before the first.
    pub fn latest(&self) -> watch::Receiver<Option<Sample>> {
        self.latest.clone()
    }

    /// Everything about the device now, for a decision; see [`GpuProbe::reading`]. None if it does not come within `limit`.
    pub async fn reading(&self, backends: Vec<u32>, limit: Duration) -> Option<DeviceReading> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(Question { backends, answer }).ok()?;
        let (mut reading, at) = timeout(limit, answered).await.ok()?.ok()?;
        reading.age += at.elapsed();
        Some(reading)
    }
}

struct Work {
    probe: Arc<dyn GpuProbe>,
    device: DeviceUuid,
    interval: Duration,
    questions: Receiver<Question>,
    samples: watch::Sender<Option<Sample>>,
}

impl Work {
    /// Ends when nobody is left who could ask.
    fn run(self) {
        let mut due = Instant::now();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            match self.questions.recv_timeout(left) {
                Ok(question) => self.answer(question),
                Err(RecvTimeoutError::Timeout) => {
                    due = Instant::now() + self.interval;
                    self.sample();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn answer(&self, question: Question) {
        // Who has asked while a call was hanging has gone meanwhile.
        if question.answer.is_closed() {
            return;
        }
        let reading = self.probe.reading(&self.device, &question.backends);
        let _ = question.answer.send((reading, Instant::now()));
    }

    fn sample(&self) {
        let asked_at = Instant::now();
        let memory = self.probe.memory(&self.device);
        let before = self.samples.send_replace(Some(Sample {
            memory: memory.clone(),
            asked_at,
        }));
        match (before.map(|sample| sample.memory.err()), memory.err()) {
            (Some(before), now) if before == now => {}
            (_, Some(fault)) => tracing::warn!(
                { GPU_UUID } = %self.device,
                { fields::REASON } = %fault,
                "the device cannot be read"
            ),
            (Some(_), None) => {
                tracing::info!({ GPU_UUID } = %self.device, "the device can be read again");
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use shared::byte_size::ByteSize;

    use super::super::fixed::FixedProbe;
    use super::*;
    use crate::gpu::reading::Health;

    const OFTEN: Duration = Duration::from_millis(1);
    const SOON: Duration = Duration::from_secs(20);

    fn start(probe: FixedProbe) -> Sampler {
        Sampler::start(Arc::new(probe), DeviceUuid("GPU-fixed".to_owned()), OFTEN).unwrap()
    }

    /// Waits until a sample is as it shall be.
    async fn sample(sampler: &Sampler, shall: impl Fn(&Sample) -> bool) -> Sample {
        let mut latest = sampler.latest();
        let seen = latest.wait_for(|sample| sample.as_ref().is_some_and(&shall));
        let seen = timeout(SOON, seen).await.unwrap().unwrap();
        seen.clone().unwrap()
    }

    #[tokio::test]
    async fn what_is_free_is_told_again_and_again() {
        let free = [3, 2, 1].map(|gib| Ok(ByteSize::gib(gib)));
        let sampler = start(FixedProbe::of(free));
        let is_last = |sample: &Sample| sample.memory.as_ref().unwrap().free == ByteSize::gib(1);
        let last = sample(&sampler, is_last).await;
        sample(&sampler, |sample| sample.asked_at > last.asked_at).await;
    }

    #[tokio::test]
    async fn a_device_that_is_lost_and_comes_back_is_told() {
        let free = [Ok(ByteSize::gib(3)), Err(Fault::Lost), Ok(ByteSize::gib(2))];
        let sampler = start(FixedProbe::of(free));
        sample(&sampler, |sample| {
            sample
                .memory
                .as_ref()
                .is_ok_and(|now| now.free == ByteSize::gib(2))
        })
        .await;
    }

    #[tokio::test]
    async fn a_call_that_hangs_makes_the_reading_old_and_nobody_else_wait() {
        let (open, gate) = channel();
        let sampler = start(FixedProbe {
            gate: Some(Mutex::new(gate)),
            ..FixedProbe::of([Ok(ByteSize::gib(3))])
        });
        open.send(()).unwrap();
        let first = sample(&sampler, |_| true).await;

        // The second look hangs: a question gets no answer, and the first sample is still the latest.
        let limit = Duration::from_millis(20);
        assert_eq!(sampler.reading(Vec::new(), limit).await, None);
        let latest = sampler.latest().borrow().clone().unwrap();
        assert_eq!(latest, first);
        assert!(latest.age(Instant::now()) >= limit);

        // When it ends at last, all is as before.
        drop(open);
        let reading = sampler.reading(Vec::new(), SOON).await.unwrap();
        assert_eq!(reading.health, Health::Well);
        sample(&sampler, |sample| sample.asked_at > first.asked_at).await;
    }

    #[tokio::test]
    async fn it_stops_when_nobody_needs_it() {
        let sampler = start(FixedProbe::of([Ok(ByteSize::gib(3))]));
        let mut latest = sampler.latest();
        drop(sampler);
        let ended = async { while latest.changed().await.is_ok() {} };
        timeout(SOON, ended).await.unwrap();
    }

    #[tokio::test]
    async fn it_does_not_keep_its_owner_when_it_hangs() {
        let (open, gate) = channel();
        let sampler = start(FixedProbe {
            gate: Some(Mutex::new(gate)),
            ..FixedProbe::of([Ok(ByteSize::gib(3))])
        });
        drop(sampler);
        drop(open);
    }
}
