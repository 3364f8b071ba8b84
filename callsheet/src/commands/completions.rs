//! `callsheet completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print the completions for a shell
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints them.
    pub(crate) fn run(&self) {
        let mut command = crate::cli::Cli::command();
        clap_complete::generate(
            self.shell,
            &mut command,
            "callsheet",
            &mut std::io::stdout().lock(),
        );
    }
}
