//! The edge of a program: arguments that all of them have, settings, exit codes. What is particular to one stays in its `main`.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::failure::chain;
use crate::settings::{self, SHARED_DEFAULTS, Settings};

/// Arguments that every program has that speaks to a broker.
#[derive(Debug, Clone, clap::Args)]
pub struct CommonArguments {
    /// Settings file (TOML). Each setting can also be given as CALLSHEET__SECTION__KEY in the environment, where an empty one does not
    /// count
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST. Better in the environment: others can read a command line
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Where images, clips and films lie: a folder that all programs see, s3://BUCKET, or for workers http://COORDINATOR:PORT
    #[arg(long, value_name = "URL")]
    pub artifacts: Option<String>,
    /// How a log line looks: human or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Print the settings with their defaults and end
    #[arg(long)]
    pub print_default_settings: bool,
}

/// What a program is to its user.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name, before what it says.
    pub name: &'static str,
    /// Its settings with their defaults, commented.
    pub default_settings: &'static str,
}

impl Program {
    /// Everything that can be set, as one file.
    fn all_default_settings(self) -> String {
        format!("{}\n{SHARED_DEFAULTS}", self.default_settings)
    }

    /// Loads the settings and runs with them. `flags` are what the program's own arguments say, by settings key.
    ///
    /// Exit codes: 0 done, 1 failed, 2 unusable settings; the reason goes to standard error.
    #[expect(
        clippy::print_stdout,
        clippy::print_stderr,
        reason = "the edge of the program"
    )]
    pub fn run<T: Settings, E: fmt::Display>(
        self,
        arguments: CommonArguments,
        flags: impl IntoIterator<Item = (&'static str, Option<String>)>,
        run: impl FnOnce(T) -> Result<(), E>,
    ) -> ExitCode {
        if arguments.print_default_settings {
            print!("{}", self.all_default_settings());
            return ExitCode::SUCCESS;
        }
        let common = [
            ("broker.url", arguments.broker),
            ("artifacts.url", arguments.artifacts),
            ("log.format", arguments.log_format),
        ];
        let given = common.into_iter().chain(flags);
        let loaded = settings::load::<T>(
            self.default_settings,
            arguments.config.as_deref(),
            std::env::vars_os(),
            given.filter_map(|(key, value)| Some((key, value?))),
        );
        let settings = match loaded {
            Ok(settings) => settings,
            Err(error) => {
                eprintln!("{}: {}", self.name, chain(&error));
                return ExitCode::from(2);
            }
        };
        match run(settings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error:#}", self.name);
                ExitCode::FAILURE
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_defaults_are_one_file_with_the_shared_sections() {
        let program = Program {
            name: "worker",
            default_settings: "[worker]\nslots = 1\n",
        };
        let printed: toml::Table = program.all_default_settings().parse().unwrap();
        for section in ["worker", "broker", "artifacts", "log"] {
            assert!(printed.contains_key(section), "{section}");
        }
    }
}
