//! The compose file and the image that we ship, on a real Docker engine.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::{Failure, Outcome, build_what_is_shipped, enter_root, run};

pub(crate) mod base_images;
pub(crate) mod engine;

use self::base_images::BaseImages;
use self::engine::{build, size};

/// The image with the programs, and the stage below it.
const IMAGE: &str = "callsheet-test/callsheet";
const BASE: &str = "callsheet-test/base";
/// What stands in for the OpenTelemetry collector, how its image is made, and where its program is taken from.
const COLLECTOR: &str = "callsheet-test/collector";
const COLLECTOR_RECIPE: &str = "xtask/src/compose_test/collector/Dockerfile";
const COLLECTOR_CONTEXT: &str = "target/compose-test/collector";
/// What it may add to Debian and ffmpeg.
const ADDED_MAX_MIB: f64 = 60.0;
/// Where the image takes a program from that was built outside.
const PROGRAM_CONTEXT: &str = "target/image";

/// Makes the images and runs the test; says aloud where it cannot.
pub(crate) fn compose_test(arguments: &[OsString]) -> Outcome {
    let Some(compose) = engine::compose() else {
        println!(
            "NOT tested: the image and docker-compose.yml, as no Docker engine with Compose answers here (`docker info`)"
        );
        return Ok(());
    };
    enter_root()?;
    build_what_is_shipped()?;
    lay_out()?;
    let bases = BaseImages::get()?;
    let from = format!("BASE_IMAGE={}", bases.debian);
    build(&["--tag", BASE, "--target", "base", "--build-arg", &from, "."])?;
    build(&[
        "--tag",
        IMAGE,
        "--target",
        "prebuilt",
        "--build-arg",
        &from,
        ".",
    ])?;
    let recipe = ["--file", COLLECTOR_RECIPE, COLLECTOR_CONTEXT];
    build(&[&["--tag", COLLECTOR, "--build-arg", &from][..], &recipe].concat())?;
    println!(
        "NOT run: the OpenTelemetry collector, of which Debian has no package. A receiver of the test's own takes its place"
    );
    let added = (size(IMAGE)? - size(BASE)?) / 1024.0 / 1024.0;
    println!("the image adds {added:.1} MiB to Debian and ffmpeg, of at most {ADDED_MAX_MIB} MiB");
    if added > ADDED_MAX_MIB {
        return Err(Failure::Said("the image has become too large".to_owned()));
    }
    let mut test = std::process::Command::new("target/debug/compose-test");
    run(test
        .args(["--image", IMAGE, "--rabbitmq", bases.rabbitmq])
        .args(["--prometheus", bases.prometheus, "--collector", COLLECTOR])
        .args(["--compose", compose])
        .args(arguments))
}

/// Puts the programs where the images take them from.
fn lay_out() -> Outcome {
    let put = |program: &str, folder: &str, name: &str| {
        let copied = fs::create_dir_all(folder)
            .and_then(|()| fs::copy(program, Path::new(folder).join(name)));
        copied.map_err(|error| Failure::Said(format!("{folder}/{name}: {error}")))
    };
    put("target/release/callsheet", PROGRAM_CONTEXT, "callsheet")?;
    let double = "collector-double";
    put(&format!("target/debug/{double}"), COLLECTOR_CONTEXT, double).map(drop)
}

#[cfg(test)]
mod tests {
    const MANIFEST: &str = include_str!("../../../Cargo.toml");
    const CONTEXT: &str = include_str!("../../../.dockerignore");

    #[test]
    fn all_packages_go_into_the_image_that_is_built_from_source() {
        let members = MANIFEST
            .lines()
            .find_map(|line| line.strip_prefix("members = [")?.strip_suffix(']'))
            .expect("members stand in one line");
        for member in members.split(", ") {
            let folder = member
                .trim_matches('"')
                .split('/')
                .next()
                .unwrap_or_default();
            let line = format!("!{folder}");
            assert!(CONTEXT.lines().any(|it| it == line), "{member}");
        }
    }
}
