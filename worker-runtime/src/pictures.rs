//! Which pictures of a run are told, and when: the newest one, and not as often as words are. Pure.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use shared::preview::Preview;
use tokio::time::Instant;

/// Shortest pause between two pictures of one run: each is as large as hundreds of words, and a broker writes all of it to its disk.
pub(crate) const GAP: Duration = Duration::from_secs(2);

/// What was told of one run.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    last: Option<(Preview, Instant)>,
}

impl Pictures {
    /// The newest picture, if it is time to tell it and it was not told yet. It counts as told then.
    pub(crate) fn next(&mut self, newest: Option<&Preview>, now: Instant) -> Option<Preview> {
        let newest = self.untold(newest)?;
        if self.last.as_ref().is_some_and(|(_, at)| now < *at + GAP) {
            return None;
        }
        self.last = Some((newest.clone(), now));
        Some(newest.clone())
    }

    /// When the newest picture may be told that came too soon after the last one; `None` if none waits.
    pub(crate) fn due(&self, newest: Option<&Preview>) -> Option<Instant> {
        self.untold(newest)?;
        self.last.as_ref().map(|(_, at)| *at + GAP)
    }

    /// Bytes are compared: a server that shows the same picture twice says nothing new.
    fn untold<'a>(&self, newest: Option<&'a Preview>) -> Option<&'a Preview> {
        newest.filter(|newest| self.last.as_ref().is_none_or(|(last, _)| last != *newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments after some moment, in milliseconds.
    #[expect(clippy::disallowed_methods, reason = "an instant cannot be made up")]
    fn at() -> impl Fn(u64) -> Instant {
        let begin = Instant::now();
        move |millis| begin + Duration::from_millis(millis)
    }

    fn picture(number: u8) -> Preview {
        Preview::new(vec![0xff, 0xd8, 0xff, number].into()).unwrap()
    }

    #[test]
    fn only_the_newest_of_those_within_two_seconds_is_told_and_no_picture_twice() {
        let at = at();
        let mut pictures = Pictures::default();
        let (one, two, three) = (picture(1), picture(2), picture(3));
        assert_eq!(pictures.next(None, at(0)), None);
        assert_eq!(pictures.next(Some(&one), at(0)), Some(one.clone()));
        assert_eq!(pictures.next(Some(&one), at(9_000)), None);
        assert_eq!(pictures.due(Some(&one)), None);
        let mut pictures = Pictures::default();
        pictures.next(Some(&one), at(0));
        assert_eq!(pictures.next(Some(&two), at(500)), None);
        assert_eq!(pictures.due(Some(&two)), Some(at(2_000)));
        assert_eq!(pictures.next(Some(&three), at(1_999)), None);
        assert_eq!(pictures.next(Some(&three), at(2_000)), Some(three.clone()));
        assert_eq!(pictures.due(Some(&three)), None);
    }
}
