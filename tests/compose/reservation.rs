//! docker-compose.yml without its reservation of cards.
//!
//! An engine that has no driver of NVIDIA's refuses to start a container that reserves a card, and no file on top of another one can
//! take a reservation back: what stands in lists is added to. So it is cut out of a copy, and nothing else is.

use anyhow::{Result, ensure};

/// The text of the file without the one block that reserves cards.
pub(crate) fn without(file: &str) -> Result<String> {
    let is_begun = |line: &str| line.trim() == "deploy:";
    let depth = |line: &str| line.len() - line.trim_start().len();
    let (mut kept, mut cut) = (String::new(), String::new());
    let mut inside = None;
    for line in file.lines() {
        match inside {
            None if is_begun(line) => inside = Some(depth(line)),
            Some(outer) if !line.trim().is_empty() && depth(line) <= outer => inside = None,
            _ => {}
        }
        let into = match inside {
            Some(_) => &mut cut,
            None => &mut kept,
        };
        into.push_str(line);
        into.push('\n');
    }
    let told = |what: &str| cut.matches(what).count();
    ensure!(
        told("deploy:") == 1 && told("driver: nvidia") == 1 && told("services:") == 0,
        "more or less than the reservation was cut out: {cut}"
    );
    Ok(kept)
}
