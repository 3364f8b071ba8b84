//! Where the programs are, and whether they will do.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use shared::film::Mistake;
use tokio_util::sync::CancellationToken;

use super::error::colon;
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
        version_of("ffprobe", &self.ffprobe).await?;
        let version = version_of("ffmpeg", &self.ffmpeg).await?;
        if let Some(major) = major_of(&version)
            && major < OLDEST_MAJOR
        {
            return Err(unfit(&self.ffmpeg, format!("version {version} is too old")));
        }
        let encoders = self.ffmpeg("list the encoders").arg("-encoders");
        let encoders = ask(&self.ffmpeg, encoders).await?;
        if encoders.contains("libx264") {
            Ok(version)
        } else {
            Err(unfit(&self.ffmpeg, "it was built without x264".to_owned()))
        }
    }

    /// What the programs had to say against a file that one of them could not read to its end.
    ///
    /// # Errors
    /// If the file is not to blame: the program was killed or never ran, or the programs will not do at all.
    pub async fn complaint(&self, error: FfmpegError) -> Result<String, FfmpegError> {
        match error {
            FfmpegError::Failed { status, stderr, .. } if status.code().is_some() => {
                self.check().await?;
                Ok(stderr)
            }
            other => Err(other),
        }
    }
}

/// Asks a program for its version.
async fn version_of(program: &'static str, path: &Path) -> Result<String, FfmpegError> {
    let call = Call::new(program, path, format!("ask {program} for its version"));
    let said = ask(path, call.arg("-version")).await?;
    match version_in(program, &said) {
        Some(version) => Ok(version.to_owned()),
        None => Err(unfit(path, format!("it is not {program}"))),
    }
}

/// Asks a program about itself: one that cannot answer cannot work either.
async fn ask(path: &Path, call: Call) -> Result<String, FfmpegError> {
    let reason = match call.run(&CancellationToken::new()).await {
        Ok(said) => return Ok(String::from_utf8_lossy(&said).into_owned()),
        Err(FfmpegError::Failed {
            what,
            status,
            stderr,
        }) => format!("to {what} failed ({status}){}", colon(&stderr)),
        Err(FfmpegError::Run { source, .. }) => format!("it cannot be run ({source})"),
        Err(other) => return Err(other),
    };
    Err(unfit(path, reason))
}

fn unfit(path: &Path, reason: String) -> FfmpegError {
    FfmpegError::Unfit {
        path: path.to_owned(),
        reason,
    }
}

/// The version in the first line, as `5.1.6-0+deb12u1`.
fn version_in<'a>(program: &str, said: &'a str) -> Option<&'a str> {
    let rest = said.strip_prefix(program)?.strip_prefix(" version ")?;
    rest.split_whitespace().next()
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
        let version = |line: &str| major_of(version_in("ffmpeg", line).unwrap());
        assert_eq!(version("ffmpeg version 5.1.6-0+deb12u1 Copyright"), Some(5));
        assert_eq!(version("ffmpeg version n7.0 Copyright"), Some(7));
        assert_eq!(version("ffmpeg version 3.4.8 Copyright"), Some(3));
        assert_eq!(version("ffmpeg version N-112345-gabc Copyright"), None);
        assert_eq!(version_in("ffmpeg", "GNU bash, version 5.2"), None);
    }
}
