//! Pictures of a render, out of the WebSocket's binary frames. Pure, and trusts nobody: what is odd is no picture, and no harm.
//!
//! A frame begins with its sort, and all numbers are big-endian and four bytes long. Sort 1 is followed by the format (1 JPEG, 2 PNG) and
//! the picture; sort 4, sent to clients that say they understand it, by the length of a text in JSON, that text, which names the
//! prompt, and the picture.
#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use bytes::Bytes;
use serde_json::Value;
use shared::preview::{NotAPreview, Preview};

const PLAIN: u32 = 1;
const WITH_METADATA: u32 = 4;
const FORMATS: [u32; 2] = [1, 2];
/// Longest text beside a picture. Some two hundred bytes were seen.
const METADATA_MAX: usize = 16 << 10;

/// Why a frame shows nothing of a render.
#[derive(Debug, thiserror::Error)]
pub(super) enum NothingShown {
    /// It is of another sort.
    #[error("it is of the sort {0}, which is no picture")]
    Sort(u32),
    /// Its end is missing.
    #[error("it ends too early")]
    CutShort,
    /// It says that its text is longer than any.
    #[error("its text has {0} bytes")]
    LongText(u32),
    /// Its text cannot be read.
    #[error("its text is no JSON")]
    Text(#[source] serde_json::Error),
    /// Its picture has an unknown format.
    #[error("its picture has the format {0}")]
    Format(u32),
    /// It is of somebody else's prompt.
    #[error("it belongs to another prompt")]
    OfAnother,
    /// Its picture is none that can be shown.
    #[error("its picture cannot be shown")]
    Picture(#[from] NotAPreview),
}

/// The picture of that prompt in a frame. `is_at_work` says whether that prompt runs now: a frame that names none is of the one
/// that runs, and a server runs one at a time, but others may have sent theirs without a client, and such a one is shown to all.
pub(super) fn picture(
    frame: &Bytes,
    prompt: &str,
    is_at_work: bool,
) -> Result<Preview, NothingShown> {
    let (sort, rest) = number(frame)?;
    match sort {
        PLAIN => {
            let (format, image) = number(&rest)?;
            if !FORMATS.contains(&format) {
                return Err(NothingShown::Format(format));
            }
            if !is_at_work {
                return Err(NothingShown::OfAnother);
            }
            Ok(Preview::new(image)?)
        }
        WITH_METADATA => {
            let (given, rest) = number(&rest)?;
            let length = usize::try_from(given).unwrap_or(usize::MAX);
            if length > METADATA_MAX {
                return Err(NothingShown::LongText(given));
            }
            let text = rest.get(..length).ok_or(NothingShown::CutShort)?;
            let metadata: Value = serde_json::from_slice(text).map_err(NothingShown::Text)?;
            if metadata["prompt_id"] != prompt {
                return Err(NothingShown::OfAnother);
            }
            Ok(Preview::new(rest.slice(length..))?)
        }
        other => Err(NothingShown::Sort(other)),
    }
}

/// The number at the beginning, and what follows it.
fn number(bytes: &Bytes) -> Result<(u32, Bytes), NothingShown> {
    let first = bytes.first_chunk().ok_or(NothingShown::CutShort)?;
    Ok((u32::from_be_bytes(*first), bytes.slice(first.len()..)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0 a picture";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n a picture";

    fn plain(format: u32, image: &[u8]) -> Vec<u8> {
        [&1_u32.to_be_bytes()[..], &format.to_be_bytes(), image].concat()
    }

    fn with_text(text: &[u8], image: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&4_u32.to_be_bytes()[..], &length.to_be_bytes(), text, image].concat()
    }

    /// As 0.33.0 sends it.
    fn of(prompt: &str, image: &[u8]) -> Vec<u8> {
        let text = json!({
            "node_id": "sampler", "prompt_id": prompt, "display_node_id": "sampler", "parent_node_id": null,
            "real_node_id": "sampler", "image_type": "image/jpeg",
        });
        with_text(text.to_string().as_bytes(), image)
    }

    fn seen(frame: Vec<u8>, is_at_work: bool) -> Result<Preview, String> {
        let shown = picture(&frame.into(), "p", is_at_work);
        shown.map_err(|error| shared::failure::chain(&error))
    }

    #[test]
    fn both_sorts_of_frame_show_their_picture() {
        for image in [JPEG, PNG] {
            let expected = Preview::new(Bytes::copy_from_slice(image)).unwrap();
            for frame in [plain(1, image), plain(2, image), of("p", image)] {
                assert_eq!(seen(frame, true).unwrap(), expected);
            }
        }
        // As recorded, byte by byte.
        let recorded = b"\x00\x00\x00\x01\x00\x00\x00\x01\xff\xd8\xff\xe0\x00\x10\x4a\x46";
        let shown = seen(recorded.to_vec(), true).unwrap();
        assert_eq!(&shown.bytes()[..], &recorded[8..]);
    }

    #[test]
    fn pictures_of_others_are_not_shown() {
        assert!(seen(of("q", JPEG), true).unwrap_err().contains("another"));
        // One that names its prompt is believed even before a word of it was heard.
        seen(of("p", JPEG), false).unwrap();
        assert!(seen(plain(1, JPEG), false).unwrap_err().contains("another"));
    }

    #[test]
    fn a_frame_that_is_cut_anywhere_shows_nothing() {
        for whole in [plain(1, JPEG), of("p", JPEG)] {
            let shown_from = whole.len() - JPEG.len() + 3;
            for length in 0..shown_from {
                seen(whole[..length].to_vec(), true).unwrap_err();
            }
            seen(whole[..shown_from].to_vec(), true).unwrap();
        }
    }

    #[test]
    fn what_is_odd_is_no_picture() {
        let mut large = JPEG.to_vec();
        large.resize(Preview::MAX_BYTES + 1, 0);
        let long = [&4_u32.to_be_bytes()[..], &u32::MAX.to_be_bytes(), JPEG].concat();
        for (frame, why) in [
            (Vec::new(), "too early"),
            (b"\x00\x00\x00\x03\x00\x00\x00\x01x".to_vec(), "sort 3"),
            (b"\xff\xff\xff\xffx".to_vec(), "sort 4294967295"),
            (plain(3, JPEG), "format 3"),
            (plain(1, b"GIF89a"), "neither a JPEG nor a PNG"),
            (plain(1, b""), "neither a JPEG nor a PNG"),
            (plain(1, &large), "at most"),
            (of("p", &large), "at most"),
            (of("p", b"<svg/>"), "neither a JPEG nor a PNG"),
            (long, "its text has 4294967295 bytes"),
            (with_text(b"{", JPEG), "no JSON"),
            (with_text(b"[]", JPEG), "another prompt"),
            (with_text(b"\"p\"", JPEG), "another prompt"),
        ] {
            let told = seen(frame, true).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
