//! Debian and RabbitMQ as images: pulled, or made here from Debian's packages where no registry answers.

use std::path::Path;
use std::process::Command;

use super::engine::{build, has};
use crate::{Outcome, platform, run};

/// What the shipped files name.
const DEBIAN: &str = "debian:trixie-slim";
const RABBITMQ: &str = "rabbitmq:4-management";
/// What is made here. The engine keeps them for the next time.
const MADE_DEBIAN: &str = "callsheet-test/debian:trixie";
const MADE_RABBITMQ: &str = "callsheet-test/rabbitmq:trixie";
/// Debian as an archive, for an engine that has forgotten it.
const ARCHIVE: &str = "target/compose-test/debian.tar";
/// How the image of RabbitMQ is made.
const RECIPE: &str = "xtask/src/compose_test/rabbitmq";

/// The images that ours stand on.
pub(crate) struct BaseImages {
    pub(crate) debian: &'static str,
    pub(super) rabbitmq: &'static str,
}

impl BaseImages {
    /// Gets them, at the first call from far away.
    pub(crate) fn get() -> Result<Self, crate::Failure> {
        if [DEBIAN, RABBITMQ]
            .into_iter()
            .all(|image| has(image) || pull(image))
        {
            return Ok(Self {
                debian: DEBIAN,
                rabbitmq: RABBITMQ,
            });
        }
        println!("no image can be pulled: Debian and RabbitMQ are made from Debian's packages");
        if !has(MADE_DEBIAN) {
            make_debian()?;
        }
        if !has(MADE_RABBITMQ) {
            let from = format!("BASE_IMAGE={MADE_DEBIAN}");
            build(&["--tag", MADE_RABBITMQ, "--build-arg", &from, RECIPE])?;
        }
        Ok(Self {
            debian: MADE_DEBIAN,
            rabbitmq: MADE_RABBITMQ,
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
