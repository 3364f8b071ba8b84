//! A ComfyUI server.

use shared::failure::chain;
use video_worker::workflows::Library;

use super::{Check, Verdict};
use crate::comfyui::Seen;
use crate::commands::workflows::check::{AtServer, Found};

/// The oldest version that stops a single job when told to, and no other.
const OLDEST: [u32; 3] = [0, 3, 57];

/// Looks at a server that was asked: what it is, what it could run and what it lacks for the rest.
pub(crate) fn comfyui(server: &AtServer, library: Option<&Library>) -> Check {
    let what = format!("ComfyUI {}", server.url);
    let seen = match &server.seen {
        Ok(seen) => seen,
        Err(error) => return Check::new(what, Verdict::Bad, chain(error)),
    };
    if is_older(&seen.version, OLDEST) {
        let oldest = OLDEST.map(|part| part.to_string()).join(".");
        let told = format!(
            "{}; it is too old, update it to {oldest} or later",
            seen.line()
        );
        return Check::new(what, Verdict::Bad, told);
    }
    let Some(library) = library else {
        return Check::new(what, Verdict::Well, seen.line());
    };
    let (runs, lines) = runnable(library, seen);
    let verdict = match runs.is_empty() {
        true => Verdict::Bad,
        false if seen.card().is_none() => Verdict::Note,
        false => Verdict::Well,
    };
    let told = match runs.is_empty() {
        true => "runs no workflow".to_owned(),
        false => format!("runs {}", runs.join(", ")),
    };
    let more = std::iter::once(told).chain(lines).collect();
    Check::new(what, verdict, seen.line()).with(more)
}

/// Where no server is named.
pub(crate) fn no_comfyui() -> Check {
    let told = "no server is named (comfyui.url); clips are drawn as animatics";
    Check::new("ComfyUI", Verdict::Note, told)
}

/// The names of those that run, and a line or more for each other one.
fn runnable(library: &Library, seen: &Seen) -> (Vec<String>, Vec<String>) {
    let (mut runs, mut lines) = (Vec::new(), Vec::new());
    for (workflow, _) in library.all() {
        let found = Found::of(workflow, seen);
        if found.runs() {
            runs.push(workflow.name().to_string());
        } else {
            lines.push(format!("cannot run {}:", workflow.name()));
            lines.extend(found.lines().map(|line| format!("  {line}")));
        }
    }
    (runs, lines)
}

/// Compares as numbers; what is no number at the end of a part does not count. A version of another form is not judged.
fn is_older(version: &str, oldest: [u32; 3]) -> bool {
    let number = |part: &str| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let parts: Option<Vec<u32>> = version
        .trim_start_matches('v')
        .split('.')
        .take(3)
        .map(number)
        .collect();
    parts.is_some_and(|parts| parts.as_slice() < oldest.as_slice())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::comfyui::tests::{OBJECT_INFO, nobody, serve, stats};
    use crate::commands::workflows::check::look_at;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, older) in [
            ("0.3.56", true),
            ("0.3.57", false),
            ("0.3.100", false),
            ("0.26.0", false),
            ("v0.3.9", true),
            ("0.3.40+nightly", true),
            ("1.0", false),
            ("unknown", false),
        ] {
            assert_eq!(is_older(version, OLDEST), older, "{version}");
        }
    }

    async fn checked(stats: serde_json::Value, nodes: String) -> Check {
        let url = serve(stats.to_string(), nodes).await;
        let servers = look_at(vec![url]).await;
        comfyui(&servers[0], Some(&Library::shipped()))
    }

    #[tokio::test]
    async fn a_server_is_told_with_what_it_runs_and_what_it_lacks() {
        let lacks = OBJECT_INFO.replace("wan2.2_vae.safetensors", "other.safetensors");
        let check = checked(stats(), lacks).await;
        assert_eq!(check.verdict, Verdict::Well);
        assert!(
            check.told.contains("0.33.0") && check.told.contains("RTX 4090"),
            "{}",
            check.told
        );
        assert_eq!(
            check.more,
            [
                "runs sdxl-1.0, smoke, smoke-keyframe, wan2.1-i2v-14b-480p, wan2.2-i2v-a14b",
                "cannot run wan2.2-ti2v-5b:",
                "  models/vae/wan2.2_vae.safetensors is missing (1.3 GiB); get it from Comfy-Org/Wan_2.2_ComfyUI_Repackaged \
                 on Hugging Face",
            ]
        );
    }

    #[tokio::test]
    async fn a_server_without_a_card_is_good_for_little() {
        let mut stats = stats();
        stats["devices"][0]["type"] = json!("cpu");
        let check = checked(stats, OBJECT_INFO.to_owned()).await;
        assert_eq!(
            (check.verdict, check.more[0].as_str()),
            (Verdict::Note, "runs smoke, smoke-keyframe")
        );
    }

    #[tokio::test]
    async fn an_old_server_and_none_at_all_are_bad() {
        let mut stats = stats();
        stats["system"]["comfyui_version"] = json!("0.3.44");
        let check = checked(stats, OBJECT_INFO.to_owned()).await;
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(
            check
                .told
                .ends_with("it is too old, update it to 0.3.57 or later"),
            "{}",
            check.told
        );
        let servers = look_at(vec![nobody().await]).await;
        let check = comfyui(&servers[0], None);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(
            check.told.starts_with("cannot reach ComfyUI"),
            "{}",
            check.told
        );
    }
}
