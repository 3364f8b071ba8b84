//! A thread that reads one device for everybody in this process: its free memory several times a second, everything when
//! asked. A card can be so sick that a call of its driver never ends; then the thread hangs, and nothing else does: what it
//! has said grows old, and the gate admits nothing on an old reading.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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
    /// How many want it read often.
    wanted: Arc<AtomicU32>,
}

/// How often a device is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// While somebody wants it ([`Sampler::often`]).
    pub often: Duration,
    /// At all other times. Each look wakes a processor.
    pub seldom: Duration,
}

impl Rhythm {
    /// The same at all times.
    pub const fn always(interval: Duration) -> Self {
        Self {
            often: interval,
            seldom: interval,
        }
    }
}

/// The device is read often as long as this lives.
#[derive(Debug)]
pub struct Often(Arc<AtomicU32>);

impl Drop for Often {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A device is lost when so many samples in a row have found it so.
const LOST_AFTER: u32 = 2;

/// The memory of a device at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its memory, or why it could not be read.
    pub memory: Result<Memory, Fault>,
    /// When it was asked for. Answers can be slow, and then it is as old as the question.
    pub asked_at: Instant,
    /// So many samples in a row, with this one, found the device lost or in need of a reset.
    pub lost: u32,
}

impl Sample {
    /// Whether the device counts as lost, and what was promised on it as void. One sample alone may be a hiccup of the driver.
    pub fn is_lost(&self) -> bool {
        self.lost >= LOST_AFTER
    }

    /// How old it is.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.asked_at)
    }
}

#[derive(Debug)]
enum Question {
    /// Everything, and when it was there.
    Reading(oneshot::Sender<(DeviceReading, Instant)>),
    /// A sample now.
    Sample(oneshot::Sender<Sample>),
    /// Samples often, from now on.
    Often,
}

impl Sampler {
    /// Starts to read a device in that rhythm.
    ///
    /// # Errors
    /// If the system does not give us a thread.
    pub fn start(probe: Arc<dyn GpuProbe>, device: DeviceUuid, rhythm: Rhythm) -> io::Result<Self> {
        let (asked, questions) = channel();
        let (samples, latest) = watch::channel(None);
        let wanted = Arc::new(AtomicU32::new(0));
        let work = Work {
            probe,
            device,
            rhythm,
            wanted: Arc::clone(&wanted),
            questions,
            samples,
        };
        // Nobody waits for its end, which a hanging call would put off for ever.
        thread::Builder::new()
            .name("gpu-sampler".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            asked,
            latest,
            wanted,
        })
    }

    /// Has it read often, and at once, for as long as the answer lives.
    pub fn often(&self) -> Often {
        if self.wanted.fetch_add(1, Ordering::Relaxed) == 0 {
            // Without its thread it is not read at all, and its samples grow old.
            let _ = self.asked.send(Question::Often);
        }
        Often(Arc::clone(&self.wanted))
    }

    /// A sample of this moment. None if it does not come within `limit`.
    pub async fn sample(&self, limit: Duration) -> Option<Sample> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(Question::Sample(answer)).ok()?;
        timeout(limit, answered).await.ok()?.ok()
    }

    /// The latest sample; none before the first.
    pub fn latest(&self) -> watch::Receiver<Option<Sample>> {
        self.latest.clone()
    }

    /// Everything about the device now, for a decision; see [`GpuProbe::reading`]. None if it does not come within `limit`.
    pub async fn reading(&self, limit: Duration) -> Option<DeviceReading> {
        let (answer, answered) = oneshot::channel();
        self.asked.send(Question::Reading(answer)).ok()?;
        let (mut reading, at) = timeout(limit, answered).await.ok()?.ok()?;
        reading.age += at.elapsed();
        Some(reading)
    }
}

struct Work {
    probe: Arc<dyn GpuProbe>,
    device: DeviceUuid,
    rhythm: Rhythm,
    wanted: Arc<AtomicU32>,
    questions: Receiver<Question>,
    samples: watch::Sender<Option<Sample>>,
}

impl Work {
    /// Ends when nobody is left who could ask.
    fn run(self) {
        let mut sampled_at = None;
        loop {
            let due = sampled_at.map_or_else(Instant::now, |at| at + self.interval());
            let left = due.saturating_duration_since(Instant::now());
            match self.questions.recv_timeout(left) {
                Ok(Question::Reading(answer)) => self.answer(answer),
                Ok(Question::Sample(answer)) => {
                    sampled_at = Some(Instant::now());
                    let _ = answer.send(self.sample());
                }
                // It is due now, or soon.
                Ok(Question::Often) => {}
                Err(RecvTimeoutError::Timeout) => {
                    sampled_at = Some(Instant::now());
                    self.sample();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn interval(&self) -> Duration {
        match self.wanted.load(Ordering::Relaxed) {
            0 => self.rhythm.seldom,
            _ => self.rhythm.often,
        }
    }

    fn answer(&self, answer: oneshot::Sender<(DeviceReading, Instant)>) {
        // Who has asked while a call was hanging has gone meanwhile.
        if answer.is_closed() {
            return;
        }
        let reading = self.probe.reading(&self.device);
        let _ = answer.send((reading, Instant::now()));
    }

    fn sample(&self) -> Sample {
        let asked_at = Instant::now();
        let memory = self.probe.memory(&self.device);
        let lost_before = self.samples.borrow().as_ref().map_or(0, |it| it.lost);
        let sample = Sample {
            lost: match &memory {
                Err(Fault::Lost | Fault::ResetRequired) => lost_before.saturating_add(1),
                Ok(_) | Err(_) => 0,
            },
            memory,
            asked_at,
        };
        let before = self.samples.send_replace(Some(sample.clone()));
        let fault = sample.memory.as_ref().err().cloned();
        match (before.map(|sample| sample.memory.err()), fault) {
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
        sample
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
    /// Who is not read for so many times its interval is not read often.
    const RESTS: Duration = Duration::from_millis(200);

    fn start(probe: FixedProbe) -> Sampler {
        let device = DeviceUuid("GPU-fixed".to_owned());
        Sampler::start(Arc::new(probe), device, Rhythm::always(OFTEN)).unwrap()
    }

    /// The same, read only when somebody wants it.
    fn idle(probe: FixedProbe) -> Sampler {
        let device = DeviceUuid("GPU-fixed".to_owned());
        let rhythm = Rhythm {
            often: OFTEN,
            seldom: Duration::from_hours(1),
        };
        Sampler::start(Arc::new(probe), device, rhythm).unwrap()
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
    async fn losses_are_counted_until_the_device_answers_again() {
        let free = [
            Ok(ByteSize::gib(3)),
            Err(Fault::Lost),
            Err(Fault::ResetRequired),
            Err(Fault::Unexplained),
            Err(Fault::Lost),
            Ok(ByteSize::gib(2)),
        ];
        let sampler = idle(FixedProbe::of(free));
        sample(&sampler, |sample| sample.memory.is_ok()).await;
        let mut losses = Vec::new();
        for _ in 0..5 {
            let sample = sampler.sample(SOON).await.unwrap();
            losses.push((sample.lost, sample.is_lost()));
        }
        let once = (1, false);
        assert_eq!(losses, [once, (2, true), (0, false), once, (0, false)]);
    }

    #[tokio::test]
    async fn it_is_read_often_while_somebody_wants_it_and_seldom_otherwise() {
        let free = [
            Ok(ByteSize::gib(3)),
            Ok(ByteSize::gib(2)),
            Ok(ByteSize::gib(1)),
        ];
        let sampler = idle(FixedProbe::of(free));
        let has = |free| move |sample: &Sample| sample.memory.as_ref().unwrap().free == free;
        let first = sample(&sampler, has(ByteSize::gib(3))).await;
        // Nobody wants it: the first sample stays, until one is asked for.
        assert_eq!(sampler.latest().borrow().clone(), Some(first));
        let now = sampler.sample(SOON).await.unwrap();
        assert!(has(ByteSize::gib(2))(&now));
        let often = sampler.often();
        let last = sample(&sampler, has(ByteSize::gib(1))).await;
        sample(&sampler, |sample| sample.asked_at > last.asked_at).await;
        drop(often);
        let rests = async {
            let mut latest = sampler.latest();
            while timeout(RESTS, latest.changed()).await.is_ok() {
                latest.mark_unchanged();
            }
        };
        timeout(SOON, rests).await.unwrap();
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
        assert_eq!(sampler.reading(limit).await, None);
        let latest = sampler.latest().borrow().clone().unwrap();
        assert_eq!(latest, first);
        assert!(latest.age(Instant::now()) >= limit);

        // When it ends at last, all is as before.
        drop(open);
        let reading = sampler.reading(SOON).await.unwrap();
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
