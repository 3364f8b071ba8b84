use std::fs;

use serde::Deserialize;

use super::*;

const DEFAULTS: &str = r#"
[coordinator]
listen = "127.0.0.1:8080"
lease_s = 180
kinds = ["story"]
"#;

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Sample {
    broker: BrokerSettings,
    log: LogSettings,
    coordinator: Section,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Section {
    listen: String,
    lease_s: u32,
    kinds: Vec<String>,
    retry: Option<Retry>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Retry {
    tries: u8,
}

impl Settings for Sample {
    fn mistakes(&self) -> Vec<Mistake> {
        let mut found = self.broker.mistakes();
        found.extend(self.log.mistakes());
        if self.coordinator.lease_s == 0 {
            found.push(Mistake::new("coordinator.lease_s", "it must be at least 1"));
        }
        found
    }
}

/// What is given to a load, beside the defaults.
#[derive(Default)]
struct Given {
    file: &'static str,
    environment: Vec<(&'static str, &'static str)>,
    overrides: Vec<(&'static str, &'static str)>,
}

impl Given {
    fn load(self) -> Result<Sample, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callsheet.toml");
        fs::write(&path, self.file).unwrap();
        let environment = self
            .environment
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()));
        let overrides = self.overrides.into_iter().map(|(k, v)| (k, v.to_owned()));
        load(DEFAULTS, Some(&path), environment, overrides)
    }

    /// The mistakes, with the folder of the file left out.
    fn mistakes(self) -> Vec<String> {
        match self.load() {
            Err(SettingsError::Mistakes(mistakes)) => mistakes
                .iter()
                .map(|mistake| {
                    let text = mistake.to_string();
                    match text.split_once("(in /") {
                        Some((head, path)) => {
                            format!("{head}(in {}", path.rsplit('/').next().unwrap())
                        }
                        None => text,
                    }
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nothing_given_leaves_the_defaults() {
    let sample: Sample = load(DEFAULTS, None, [], []).unwrap();
    assert_eq!(sample.coordinator.listen, "127.0.0.1:8080");
    assert_eq!(
        sample.broker.url.expose(),
        "amqp://guest:guest@127.0.0.1:5672/%2f"
    );
    assert_eq!(sample.log.format, LogFormat::Human);
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_defaults() {
    let sample = Given {
        file: "[coordinator]\nlisten = \"file\"\nlease_s = 1\nkinds = [\"scene\"]\n[log]\nfilter = \"warn\"",
        environment: vec![
            ("CALLSHEET__COORDINATOR__LISTEN", "environment"),
            ("CALLSHEET__COORDINATOR__LEASE_S", "2"),
            ("CALLSHEET__COORDINATOR__RETRY__TRIES", "7"),
            ("CALLSHEET_HOME", "/nowhere"),
            ("PATH", "/bin"),
        ],
        overrides: vec![("coordinator.listen", "flag")],
    }
    .load()
    .unwrap();
    assert_eq!(
        sample.coordinator,
        Section {
            listen: "flag".into(),
            lease_s: 2,
            kinds: vec!["scene".into()],
            retry: Some(Retry { tries: 7 }),
        }
    );
    assert_eq!(sample.log.filter, "warn");
}

#[test]
fn an_empty_variable_says_nothing_unless_its_name_is_wrong() {
    let sample = Given {
        file: "[coordinator]\nlisten = \"file\"",
        environment: vec![
            ("CALLSHEET__COORDINATOR__LISTEN", ""),
            ("CALLSHEET__COORDINATOR__LEASE_S", ""),
        ],
        ..Given::default()
    };
    assert_eq!(sample.load().unwrap().coordinator.listen, "file");
    let wrong = Given {
        environment: vec![("CALLSHEET__BROKER", "")],
        ..Given::default()
    };
    assert!(wrong.load().is_err());
}

#[test]
fn text_from_the_environment_is_read_as_what_the_setting_is() {
    let sample = Given {
        environment: vec![
            ("CALLSHEET__COORDINATOR__LISTEN", "007"),
            ("CALLSHEET__COORDINATOR__KINDS", r#"["scene", "keyframe"]"#),
        ],
        ..Given::default()
    }
    .load()
    .unwrap();
    assert_eq!(sample.coordinator.listen, "007");
    assert_eq!(sample.coordinator.kinds, ["scene", "keyframe"]);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_key_and_its_origin() {
    let mistakes = Given {
        file: "[coordinator]\nlease_s = \"soon\"\nlistne = 1\nretry = { tries = 1, trys = 2 }\n[log]\nformat = \"xml\"\n\
               [brokr]\nurl = 1\n[worker]\nslots = 3",
        environment: vec![
            ("CALLSHEET__COORDINATOR__RETRY__TRIES", "300"),
            ("CALLSHEET__BROKER__PORT", "1"),
            ("CALLSHEET__LOG__FILTER", "info,x=loud"),
            ("CALLSHEET__BROKER", "x"),
        ],
        overrides: vec![("coordinator.kinds", "[1, {}]"), ("broker.url", "http://secret")],
    }
    .mistakes();
    for expected in [
        "CALLSHEET__BROKER: it names no setting; write CALLSHEET__SECTION__KEY",
        "coordinator.lease_s: string \"soon\" is not an integer (in callsheet.toml)",
        "coordinator.retry.tries: 64-bit unsigned integer `300` is not an unsigned 8 bit integer \
         (in CALLSHEET__COORDINATOR__RETRY__TRIES)",
        "coordinator.kinds[1]: map is not a string (in the command line)",
        "log.format: `xml` is no log format; choose human or json (in callsheet.toml)",
        "coordinator.listne: there is no such setting (in callsheet.toml)",
        "coordinator.retry.trys: there is no such setting (in callsheet.toml)",
        "broker.port: there is no such setting (in CALLSHEET__BROKER__PORT)",
        "broker.url: it must be written as amqp://USER:PASSWORD@HOST:PORT/VHOST",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake == expected),
            "{expected}\nis not in {mistakes:#?}"
        );
    }
    for part in [
        "brokr: there is no such section; known are broker",
        "log.filter: ",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with(part)),
            "{part} in {mistakes:#?}"
        );
    }
    assert_eq!(mistakes.len(), 11, "{mistakes:#?}");
}

#[test]
fn values_that_do_not_go_together_are_mistakes() {
    let given = Given {
        file: "[coordinator]\nlease_s = 0",
        ..Given::default()
    };
    assert_eq!(
        given.mistakes(),
        ["coordinator.lease_s: it must be at least 1"]
    );
}

#[test]
fn a_secret_can_come_from_a_file_and_never_prints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("url");
    fs::write(&path, "amqp://me:pa55@host/%2f\n").unwrap();
    let environment = [("CALLSHEET__BROKER__URL_FILE".into(), path.into())];
    let sample: Sample = load(DEFAULTS, None, environment, []).unwrap();
    assert_eq!(sample.broker.url.expose(), "amqp://me:pa55@host/%2f");
    let json = serde_json::to_string(&sample.broker).unwrap();
    for shown in [format!("{sample:?}"), sample.broker.url.to_string(), json] {
        assert!(
            !shown.contains("pa55") && shown.contains("[secret]"),
            "{shown}"
        );
    }
}

#[test]
fn a_secret_given_twice_or_in_a_file_that_is_not_there_is_a_mistake() {
    let twice = Given {
        file: "[broker]\nurl = \"amqp://a\"\nurl_file = \"b\"",
        ..Given::default()
    };
    assert_eq!(
        twice.mistakes(),
        ["broker.url_file: give either this or `broker.url`, not both (in callsheet.toml)"]
    );
    let missing = Given {
        environment: vec![("CALLSHEET__BROKER__URL_FILE", "/nowhere/url")],
        ..Given::default()
    };
    let mistakes = missing.mistakes();
    assert!(
        mistakes[0].starts_with("broker.url_file: cannot read the file `/nowhere/url`: "),
        "{mistakes:?}"
    );
}

#[test]
fn a_program_lets_the_secrets_of_others_alone() {
    #[derive(Debug, Deserialize)]
    struct NoBroker {
        log: LogSettings,
    }
    impl Settings for NoBroker {}
    let environment = [("CALLSHEET__BROKER__URL_FILE".into(), "/nowhere/url".into())];
    let settings: NoBroker = load("", None, environment, []).unwrap();
    assert_eq!(settings.log.filter, "info");
}

#[test]
fn a_file_that_is_no_toml_names_the_line_and_repeats_nothing_of_it() {
    let error = Given {
        file: "[broker]\nurl = \"amqp://me:pa55@host\n",
        ..Given::default()
    }
    .load()
    .unwrap_err();
    let text = crate::failure::chain(&error);
    assert!(
        text.contains("at line 2") && !text.contains("pa55"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error =
        load::<Sample>(DEFAULTS, Some(Path::new("/nowhere/callsheet.toml")), [], []).unwrap_err();
    assert!(
        error.to_string().contains("/nowhere/callsheet.toml"),
        "{error}"
    );
}
