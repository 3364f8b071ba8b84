//! Where the programs are, and whether they will do.

use std::path::PathBuf;

use serde::Deserialize;
use shared::film::Mistake;
use tokio_util::sync::CancellationToken;

use super::{Call, FfmpegError};

/// The oldest major version that has every filter and option used here.
const OLDEST_MAJOR: u32 = 4;

/// Where the two programs are: a name to look up in `PATH`, or a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FfmpegPrograms {
    /// Encodes, decodes and joins.
    pub ffmpeg: PathBuf,
    /// Tells what is in a file.
    pub ffprobe: PathBuf,
}

impl Default for FfmpegPrograms {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            ffprobe: "ffprobe".into(),
        }
    }
}

impl FfmpegPrograms {
    /// What is wrong with the settings, whatever is installed.
    pub fn mistakes(&self) -> Vec<Mistake> {
        [
            ("ffmpeg.ffmpeg", &self.ffmpeg),
            ("ffmpeg.ffprobe", &self.ffprobe),
        ]
        .into_iter()
        .filter(|(_, path)| path.as_os_str().is_empty())
        .map(|(field, _)| Mistake::new(field, "give the name of the program or its path"))
        .collect()
    }

    /// Begins a call of ffmpeg. `what` names the work in errors, as `encode scene 3`.
    pub fn ffmpeg(&self, what: impl Into<String>) -> Call {
        let call = Call::new("ffmpeg", &self.ffmpeg, what.into());
        call.args(["-nostdin", "-hide_banner", "-v", "error", "-y"])
    }

    /// Begins a call of ffprobe. `what` names the work in errors, as `probe scene 3`.
    pub fn ffprobe(&self, what: impl Into<String>) -> Call {
        let call = Call::new("ffprobe", &self.ffprobe, what.into());
        call.args(["-hide_banner", "-v", "error"])
    }

    /// Makes sure that both programs are there, new enough, and can write H.264. Returns ffmpeg's version.
    ///
    /// # Errors
    /// If one is missing, too old or built without x264; the message says what to install.
    pub async fn check(&self) -> Result<String, FfmpegError> {
        let never = CancellationToken::new();
        let version = |program, path| {
            let call = Call::new(program, path, format!("ask {program} for its version"));
            call.arg("-version")
        };
        version("ffprobe", &self.ffprobe).run(&never).await?;
        let said = version("ffmpeg", &self.ffmpeg).run(&never).await?;
        let version = version_in(&String::from_utf8_lossy(&said));
        let unfit = |reason| FfmpegError::Unfit {
            path: self.ffmpeg.clone(),
            reason,
        };
        if let Some(major) = major_of(&version)
            && major < OLDEST_MAJOR
        {
            let reason = format!("version {version} is too old, {OLDEST_MAJOR}.0 is needed");
            return Err(unfit(reason));
        }
        let encoders = self.ffmpeg("list the encoders").arg("-encoders");
        let encoders = encoders.run(&never).await?;
        if String::from_utf8_lossy(&encoders).contains("libx264") {
            Ok(version)
        } else {
            Err(unfit("it was built without x264".to_owned()))
        }
    }
}

/// The version in the first line, as `5.1.6-0+deb12u1`; the whole line where it reads otherwise.
fn version_in(said: &str) -> String {
    let line = said.lines().next().unwrap_or_default();
    let version = line
        .strip_prefix("ffmpeg version ")
        .and_then(|rest| rest.split_whitespace().next());
    version.unwrap_or(line).to_owned()
}

/// Builds from the source repository call themselves `N-112345-g…` and have no major version: they pass.
fn major_of(version: &str) -> Option<u32> {
    version
        .trim_start_matches('n')
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_version_is_told_from_a_new_one() {
        let version = |line: &str| major_of(&version_in(line));
        assert_eq!(version("ffmpeg version 5.1.6-0+deb12u1 Copyright"), Some(5));
        assert_eq!(version("ffmpeg version n7.0 Copyright"), Some(7));
        assert_eq!(version("ffmpeg version 3.4.8 Copyright"), Some(3));
        assert_eq!(version("ffmpeg version N-112345-gabc Copyright"), None);
    }
}
