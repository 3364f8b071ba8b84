//! The systemd units that we ship, on machines with systemd.

use std::process::Command;

use crate::compose_test::base_images::BaseImages;
use crate::compose_test::engine::{self, build};
use crate::{Outcome, build_what_is_shipped, enter_root, run};

/// A machine with systemd.
const IMAGE: &str = "callsheet-test/units";
/// How its image is made.
const RECIPE: &str = "xtask/src/units";

/// Makes the image and runs the test; says aloud where it cannot.
pub(crate) fn units_test() -> Outcome {
    if !engine::answers() {
        println!("NOT tested: deploy/systemd, as no Docker engine answers here (`docker info`)");
        return Ok(());
    }
    enter_root()?;
    build_what_is_shipped()?;
    let from = format!("BASE_IMAGE={}", BaseImages::get()?.debian);
    build(&["--tag", IMAGE, "--build-arg", &from, RECIPE])?;
    let mut test = Command::new("target/debug/units-test");
    run(test.args(["--image", IMAGE, "--program", "target/release/callsheet"]))
}
