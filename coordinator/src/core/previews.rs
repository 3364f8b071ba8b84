//! The newest picture of each run: in memory, and nowhere else. Pure.

use std::collections::HashMap;

use shared::ids::JobId;
use shared::preview::Preview;

/// Most bytes of all pictures together: two hundred of the usual size. Beyond that the ones that came longest ago are let go; the
/// next step of their runs brings others.
const MAX_BYTES: usize = 16 << 20;

/// The pictures of the running jobs.
#[derive(Debug, Default)]
pub struct Previews {
    kept: HashMap<JobId, Kept>,
    bytes: usize,
    /// Of the picture that came last.
    number: u64,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    preview: Preview,
}

impl Previews {
    /// Takes in a picture of a job's run in the place of the last one.
    pub fn keep(&mut self, job: JobId, preview: Preview) {
        self.forget(job);
        self.number += 1;
        self.bytes += preview.bytes().len();
        let number = self.number;
        self.kept.insert(job, Kept { number, preview });
        while self.bytes > MAX_BYTES {
            let oldest = self.kept.iter().min_by_key(|(_, kept)| kept.number);
            let Some((&oldest, _)) = oldest else { return };
            self.forget(oldest);
        }
    }

    /// The job's run has ended, or another one takes its place.
    pub fn forget(&mut self, job: JobId) {
        if let Some(kept) = self.kept.remove(&job) {
            self.bytes -= kept.preview.bytes().len();
        }
    }

    /// The newest picture of a job's run.
    pub fn of(&self, job: JobId) -> Option<&Preview> {
        self.kept.get(&job).map(|kept| &kept.preview)
    }

    /// The number of that picture. A later one has a higher number, in one life of the coordinator.
    pub fn number_of(&self, job: JobId) -> Option<u64> {
        self.kept.get(&job).map(|kept| kept.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(size: usize) -> Preview {
        let mut bytes = vec![0xff, 0xd8, 0xff];
        bytes.resize(size, 0);
        Preview::new(bytes.into()).unwrap()
    }

    #[test]
    fn a_job_has_one_picture_the_newest_until_it_is_forgotten() {
        let (job, other) = (JobId::from_u128(1), JobId::from_u128(2));
        let mut previews = Previews::default();
        assert_eq!((previews.of(job), previews.number_of(job)), (None, None));
        previews.keep(job, picture(10));
        previews.keep(other, picture(11));
        previews.keep(job, picture(12));
        assert_eq!(previews.of(job), Some(&picture(12)));
        assert_eq!(previews.number_of(job), Some(3));
        previews.forget(job);
        assert_eq!((previews.of(job), previews.number_of(job)), (None, None));
        assert_eq!(previews.of(other), Some(&picture(11)));
        previews.forget(other);
        previews.forget(other);
        assert_eq!(previews.bytes, 0);
    }

    #[test]
    fn all_together_never_take_more_than_their_room() {
        let size = Preview::MAX_BYTES;
        let most = MAX_BYTES / size;
        let job = |number: usize| JobId::from_u128(number as u128);
        let mut previews = Previews::default();
        for number in 0..most + 3 {
            previews.keep(job(number), picture(size));
            assert!(previews.bytes <= MAX_BYTES);
        }
        assert_eq!(previews.kept.len(), most);
        assert!((0..3).all(|number| previews.of(job(number)).is_none()));
        // One that got a new picture is no more the oldest.
        previews.keep(job(3), picture(size));
        previews.keep(job(0), picture(size));
        assert!(previews.of(job(3)).is_some() && previews.of(job(4)).is_none());
    }
}
