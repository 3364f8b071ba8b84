//! The film's title, logline and chapters, as ffmpeg takes them. Pure.
//!
//! Texts come from outside. Each is one argument of its own, `KEY=TEXT`, which ffmpeg splits at the first `=` and takes as
//! it is. They stand in no file and no filter that ffmpeg would parse: what its metadata files do with a backslash or a
//! carriage return differs between versions, and no escape helps there.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::ops::Range;

/// Longest text, in characters.
const TEXT_MAX: usize = 1_000;
/// What all texts and their keys may take of the command line. On Windows it has 32,767 UTF-16 units, and the programs, files
/// and options need some of them.
const TEXTS_MAX: usize = 28_000;

/// A chapter mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chapter {
    /// What it is called; not empty, as readers drop chapters without a title.
    pub(super) title: String,
    /// Its frames, counted from the start of the film.
    pub(super) frames: Range<u32>,
}

/// The metadata file: where the chapters lie, and no text.
pub(super) fn file(fps: u32, chapters: &[Chapter]) -> String {
    let chapter = |Chapter { frames, .. }: &Chapter| {
        let Range { start, end } = frames;
        format!("[CHAPTER]\nTIMEBASE=1/{fps}\nSTART={start}\nEND={end}\n")
    };
    let chapters: String = chapters.iter().map(chapter).collect();
    format!(";FFMETADATA1\n{chapters}")
}

/// The arguments that set the texts. Together they fit into a command line: if need be the longest texts are cut, all of them
/// at the same length.
pub(super) fn arguments(title: &str, logline: &str, chapters: &[Chapter]) -> Vec<String> {
    let film = [("title", title), ("description", logline)]
        .map(|(key, text)| Text::new("-metadata".to_owned(), key, text));
    let chapter = |(index, chapter): (usize, &Chapter)| {
        Text::new(format!("-metadata:c:{index}"), "title", &chapter.title)
    };
    let chapters = chapters.iter().enumerate().map(chapter);
    let texts: Vec<_> = film.into_iter().chain(chapters).collect();
    let lengths: Vec<_> = (1..=TEXT_MAX).collect();
    let total = |length: usize| texts.iter().map(|text| text.cost(length)).sum::<usize>();
    let fitting = lengths.partition_point(|length| total(*length) <= TEXTS_MAX);
    let longest = fitting.max(1);
    let pair = |text: Text| {
        let argument = text.argument(longest);
        [text.option, argument]
    };
    texts.into_iter().flat_map(pair).collect()
}

/// A text and the option that sets it.
struct Text {
    option: String,
    key: &'static str,
    text: String,
}

impl Text {
    /// Without the one character that no argument can have.
    fn new(option: String, key: &'static str, text: &str) -> Self {
        let text = text.replace('\0', " ");
        Self { option, key, text }
    }

    /// What it takes of the command line when it is cut at that length, at most.
    fn cost(&self, length: usize) -> usize {
        // Blanks, quotation marks and the `=`.
        const AROUND: usize = 8;
        let units = |char: char| match char {
            // Escaped by a backslash each.
            '"' | '\\' => 2,
            other => other.len_utf16(),
        };
        let text: usize = self.text.chars().take(length).map(units).sum();
        self.option.len() + self.key.len() + AROUND + text
    }

    fn argument(&self, length: usize) -> String {
        let Self { key, text, .. } = self;
        match text.char_indices().nth(length) {
            None => format!("{key}={text}"),
            Some(_) => {
                let kept: String = text.chars().take(length - 1).collect();
                format!("{key}={kept}…")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapters([first, second]: [&str; 2]) -> [Chapter; 2] {
        [(first, 0..96), (second, 96..150)].map(|(title, frames)| Chapter {
            title: title.to_owned(),
            frames,
        })
    }

    #[test]
    fn the_file_tells_times_and_no_text() {
        let file = file(24, &chapters(["[CHAPTER]", "=;"]));
        let expected = ";FFMETADATA1\n\
            [CHAPTER]\nTIMEBASE=1/24\nSTART=0\nEND=96\n\
            [CHAPTER]\nTIMEBASE=1/24\nSTART=96\nEND=150\n";
        assert_eq!(file, expected);
    }

    #[test]
    fn each_text_is_one_argument_and_behind_a_key() {
        let arguments = arguments("-y; =", "a\0b", &chapters(["-i", "two\nlines"]));
        let expected = [
            "-metadata",
            "title=-y; =",
            "-metadata",
            "description=a b",
            "-metadata:c:0",
            "title=-i",
            "-metadata:c:1",
            "title=two\nlines",
        ];
        assert_eq!(arguments, expected);
    }

    #[test]
    fn a_text_beyond_all_measure_is_cut() {
        let logline = |text: &str| arguments("", text, &[])[3].clone();
        let long = "é".repeat(1_000);
        assert_eq!(logline(&long), format!("description={long}"));
        let cut = format!("description={}…", "é".repeat(999));
        assert_eq!(logline(&"é".repeat(1_001)), cut);
    }

    #[test]
    fn the_texts_of_a_long_film_fit_into_a_command_line_of_windows() {
        for unit in ["t", "\"", "🎬"] {
            let chapter = |number: u32| Chapter {
                title: match number {
                    0 => "short".to_owned(),
                    _ => unit.repeat(200),
                },
                frames: number..number + 1,
            };
            let chapters: Vec<_> = (0..200).map(chapter).collect();
            let arguments = arguments("Film", &unit.repeat(600), &chapters);
            assert_eq!(arguments.len(), 404);
            // As std writes them: quotes around each, a backslash before each quotation mark.
            let length = |text: &String| {
                text.encode_utf16().count() + text.matches('"').count() + " \"\"".len()
            };
            let total: usize = arguments.iter().map(length).sum();
            assert!((24_000..=TEXTS_MAX).contains(&total), "{total}");
            // Only what is long is cut.
            assert_eq!(arguments[1], "title=Film");
            assert_eq!(arguments[5], "title=short");
            assert!(arguments[403].ends_with('…'), "{}", arguments[403]);
        }
    }
}
