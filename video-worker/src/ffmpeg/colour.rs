//! The one colour space that all our clips are in: what every player takes HD for. Clips in the same space with the same tags
//! can be joined as they are.

/// Options of the `scale` filter that bring the pixels there.
pub(crate) const SCALE_OPTIONS: &str = "out_color_matrix=bt709:out_range=tv";

/// Arguments of the encoder that say so in the file.
pub(crate) const TAGS: [&str; 8] = [
    "-colorspace",
    "bt709",
    "-color_primaries",
    "bt709",
    "-color_trc",
    "bt709",
    "-color_range",
    "tv",
];
