//! `docs/metrics.md` lists all metrics, and the alerts speak of no others. `cargo xtask docs` writes the table anew.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use shared::metrics::{Kind, catalogue};

const HEAD: &str = "| Name | Type | Labels | Told by | Meaning |\n|---|---|---|---|---|\n";

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap().replace("\r\n", "\n")
}

#[test]
fn the_table_in_docs_is_made_from_the_catalogue() {
    let kept = read("docs/metrics.md");
    let (before, rest) = kept.split_once(HEAD).unwrap();
    let (_, after) = rest.split_once("\n## Questions").unwrap();
    let rows: String = catalogue::ALL
        .iter()
        .map(|metric| format!("{}\n", metric.row()))
        .collect();
    let made = format!("{before}{HEAD}{rows}\n## Questions{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(at("docs/metrics.md"), &made).unwrap();
        return;
    }
    assert!(
        made == kept,
        "the table in docs/metrics.md is out of date; write it anew with UPDATE_DOCS=1"
    );
}

#[test]
fn names_say_what_they_are_and_no_label_is_without_bounds() {
    let mut names = BTreeSet::new();
    for metric in catalogue::ALL {
        assert!(names.insert(metric.name), "{} stands twice", metric.name);
        assert!(metric.name.starts_with("callsheet_"), "{}", metric.name);
        let is_counter = metric.kind == Kind::Counter;
        assert_eq!(
            is_counter,
            metric.name.ends_with("_total"),
            "{}",
            metric.name
        );
        if let Kind::Histogram(buckets) = metric.kind {
            assert!(metric.name.ends_with("_seconds"), "{}", metric.name);
            assert!(buckets.is_sorted(), "{}", metric.name);
        }
        assert!(metric.help.ends_with(['.', ')']), "{}", metric.name);
        for label in metric.labels {
            let bounded = [
                "kind", "profile", "device", "outcome", "failure", "reason", "verdict", "state",
                "what", "program", "version",
            ];
            assert!(bounded.contains(label), "{} has {label}", metric.name);
        }
    }
}

#[test]
fn alerts_speak_only_of_metrics_that_there_are() {
    let rules = read("deploy/prometheus/rules.yml");
    let names: BTreeSet<&str> = catalogue::ALL.iter().map(|metric| metric.name).collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut spoken_of = 0;
    for word in rules.split(|c| !is_word(c)) {
        if word.starts_with("callsheet_") {
            spoken_of += 1;
            assert!(names.contains(word), "{word} is no metric");
        }
    }
    assert!(spoken_of > 10, "{spoken_of}");
}
