//! Names of the files that a film is written to.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Longest file name that is made from a title, in bytes, without number and extension.
const SLUG_MAX: usize = 60;

/// A file name from a title: lower-case letters and digits of any script, with hyphens between; `film` if nothing is left.
pub(crate) fn slug(title: &str) -> String {
    let mut slug = String::new();
    for c in title.chars().flat_map(char::to_lowercase) {
        // An apostrophe joins: "keeper's" is one word.
        if matches!(c, '\'' | '’') {
            continue;
        }
        let next = if c.is_alphanumeric() { c } else { '-' };
        if next == '-' && (slug.is_empty() || slug.ends_with('-')) {
            continue;
        }
        if slug.len() + next.len_utf8() > SLUG_MAX {
            break;
        }
        slug.push(next);
    }
    let slug = slug.trim_end_matches('-');
    // Windows keeps these names for devices.
    let is_device = matches!(slug, "con" | "prn" | "aux" | "nul")
        || (slug.len() == 4
            && (slug.starts_with("com") || slug.starts_with("lpt"))
            && slug.ends_with(|c: char| c.is_ascii_digit()));
    match slug {
        "" => "film".to_owned(),
        device if is_device => format!("{device}-film"),
        slug => slug.to_owned(),
    }
}

/// The `count`-th name to try for a file: `storm.mp4`, `storm-2.mp4`, `storm-3.mp4`.
pub(crate) fn numbered(path: &Path, count: u32) -> PathBuf {
    if count <= 1 {
        return path.to_owned();
    }
    let mut name = path.file_stem().unwrap_or(OsStr::new("film")).to_owned();
    name.push(format!("-{count}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_file_names() {
        for (title, expected) in [
            ("The Keeper's Storm", "the-keepers-storm"),
            (
                "  100%: \"Quiet\" / ../../etc/passwd\n",
                "100-quiet-etc-passwd",
            ),
            ("嵐と灯台守", "嵐と灯台守"),
            ("Ärger im Büro", "ärger-im-büro"),
            ("🌊🌊", "film"),
            ("", "film"),
            ("NUL", "nul-film"),
            ("com1", "com1-film"),
            ("comb", "comb"),
            ("--rf", "rf"),
        ] {
            assert_eq!(slug(title), expected, "{title}");
        }
        for long in ["word ".repeat(100), "嵐".repeat(100)] {
            let slug = slug(&long);
            assert!(slug.len() <= SLUG_MAX && !slug.ends_with('-'), "{slug}");
        }
    }

    #[test]
    fn further_names_have_a_number_before_the_extension() {
        let path = Path::new("out/storm.v1.mp4");
        assert_eq!(numbered(path, 1), path);
        assert_eq!(numbered(path, 2), Path::new("out/storm.v1-2.mp4"));
        assert_eq!(numbered(Path::new("storm"), 3), Path::new("storm-3"));
    }
}
