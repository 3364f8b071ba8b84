//! Debian, RabbitMQ and Prometheus as images: pulled, or made here from Debian's packages where no registry answers.

use std::path::Path;
use std::process::Command;

use super::engine::{build, has};
use crate::{Outcome, platform, run};

/// What the shipped files name.
const DEBIAN: &str = "debian:trixie-slim";
const RABBITMQ: &str = "rabbitmq:4-management";
const PROMETHEUS: &str = "prom/prometheus:v3.5.0";
/// What is made here. The engine keeps them for the next time.
const MADE_DEBIAN: &str = "callsheet-test/debian:trixie";
const MADE_RABBITMQ: &str = "callsheet-test/rabbitmq:trixie";
const MADE_PROMETHEUS: &str = "callsheet-test/prometheus:trixie";
/// Debian as an archive, for an engine that has forgotten it.
const ARCHIVE: &str = "target/compose-test/debian.tar";
/// How the images of RabbitMQ and of Prometheus are made.
const RABBITMQ_RECIPE: &str = "xtask/src/compose_test/rabbitmq";
const PROMETHEUS_RECIPE: &str = "xtask/src/compose_test/prometheus";

/// The images that ours stand on or beside.
pub(crate) struct BaseImages {
    pub(crate) debian: &'static str,
    pub(super) rabbitmq: &'static str,
    pub(super) prometheus: &'static str,
}

impl BaseImages {
    /// Gets them, at the first call from far away.
    pub(crate) fn get() -> Result<Self, crate::Failure> {
        if [DEBIAN, RABBITMQ, PROMETHEUS]
            .into_iter()
            .all(|image| has(image) || pull(image))
        {
            return Ok(Self {
                debian: DEBIAN,
                rabbitmq: RABBITMQ,
                prometheus: PROMETHEUS,
            });
        }
        println!(
            "not all images can be pulled: Debian, RabbitMQ and Prometheus are made from Debian's packages"
        );
        if !has(MADE_DEBIAN) {
            make_debian()?;
        }
        let from = format!("BASE_IMAGE={MADE_DEBIAN}");
        for (made, recipe) in [
            (MADE_RABBITMQ, RABBITMQ_RECIPE),
            (MADE_PROMETHEUS, PROMETHEUS_RECIPE),
        ] {
            if !has(made) {
                build(&["--tag", made, "--build-arg", &from, recipe])?;
            }
        }
        Ok(Self {
            debian: MADE_DEBIAN,
            rabbitmq: MADE_RABBITMQ,
            prometheus: MADE_PROMETHEUS,
        })
    }
}

fn pull(image: &str) -> bool {
    platform::runs("docker", &["pull", "--quiet", image])
}

fn make_debian() -> Outcome {
    if !Path::new(ARCHIVE).exists() {
        platform::need(&[platform::DEBOOTSTRAP])?;
        // One that was broken off is begun anew.
        run(platform::as_root("sh").args([
            "-c",
            include_str!("debian.sh"),
            "debian",
            "target/compose-test",
            ARCHIVE,
        ]))?;
    }
    run(Command::new("docker").args(["import", ARCHIVE, MADE_DEBIAN]))
}
