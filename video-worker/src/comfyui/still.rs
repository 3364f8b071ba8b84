//! The check of a keyframe: readable to its end, of the right size, and not one flat tone.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use shared::film::Size;

/// Largest image that is decoded, in bytes of pixels: 8192 × 8192 with four channels of 16 bits.
const PIXELS_MAX: usize = 8_192 * 8_192 * 8;
/// How far apart the darkest and the brightest value of a channel must be, of 255.
const SPREAD: u8 = 12;

/// Why an image is no keyframe.
#[derive(Debug, thiserror::Error)]
pub(super) enum StillError {
    #[error("it cannot be opened")]
    Open(#[source] std::io::Error),
    #[error("it is no PNG, or not a whole one")]
    Png(#[source] png::DecodingError),
    #[error("it is too large to be looked at")]
    TooLarge,
    #[error("its size is {found} instead of {expected}")]
    Size { expected: Size, found: Size },
    #[error("it is blank: one flat tone from edge to edge")]
    Blank,
}

/// Looks at an image. Blocks.
pub(super) fn check(path: &Path, expected: Size) -> Result<(), StillError> {
    let file = File::open(path).map_err(StillError::Open)?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(StillError::Png)?;
    let found = Size {
        width: reader.info().width,
        height: reader.info().height,
    };
    if found != expected {
        return Err(StillError::Size { expected, found });
    }
    let length = reader.output_buffer_size();
    let length = length.filter(|length| *length <= PIXELS_MAX);
    let mut pixels = vec![0; length.ok_or(StillError::TooLarge)?];
    let frame = reader.next_frame(&mut pixels).map_err(StillError::Png)?;
    let channels = frame.color_type.samples();
    // What is transparent says nothing of what is to be seen.
    let shown = match channels {
        2 | 4 => channels - 1,
        all => all,
    };
    let is_flat = |channel: usize| {
        let values = || pixels.iter().skip(channel).step_by(channels);
        let (least, most) = (values().min(), values().max());
        most.zip(least)
            .is_none_or(|(most, least)| most - least < SPREAD)
    };
    match (0..shown).all(is_flat) {
        true => Err(StillError::Blank),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u32, pixel: impl Fn(u32) -> u8) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, 8);
        encoder.set_color(png::ColorType::Rgb);
        let mut writer = encoder.write_header().unwrap();
        let row: Vec<u8> = (0..width).flat_map(|x| [pixel(x), 0, 0]).collect();
        writer.write_image_data(&row.repeat(8)).unwrap();
        drop(writer);
        file
    }

    fn checked(content: &[u8]) -> Result<(), StillError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("still.png");
        std::fs::write(&path, content).unwrap();
        let expected = Size {
            width: 16,
            height: 8,
        };
        check(&path, expected)
    }

    #[test]
    fn an_image_passes_and_a_blank_cut_or_wrong_one_does_not() {
        let good = image(16, |x| (x * 10) as u8);
        checked(&good).unwrap();
        let blank = checked(&image(16, |_| 7)).unwrap_err();
        assert!(matches!(blank, StillError::Blank), "{blank}");
        let cut = checked(&good[..good.len() - 20]).unwrap_err();
        assert!(matches!(cut, StillError::Png(_)), "{cut}");
        let wrong = checked(&image(32, |x| (x * 5) as u8)).unwrap_err();
        assert_eq!(wrong.to_string(), "its size is 32x8 instead of 16x8");
        assert!(matches!(checked(b"GIF89a"), Err(StillError::Png(_))));
    }
}
