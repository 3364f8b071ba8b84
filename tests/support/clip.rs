//! A small clip that the content check passes, for doubles that render nothing.

use std::process::Command;
use std::sync::OnceLock;

use bytes::Bytes;

/// A second of 64x64 pixels, eight frames. Made once, with ffmpeg.
///
/// # Panics
/// If ffmpeg does not make it.
pub fn small() -> Bytes {
    static CLIP: OnceLock<Bytes> = OnceLock::new();
    CLIP.get_or_init(|| make().expect("ffmpeg makes a clip"))
        .clone()
}

fn make() -> anyhow::Result<Bytes> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("clip.mp4");
    let words = "-nostdin -v error -f lavfi -i testsrc2=size=64x64:rate=8 -frames:v 8 -c:v libx264 -preset ultrafast \
                 -pix_fmt yuv420p -movflags +faststart";
    let made = Command::new("ffmpeg")
        .args(words.split_whitespace())
        .arg(&path)
        .status()?;
    anyhow::ensure!(made.success(), "{made}");
    Ok(Bytes::from(std::fs::read(path)?))
}
