//! A server of language models as a process of its own: `language-double SETTINGS`. See the crate `llm-double`.

use std::io;

fn main() -> io::Result<()> {
    let settings = std::env::args().nth(1).unwrap_or_default();
    llm_double::process::serve(&settings)
}
