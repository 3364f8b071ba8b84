//! See [`coordinator::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    coordinator::program::main()
}
