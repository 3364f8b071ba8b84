//! A large file to a coordinator over HTTP and back, beside what curl reaches on the same link.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use shared::artifact::{Artifact, MediaType};
use shared::artifacts::ArtifactStore;
use support::programs::Program;
use support::wait::until;

use crate::film::peak_mib;
use crate::statistics::{Verdicts, median};

/// Least speed, as a share of curl's.
const SHARE: f64 = 0.5;
/// Largest peak of memory on either side, in MiB, however large the file is.
const MEMORY: f64 = 100.0;

pub(crate) async fn measure(mebibytes: u32, rounds: u32, verdicts: &mut Verdicts) -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let (file, out) = (folder.path().join("file"), folder.path().join("out"));
    write(&file, mebibytes)?;
    let server = Program::start(
        "callsheet",
        "up",
        ["up", "--listen", "127.0.0.1:0", "--data-dir"]
            .map(std::ffi::OsString::from)
            .into_iter()
            .chain([folder.path().join("data").into()]),
        folder.path(),
    )?;
    let url = until("the server", Duration::from_secs(30), async || {
        let printed = server.printed();
        let (_, after) = printed.split_once("is up at ").context("not up yet")?;
        let (url, _) = after.split_once('\n').context("half a line")?;
        Ok::<_, anyhow::Error>(url.trim().to_owned())
    })
    .await;
    let store = ArtifactStore::open(&url)?;
    let (mut sends, mut fetches, mut curl_sends, mut curl_fetches) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    forget_peak();
    for _ in 0..rounds {
        let (artifact, took) = timed(store.put_file(&file, MediaType::Mp4)).await?;
        sends.push(took);
        fetches.push(timed(store.fetch(&artifact, &out)).await?.1);
        std::fs::remove_file(&out)?;
        let at = format!("{url}/v1/artifacts/{}", artifact.sha256);
        curl_sends.push(curl(&["-T".as_ref(), file.as_os_str(), at.as_ref()])?);
        curl_fetches.push(curl(&["-o".as_ref(), out.as_os_str(), at.as_ref()])?);
        check(&store, &artifact, &out)?;
    }
    let speed = |seconds: &[f64]| f64::from(mebibytes) / median(seconds);
    println!(
        "\nartifacts: {mebibytes} MiB to a coordinator over HTTP on loopback and back, median of {rounds}"
    );
    for (what, ours, curls) in [
        ("sent   ", &sends, &curl_sends),
        ("fetched", &fetches, &curl_fetches),
    ] {
        let (ours, curls) = (speed(ours), speed(curls));
        println!(
            "  {what}  {ours:7.0} MiB/s, curl {curls:5.0} MiB/s: {:.2}, at least {SHARE}: {}",
            ours / curls,
            verdicts.of(ours >= SHARE * curls)
        );
    }
    let peaks = [
        ("coordinator", server.id().and_then(peak_mib)),
        ("worker     ", peak_mib(std::process::id())),
    ];
    for (who, peak) in peaks {
        let peak = peak.context("the peak of memory cannot be read")?;
        println!(
            "  {who} {peak:5.1} MiB at most, limit {MEMORY} MiB: {}",
            verdicts.of(peak <= MEMORY)
        );
    }
    Ok(())
}

/// A file that no compression makes smaller.
fn write(path: &Path, mebibytes: u32) -> Result<()> {
    let mut file = File::create_new(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(file.sync_all()?)
}

/// What came of it, and how many seconds it took.
async fn timed<T, E: Into<anyhow::Error>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<(T, f64)> {
    let begun = Instant::now();
    let done = work.await.map_err(Into::into)?;
    Ok((done, begun.elapsed().as_secs_f64()))
}

/// How many seconds curl takes.
fn curl(words: &[&std::ffi::OsStr]) -> Result<f64> {
    let begun = Instant::now();
    let status = Command::new("curl")
        .args(["--silent", "--show-error", "--fail"])
        .args(words)
        .status()
        .context("running curl: is it installed?")?;
    ensure!(status.success(), "curl ended with {status}");
    Ok(begun.elapsed().as_secs_f64())
}

/// Whether curl fetched what we sent.
fn check(store: &ArtifactStore, artifact: &Artifact, out: &Path) -> Result<()> {
    let length = out.metadata()?.len();
    ensure!(
        length == artifact.size.as_bytes(),
        "curl fetched {length} bytes from {store:?}"
    );
    Ok(std::fs::remove_file(out)?)
}

/// Lets the peak of this process begin anew, where the system does that.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
