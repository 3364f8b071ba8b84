//! Words to whoever reads standard output.

use std::io::{self, Write};

use indicatif::MultiProgress;

/// Writes one line to standard output. When nobody reads it any more, the film is made all the same.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Writes one line to standard error.
pub(crate) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Writes one JSON value in a line of standard output.
pub(crate) fn say_json(value: &impl serde::Serialize) {
    say(&serde_json::to_string(value)
        .expect("what we print consists of strings, numbers and lists, which JSON can hold"));
}

/// A text from outside without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            // They would turn the rest of the line round.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Standard error of a terminal on which progress bars are drawn: they step aside for each write.
#[derive(Debug)]
pub(crate) struct BesideBars(MultiProgress);

impl BesideBars {
    /// Writes beside those bars.
    pub(crate) const fn new(screen: MultiProgress) -> Self {
        Self(screen)
    }
}

impl Write for BesideBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_not_passed_on() {
        assert_eq!(
            plain("a\u{1b}[2Jb\nc\u{202e}d: 100% ä嵐"),
            "a\u{fffd}[2Jb c\u{fffd}d: 100% ä嵐"
        );
    }
}
