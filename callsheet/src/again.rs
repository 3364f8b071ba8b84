//! What to type next, as it works here: the program as it was called, with the flags in force that lead to the same place.

use std::path::Path;

use shared::ids::FilmId;

use crate::cli::Cli;

/// Writes commands for a person to repeat.
#[derive(Debug, Clone, Default)]
pub(crate) struct Again {
    program: String,
    config: Vec<String>,
    /// `--data-dir`, `--coordinator` and `--token-file`, as far as they were given.
    place: Vec<String>,
    out: Vec<String>,
}

impl Again {
    /// For the program that was called by that name, with what was typed.
    pub(crate) fn new(program: Option<&str>, typed: &Cli) -> Self {
        let flag = |name: &str, value: Option<&str>| {
            let words = value.map(|value| [name.to_owned(), value.to_owned()]);
            words.into_iter().flatten().collect::<Vec<_>>()
        };
        let place = typed.asked.place();
        let out = typed.asked.out().and_then(Path::to_str);
        Self {
            program: program.unwrap_or("callsheet").to_owned(),
            config: flag("--config", typed.config.as_deref().and_then(Path::to_str)),
            place: [
                flag("--data-dir", place.data_dir),
                flag("--coordinator", place.coordinator),
                flag("--token-file", place.token_file),
            ]
            .concat(),
            out: flag("--out", out),
        }
    }

    /// A command at the same place. What was chosen goes last, so that an id ends the line.
    pub(crate) fn line(&self, command: &str, chosen: &[&str]) -> String {
        self.written(command, &[], chosen)
    }

    /// Going on with a film, into the same file.
    pub(crate) fn resume(&self, film: FilmId) -> String {
        self.written("film", &self.out, &["--resume", &film.to_string()])
    }

    /// Going on with a film, into another file than the one that could not be written.
    pub(crate) fn resume_elsewhere(&self, film: FilmId) -> String {
        self.line("film", &["--resume", &film.to_string()])
    }

    fn written(&self, command: &str, more: &[String], chosen: &[&str]) -> String {
        let flags = [&self.config, &self.place, more];
        let flags = flags.into_iter().flatten().map(String::as_str);
        let words = [self.program.as_str(), command].into_iter().chain(flags);
        let words: Vec<_> = words.chain(chosen.iter().copied()).map(quoted).collect();
        words.join(" ")
    }
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain =
        |c: char| c.is_alphanumeric() || "-_./:=@%+,".contains(c) || (cfg!(windows) && c == '\\');
    match () {
        () if !word.is_empty() && word.chars().all(is_plain) => word.to_owned(),
        () if cfg!(windows) => format!("\"{word}\""),
        () => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const ID: FilmId = FilmId::from_u128(1);

    fn again(words: &[&str]) -> Again {
        let typed = ["callsheet"].iter().chain(words);
        Again::new(Some("target/release/callsheet"), &Cli::parse_from(typed))
    }

    #[test]
    fn what_to_type_next_leads_to_the_same_film() {
        assert_eq!(
            again(&["film", "x"]).resume(ID),
            format!("target/release/callsheet film --resume {ID}")
        );
        let everything = again(&[
            "film",
            "x",
            "--config",
            "c.toml",
            "--data-dir",
            "d",
            "--out",
            "o.mp4",
        ]);
        assert_eq!(
            everything.resume(ID),
            format!(
                "target/release/callsheet film --config c.toml --data-dir d --out o.mp4 --resume {ID}"
            )
        );
        assert_eq!(
            everything.resume_elsewhere(ID),
            format!("target/release/callsheet film --config c.toml --data-dir d --resume {ID}")
        );
        let id = ID.to_string();
        let there = ["--coordinator", "http://x:1", "--token-file", "t"];
        let there = again(&[&["watch", &id][..], &there].concat());
        assert_eq!(
            there.line("retry", &["5"]),
            "target/release/callsheet retry --coordinator http://x:1 --token-file t 5"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_takes_each_word_for_one() {
        let again = again(&["film", "x", "--data-dir", "my $HOME's films"]);
        assert_eq!(
            again.line("list", &[]),
            r"target/release/callsheet list --data-dir 'my $HOME'\''s films'"
        );
    }
}
