//! Storyboard frames as PNG files. Each carries the words it was drawn from, so that a clip can draw its parts again and
//! move them apart.

use shared::film::Size;
use shared::job::KeyframePayload;
use tiny_skia::Pixmap;

use crate::canvas::Canvas;
use crate::card;
use crate::dice::{hash, scramble};
use crate::picture::{Picture, Plane};
use crate::scenery;

/// Counts up whenever the same words give another drawing: an older frame is then filmed as the image that it is.
const DRAWING: u32 = 1;
/// Under this name the words lie in the PNG.
const KEYWORD: &str = "callsheet-storyboard";
/// More words than this in a PNG are not ours.
const WORDS_MAX: usize = 256 * 1_024;

/// Why an image could not be drawn or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its pixels cannot be kept.
    #[error("a picture of {0} does not fit into memory")]
    TooLarge(Size),
    /// It cannot be written as PNG.
    #[error("cannot write the picture as PNG")]
    Encode(#[from] png::EncodingError),
    /// It is no PNG, or a damaged one.
    #[error("the keyframe is no readable PNG image")]
    Decode(#[from] png::DecodingError),
}

/// An empty picture of a size.
pub(crate) fn blank(size: Size) -> Result<Pixmap, ImageError> {
    Pixmap::new(size.width, size.height).ok_or(ImageError::TooLarge(size))
}

/// Draws the frame of a scene. The same payload gives the same bytes.
pub fn draw(payload: &KeyframePayload) -> Result<Vec<u8>, ImageError> {
    let picture = Picture::plan(payload);
    let mut pixmap = compose(&picture, payload.size)?;
    card::paint(payload, &picture.palette, &mut pixmap);
    encode(payload, &pixmap)
}

/// The picture without lettering and grain.
pub(crate) fn compose(picture: &Picture, size: Size) -> Result<Pixmap, ImageError> {
    let mut pixmap = blank(size)?;
    for plane in Plane::ALL {
        scenery::paint(picture, plane, &mut Canvas::new(&mut pixmap));
    }
    Ok(pixmap)
}

/// Writes RGB, as a picture has no holes.
fn encode(payload: &KeyframePayload, pixmap: &Pixmap) -> Result<Vec<u8>, ImageError> {
    let mut rgb = Vec::with_capacity(pixmap.data().len() / 4 * 3);
    let mut grain = hash(KEYWORD) ^ payload.seed;
    for pixel in pixmap.data().chunks_exact(4) {
        grain = grain.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // Two even throws give a soft grain of at most two steps; it also breaks up the bands of smooth skies.
        let bits = scramble(grain);
        let step = (bits & 0b11) as i16 + ((bits >> 8) & 0b1) as i16 - 2;
        rgb.extend(
            pixel[..3]
                .iter()
                .map(|part| (i16::from(*part) + step).clamp(0, 255) as u8),
        );
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_source_srgb(png::SrgbRenderingIntent::Perceptual);
    encoder.set_compression(png::Compression::Fast);
    let words = serde_json::json!({ "drawing": DRAWING, "payload": payload });
    encoder.add_itxt_chunk(KEYWORD.to_owned(), words.to_string())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rgb)?;
    writer.finish()?;
    Ok(file)
}

/// What a keyframe turns out to be.
#[derive(Debug)]
pub enum Keyframe {
    /// One of ours, with the words that it was drawn from.
    Storyboard(Box<KeyframePayload>),
    /// Any other image.
    Image(Pixmap),
}

/// Reads a keyframe.
pub fn read(file: &[u8]) -> Result<Keyframe, ImageError> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
    decoder.set_transformations(
        png::Transformations::normalize_to_color8() | png::Transformations::ALPHA,
    );
    let mut reader = decoder.read_info()?;
    if let Some(payload) = words_in(reader.info()) {
        return Ok(Keyframe::Storyboard(Box::new(payload)));
    }
    let info = reader.info();
    let size = Size {
        width: info.width,
        height: info.height,
    };
    let mut pixmap = blank(size)?;
    let length = reader
        .output_buffer_size()
        .ok_or(ImageError::TooLarge(size))?;
    let mut pixels = vec![0; length];
    let frame = reader.next_frame(&mut pixels)?;
    // On black, where the image has holes: a video has none.
    let over_black = |part: u8, alpha: u8| (u16::from(part) * u16::from(alpha) / 255) as u8;
    let to = pixmap.data_mut().chunks_exact_mut(4);
    match frame.color_type {
        png::ColorType::GrayscaleAlpha => {
            for (to, from) in to.zip(pixels.chunks_exact(2)) {
                let grey = over_black(from[0], from[1]);
                to.copy_from_slice(&[grey, grey, grey, 255]);
            }
        }
        _ => {
            for (to, from) in to.zip(pixels.chunks_exact(4)) {
                let part = |index: usize| over_black(from[index], from[3]);
                to.copy_from_slice(&[part(0), part(1), part(2), 255]);
            }
        }
    }
    Ok(Keyframe::Image(pixmap))
}

/// The words of a frame that this version would draw the same way.
fn words_in(info: &png::Info<'_>) -> Option<KeyframePayload> {
    #[derive(serde::Deserialize)]
    struct Words {
        drawing: u32,
        payload: KeyframePayload,
    }
    let chunk = info
        .utf8_text
        .iter()
        .find(|chunk| chunk.keyword == KEYWORD)?;
    let text = chunk
        .get_text()
        .ok()
        .filter(|text| text.len() <= WORDS_MAX)?;
    let words: Words = serde_json::from_str(&text).ok()?;
    let Size { width, height } = words.payload.size;
    let is_ours = words.drawing == DRAWING && (width, height) == (info.width, info.height);
    is_ours.then_some(words.payload)
}
