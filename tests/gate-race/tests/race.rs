//! A short race: long enough for the naive gate to over-commit the card.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

use std::path::Path;

use gate_race::plan::{Plan, Strategy};
use gate_race::race;

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gate-race"))
}

#[test]
fn p01_killed_workers_never_overcommit_the_card_where_a_naive_gate_does() {
    let plan = Plan::new(8, 4, 7);
    let gate = race::run(program(), &plan, Strategy::Gate).unwrap();
    assert_eq!(gate.out_of_memory, 0, "{gate}");
    assert!(gate.done > 0 && gate.kills > 0, "{gate}");
    let books = gate.books.as_ref().unwrap();
    assert!(books.orphans > 0 && !books.left, "{gate}");
    let naive = race::run(program(), &plan, Strategy::Naive).unwrap();
    assert!(naive.out_of_memory > 0, "{naive}");
    #[cfg(target_os = "linux")]
    assert_eq!(linux::children_of(std::process::id()), [] as [u32; 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_outlives_a_race_that_is_killed() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().unwrap();
    let mut race = Command::new(program())
        .args(["--seconds", "600", "--workers", "3"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let output = race.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut said).unwrap();
    let until = |what: &str, holds: &mut dyn FnMut() -> bool| {
        let limit = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < limit, "waited for {what}");
            std::thread::yield_now();
        }
    };
    let mut children = Vec::new();
    until("three workers and their backends", &mut || {
        children = linux::children_of(race.id());
        children.len() == 6
    });
    race.kill().unwrap();
    race.wait().unwrap();
    until("their end", &mut || {
        !children.iter().any(|pid| linux::is_of_the_race(*pid))
    });
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    /// Processes that this one has started and not waited for.
    pub(super) fn children_of(parent: u32) -> Vec<u32> {
        let pids = fs::read_dir("/proc").unwrap().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
    }

    /// The fourth field, of which the second is a name in brackets.
    fn parent_of(pid: u32) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse().ok()
    }

    /// Whether that process still runs this crate's program.
    pub(super) fn is_of_the_race(pid: u32) -> bool {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains("gate-race")
    }
}
