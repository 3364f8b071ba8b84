//! Runs a test again in a process that has a network of its own: a process cannot leave the network that it has.
//!
//! There, and in the networks that it makes, nobody else has an address or a name, and all of it is gone with the last process that
//! uses it. Nothing is mounted and nothing has to be taken down, however the test ends.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Set in the process that has a network of its own: its folder, which goes with the one that has started it.
const FOLDER: &str = "CALLSHEET_TEST_HOSTS_FOLDER";
/// In that folder: the networks that were made, as the kernel names them.
const NETWORKS: &str = "networks";
/// Lines of each log that a failure shows.
const LAST_LINES: usize = 15;
/// Processes that were killed are gone within this time.
const GONE: Duration = Duration::from_secs(20);

/// The folder for this test, if it has a network of its own. It ends then with whoever has started it.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let to_remove = folder.clone();
    std::thread::spawn(move || {
        // Its end is all that is waited for.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // Who would have done so was killed.
        let _ = fs::remove_dir_all(to_remove);
        std::process::exit(1)
    });
    Some(folder)
}

/// Writes down that a network was made: the one of that process.
pub(crate) fn note(folder: &Path, pid: u32) -> io::Result<()> {
    use std::io::Write as _;

    let network = network_of(&pid.to_string())?;
    let file = folder.join(NETWORKS);
    let mut file = File::options().create(true).append(true).open(file)?;
    writeln!(file, "{}", network.display())
}

/// Runs that test of this binary in a network of its own, and sees to it that nothing is left of it.
///
/// # Panics
/// If it fails, with all that it has printed; if something is left; if no network can be made here.
pub(crate) fn run(test: &str) {
    need_iproute2();
    let folder = TempDir::new().unwrap();
    let printed = folder.path().join("printed");
    let file = File::create(&printed).unwrap();
    let mut inside = Command::new("unshare")
        .args(how_to_unshare())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder.path())
        // Whatever is left of a killed process goes with it.
        .env("TMPDIR", folder.path())
        // A proxy of this machine's is not to be found from there.
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let leash = inside.stdin.take();
    let status = inside.wait().unwrap();
    drop(leash);
    let printed = fs::read_to_string(printed).unwrap_or_default();
    let logs = || ends_of_logs(folder.path());
    assert!(
        status.success(),
        "it failed ({status}):\n{printed}\n{}",
        logs()
    );
    println!("{printed}");
    let networks = fs::read_to_string(folder.path().join(NETWORKS)).unwrap();
    let networks: BTreeSet<_> = networks.lines().collect();
    assert!(networks.len() > 1, "{networks:?}");
    nobody_is_left_in(&networks);
}

/// Every test says so when it cannot be run: one that passes has been run.
fn need_iproute2() {
    let version = Command::new("ip").arg("-V").output();
    assert!(
        version.is_ok_and(|it| it.status.success()),
        "`ip` is not installed: run `cargo xtask test`, which installs it, or `apt-get install iproute2`"
    );
}

/// As root, or as the root of a namespace of users.
fn how_to_unshare() -> &'static [&'static str] {
    const WAYS: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    let attempt = |way: &[&str]| Command::new("unshare").args(way).arg("true").output();
    let works = |out: io::Result<Output>| out.is_ok_and(|it| it.status.success());
    let found = WAYS.into_iter().find(|way| works(attempt(way)));
    found.unwrap_or_else(|| {
        panic!(
            "this test makes networks of its own (`unshare --net`) and may not: {:?}. Run it as root, in a container with \
             --cap-add SYS_ADMIN,NET_ADMIN or outside of one, or let users do that (sysctl kernel.unprivileged_userns_clone=1, or \
             kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu)",
            attempt(WAYS[1])
        )
    })
}

/// The network of a process, as the kernel names it.
fn network_of(pid: &str) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net"))
}

/// What the programs printed last.
fn ends_of_logs(folder: &Path) -> String {
    let mut ends = String::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|it| it == "log") {
            let log = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
            ends.push_str(&format!("{}:\n{last}\n", path.display()));
        }
    }
    ends
}

fn nobody_is_left_in(networks: &BTreeSet<&str>) {
    let left = || {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let is_in = |pid: &String| {
            network_of(pid).is_ok_and(|it| it.to_str().is_some_and(|it| networks.contains(it)))
        };
        pids.filter(is_in)
            .map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let until = Instant::now() + GONE;
    while !left().is_empty() {
        assert!(Instant::now() < until, "these were left: {:?}", left());
        std::thread::sleep(Duration::from_millis(20));
    }
}
