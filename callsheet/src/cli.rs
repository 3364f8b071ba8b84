//! What can be typed.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    cancel, completions, doctor, explain, film, list, probe, retry, secrets, show, submit, up,
    watch, workers, workflows,
};

/// Turns a premise, or a finished script, into a film.
///
/// With no broker, no GPU and no model installed it makes an animatic: a story by rule, drawn frame by frame. The same
/// program speaks to a coordinator with workers on many machines.
#[derive(Debug, Parser)]
#[command(name = "callsheet", version, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    /// Settings file (TOML). Each setting can also be given as CALLSHEET__SECTION__KEY in the environment, where an empty one does not
    /// count
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Log more: -v what happens, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) asked: Asked,
}

const AFTER: &str = "Examples:
  callsheet film \"A lighthouse keeper befriends a storm\"
  callsheet film --script examples/last-ferry.toml --out ferry.mp4
  callsheet up                                   everything in one process, as a server
  callsheet submit \"Two robots learn to dance\"   to that server, or to --coordinator URL
  callsheet watch ID
  callsheet doctor                               what is missing on this machine

Exit codes: 0 done, 1 the film or a check failed, 2 usage or settings, 130 interrupted.";

/// What is asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Asked {
    #[command(flatten)]
    Command(Box<Command>),
    #[command(flatten)]
    Alone(Alone),
}

/// The commands that need no settings, and do the same whatever those are.
#[derive(Debug, Subcommand)]
pub(crate) enum Alone {
    Completions(completions::Completions),
    Secrets(secrets::Secrets),
    Probe(probe::Probe),
}

/// The commands that need settings.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Film(film::Film),
    Up(up::Up),
    Submit(submit::Submit),
    List(list::List),
    Show(show::Show),
    Explain(explain::Explain),
    Watch(watch::Watch),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Workers(workers::Workers),
    Pause(workers::Pause),
    Resume(workers::Resume),
    Workflows(workflows::Workflows),
    Doctor(doctor::Doctor),
}

/// Which coordinator to speak to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Coordinator {
    /// The coordinator to speak to [default: the one that `callsheet up` starts here]
    #[arg(long, value_name = "URL")]
    pub(crate) coordinator: Option<String>,
    /// File with the token that the coordinator asks for. CALLSHEET_TOKEN in the environment holds a token itself
    // Text, as it becomes a setting.
    #[arg(long, value_name = "FILE", env = "CALLSHEET_TOKEN_FILE")]
    pub(crate) token_file: Option<String>,
}

/// Where the flags lead.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// The coordinator.
    pub(crate) coordinator: Option<&'a str>,
    /// The file with the token for it.
    pub(crate) token_file: Option<&'a str>,
    /// The data folder.
    pub(crate) data_dir: Option<&'a str>,
}

/// Which folder is used by what runs in this process.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataDir {
    /// Folder of everything that is kept: database, images, clips [default: .callsheet]
    // Text, as it becomes a setting: another path is refused rather than altered.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
}

impl Asked {
    /// Where the flags lead.
    pub(crate) fn place(&self) -> Place<'_> {
        match self {
            Self::Command(command) => command.place(),
            Self::Alone(_) => Place::default(),
        }
    }

    /// Where a film is to go, if that was said.
    pub(crate) fn out(&self) -> Option<&Path> {
        match self {
            Self::Command(command) => match &**command {
                Command::Film(film) => film.out.as_deref(),
                _ => None,
            },
            Self::Alone(_) => None,
        }
    }
}

impl Command {
    fn place(&self) -> Place<'_> {
        let coordinator = match self {
            Self::Film(film) => &film.coordinator,
            Self::Up(up) => {
                return Place {
                    data_dir: up.data_dir.data_dir.as_deref(),
                    ..Place::default()
                };
            }
            Self::Submit(submit) => &submit.coordinator,
            Self::List(list) => &list.coordinator,
            Self::Show(show) => &show.coordinator,
            Self::Explain(explain) => &explain.coordinator,
            Self::Watch(watch) => &watch.coordinator,
            Self::Cancel(cancel) => &cancel.coordinator,
            Self::Retry(retry) => &retry.coordinator,
            Self::Workers(workers) => &workers.coordinator,
            Self::Pause(pause) => &pause.coordinator,
            Self::Resume(resume) => &resume.coordinator,
            Self::Doctor(doctor) => &doctor.coordinator,
            Self::Workflows(_) => return Place::default(),
        };
        let data_dir = match self {
            Self::Film(film) => film.data_dir.data_dir.as_deref(),
            _ => None,
        };
        Place {
            coordinator: coordinator.coordinator.as_deref(),
            token_file: coordinator.token_file.as_deref(),
            data_dir,
        }
    }

    /// What its flags say about settings.
    pub(crate) fn overrides(&self) -> Vec<(&'static str, String)> {
        let Place {
            coordinator,
            token_file,
            data_dir,
        } = self.place();
        let listen = match self {
            Self::Up(up) => up.listen.map(|address| address.to_string()),
            // Nobody else is to find it, and several may run at a time.
            Self::Film(_) => Some("127.0.0.1:0".to_owned()),
            _ => None,
        };
        // It is spoken to from this process alone, by an address that no certificate has.
        let no_tls = matches!(self, Self::Film(_)).then(String::new);
        // What is odd is what it tells by itself.
        let filter = matches!(self, Self::Doctor(_)).then(|| "error".to_owned());
        [
            ("log.filter", filter),
            ("client.coordinator", coordinator.map(str::to_owned)),
            ("client.token_file", token_file.map(str::to_owned)),
            ("coordinator.data_dir", data_dir.map(str::to_owned)),
            ("coordinator.listen", listen),
            ("coordinator.tls.certificate_file", no_tls.clone()),
            ("coordinator.tls.key_file", no_tls),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let overrides = |words: &[&str]| {
            let words = ["callsheet"].iter().chain(words);
            match Cli::try_parse_from(words).unwrap().asked {
                Asked::Command(command) => command.overrides(),
                Asked::Alone(_) => Vec::new(),
            }
        };
        assert_eq!(
            overrides(&["list", "--coordinator", "http://x:1"]),
            [("client.coordinator", "http://x:1".to_owned())]
        );
        assert_eq!(
            overrides(&["list", "--token-file", "token"]),
            [("client.token_file", "token".to_owned())]
        );
        assert_eq!(
            overrides(&["film", "x", "--data-dir", "d"]),
            [
                ("coordinator.data_dir", "d".to_owned()),
                ("coordinator.listen", "127.0.0.1:0".to_owned()),
                ("coordinator.tls.certificate_file", String::new()),
                ("coordinator.tls.key_file", String::new()),
            ]
        );
        assert_eq!(
            overrides(&["up", "--listen", "127.0.0.1:9"]),
            [("coordinator.listen", "127.0.0.1:9".to_owned())]
        );
    }
    #[cfg(unix)]
    #[test]
    fn a_data_folder_that_no_setting_can_name_is_a_usage_error() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;

        let words = ["callsheet", "up", "--data-dir"].map(OsString::from);
        let folder = OsString::from_vec(b"films-\xff".to_vec());
        let error = Cli::try_parse_from(words.into_iter().chain([folder])).unwrap_err();
        assert_eq!(error.kind(), clap::error::ErrorKind::InvalidUtf8);
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_film_that_goes_on_is_not_told_anew_what_it_is() {
        let told = crate::film_args::FilmArgs::augment_args(clap::Command::new("x"));
        let mut tried = 0;
        for argument in told.get_arguments().filter(|arg| arg.get_id() != "help") {
            let value = match argument.get_id().as_str() {
                "size" => "2x2",
                "quality" => "draft",
                _ => "1",
            };
            let flag = argument.get_long().map(|name| format!("--{name}={value}"));
            let word = flag.unwrap_or_else(|| value.to_owned());
            let resume = "--resume=00000000-0000-0000-0000-000000000001";
            let error = Cli::try_parse_from(["callsheet", "film", resume, &word]).unwrap_err();
            let kind = clap::error::ErrorKind::ArgumentConflict;
            assert_eq!(error.kind(), kind, "{word}: {error}");
            tried += 1;
        }
        assert_eq!(tried, 13, "all that can be told");
    }
}
