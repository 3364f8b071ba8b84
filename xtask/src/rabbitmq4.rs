//! The tests that need a broker, on the RabbitMQ of Debian 13.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Failure, Outcome, enter_root, platform, run, test_on};

const FOLDER: &str = "target/rabbitmq-4";
/// A small Debian 13 that has it.
const DEBIAN: &str = "target/rabbitmq-4/debian";
/// Where it is made.
const PART: &str = "target/rabbitmq-4/debian.part";
/// Becomes a program of that Debian, which sees its `/usr` and else what is here.
const ENTER: &str = r#"#!/bin/sh
exec unshare --user --map-root-user --mount -- sh -euc 'mount --bind "$0/usr" /usr; exec "$@"' "${0%/*}/debian" "$@"
"#;
/// Where the tests with a broker are.
const TESTS: [&str; 5] = ["stories", "comfyui", "artifacts", "card", "hosts"];

/// Makes the folder, at the first call, and runs them; or those that `arguments` choose, as for `cargo test`.
pub(crate) fn rabbitmq4(arguments: Vec<OsString>) -> Outcome {
    enter_root()?;
    let enter = enter().map_err(|error| Failure::Said(format!("{FOLDER}: {error}")))?;
    if !Path::new(DEBIAN).exists() {
        platform::need(&[platform::DEBOOTSTRAP])?;
        // One that was broken off is begun anew.
        run(platform::as_root("rm").args(["-rf", PART]))?;
        let with = ["--variant=minbase", "--include=rabbitmq-server", "trixie"];
        run(platform::as_root("debootstrap").args(with).arg(PART))?;
        run(platform::as_root("mv").args([PART, DEBIAN]))?;
    }
    let all = TESTS.iter().flat_map(|test| ["--test", *test]);
    let chosen = match arguments.is_empty() {
        true => all.chain(["--lib"]).map(OsString::from).collect(),
        false => arguments,
    };
    test_on(Some(&enter), &chosen)
}

fn enter() -> io::Result<PathBuf> {
    fs::create_dir_all(FOLDER)?;
    let enter = std::path::absolute(FOLDER)?.join("enter");
    fs::write(&enter, ENTER)?;
    #[cfg(unix)]
    fs::set_permissions(&enter, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(enter)
}
