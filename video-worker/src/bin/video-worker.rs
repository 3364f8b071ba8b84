//! See [`video_worker::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    video_worker::program::main()
}
