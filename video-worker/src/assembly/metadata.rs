//! The film's title, logline and chapters, as ffmpeg takes them. Pure.
//!
//! Texts come from outside. Each is one argument of its own, `KEY=TEXT`, which ffmpeg splits at the first `=` and takes as
//! it is. They stand in no file and no filter that ffmpeg would parse: what its metadata files do with a backslash or a
//! carriage return differs between versions, and no escape helps there.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::ops::Range;

/// Longest text, in characters: on Windows all arguments together may have 32,767.
const TEXT_MAX: usize = 1_000;

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

/// The arguments that set the texts.
pub(super) fn arguments(title: &str, logline: &str, chapters: &[Chapter]) -> Vec<String> {
    let mut arguments = Vec::with_capacity(2 * chapters.len() + 4);
    let mut set = |option: String, key: &str, text: &str| {
        arguments.push(option);
        arguments.push(format!("{key}={}", bounded(text)));
    };
    set("-metadata".to_owned(), "title", title);
    set("-metadata".to_owned(), "description", logline);
    for (index, chapter) in chapters.iter().enumerate() {
        set(format!("-metadata:c:{index}"), "title", &chapter.title);
    }
    arguments
}

/// The text, short enough to be an argument and without the one character that no argument can have.
fn bounded(text: &str) -> String {
    let text = text.replace('\0', " ");
    match text.char_indices().nth(TEXT_MAX) {
        None => text,
        Some(_) => text.chars().take(TEXT_MAX - 1).chain(['…']).collect(),
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
        assert_eq!(bounded(&"é".repeat(1_000)), "é".repeat(1_000));
        assert_eq!(bounded(&"é".repeat(1_001)), "é".repeat(999) + "…");
    }
}
