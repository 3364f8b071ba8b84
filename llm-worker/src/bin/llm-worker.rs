//! See [`llm_worker::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    llm_worker::program::main()
}
