//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{cancel, completions, film, list, retry, show, submit, up, watch, workers};

/// Turns a premise, or a finished script, into a film.
///
/// With no broker, no GPU and no model installed it makes an animatic: a story by rule, drawn frame by frame. The same
/// program speaks to a coordinator with workers on many machines.
#[derive(Debug, Parser)]
#[command(name = "callsheet", version, after_help = AFTER, max_term_width = 110)]
pub(crate) struct Cli {
    /// Settings file (TOML). Each setting can also be given as CALLSHEET__SECTION__KEY in the environment
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Log more: -v what happens, -vv everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "Examples:
  callsheet film \"A lighthouse keeper befriends a storm\"
  callsheet film --script examples/last-ferry.toml --out ferry.mp4
  callsheet up                                   everything in one process, as a server
  callsheet submit \"Two robots learn to dance\"   to that server, or to --coordinator URL
  callsheet watch ID

Exit codes: 0 done, 1 the film failed, 2 usage or settings, 130 interrupted.";

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Film(film::Film),
    Up(up::Up),
    Submit(submit::Submit),
    List(list::List),
    Show(show::Show),
    Watch(watch::Watch),
    Cancel(cancel::Cancel),
    Retry(retry::Retry),
    Workers(workers::Workers),
    Pause(workers::Pause),
    Resume(workers::Resume),
    Completions(completions::Completions),
}

/// Which coordinator to speak to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Coordinator {
    /// The coordinator to speak to [default: the one that `callsheet up` starts here]
    #[arg(long, value_name = "URL")]
    pub(crate) coordinator: Option<String>,
}

/// Which folder is used by what runs in this process.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DataDir {
    /// Folder of everything that is kept: database, images, clips [default: .callsheet]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

impl Command {
    /// What its flags say about settings.
    pub(crate) fn overrides(&self) -> Vec<(&'static str, String)> {
        let none = (&Coordinator::default(), &DataDir::default());
        let (coordinator, data_dir) = match self {
            Self::Film(film) => (&film.coordinator, &film.data_dir),
            Self::Up(up) => (none.0, &up.data_dir),
            Self::Submit(submit) => (&submit.coordinator, none.1),
            Self::List(list) => (&list.coordinator, none.1),
            Self::Show(show) => (&show.coordinator, none.1),
            Self::Watch(watch) => (&watch.coordinator, none.1),
            Self::Cancel(cancel) => (&cancel.coordinator, none.1),
            Self::Retry(retry) => (&retry.coordinator, none.1),
            Self::Workers(workers) => (&workers.coordinator, none.1),
            Self::Pause(pause) => (&pause.coordinator, none.1),
            Self::Resume(resume) => (&resume.coordinator, none.1),
            Self::Completions(_) => none,
        };
        let listen = match self {
            Self::Up(up) => up.listen.map(|address| address.to_string()),
            // Nobody else is to find it, and several may run at a time.
            Self::Film(_) => Some("127.0.0.1:0".to_owned()),
            _ => None,
        };
        let folder = data_dir.data_dir.as_ref();
        [
            ("client.coordinator", coordinator.coordinator.clone()),
            (
                "coordinator.data_dir",
                folder.map(|folder| folder.to_string_lossy().into_owned()),
            ),
            ("coordinator.listen", listen),
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
            Cli::try_parse_from(words).unwrap().command.overrides()
        };
        assert_eq!(
            overrides(&["list", "--coordinator", "http://x:1"]),
            [("client.coordinator", "http://x:1".to_owned())]
        );
        assert_eq!(
            overrides(&["film", "x", "--data-dir", "d"]),
            [
                ("coordinator.data_dir", "d".to_owned()),
                ("coordinator.listen", "127.0.0.1:0".to_owned())
            ]
        );
        assert_eq!(
            overrides(&["up", "--listen", "127.0.0.1:9"]),
            [("coordinator.listen", "127.0.0.1:9".to_owned())]
        );
    }
}
