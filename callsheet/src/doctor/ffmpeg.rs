//! The two programs of ffmpeg.

use shared::failure::chain;
use video_worker::ffmpeg::FfmpegPrograms;

use super::{Check, Verdict};

/// Looks whether ffmpeg and ffprobe are there and will do.
pub(crate) async fn ffmpeg(programs: &FfmpegPrograms) -> Check {
    match programs.check().await {
        Ok(version) => Check::new("ffmpeg", Verdict::Well, version),
        Err(error) => Check::new("ffmpeg", Verdict::Bad, chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        let missing = FfmpegPrograms {
            ffmpeg: "/no/such/ffmpeg".into(),
            ffprobe: "/no/such/ffprobe".into(),
        };
        let check = ffmpeg(&missing).await;
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.told.contains("/no/such/ff"), "{}", check.told);
    }
}
