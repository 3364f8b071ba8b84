//! A picture of how a run looks at present. It travels in a word about the run, is shown to whoever watches, and is kept nowhere.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// How a JPEG begins.
const JPEG: &[u8] = b"\xff\xd8\xff";
/// How a PNG begins.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A picture of an unfinished image or clip: a JPEG or a PNG by its first bytes, and small enough to travel in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Preview {
    media_type: PreviewType,
    bytes: Bytes,
}

/// The sorts of picture that backends make and every browser shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewType {
    /// A JPEG.
    Jpeg,
    /// A PNG.
    Png,
}

/// Why bytes are no preview.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPreview {
    /// There are too many of them.
    #[error("it has {size} bytes, at most {} are shown", Preview::MAX_BYTES)]
    TooLarge {
        /// How many, as far as is known.
        size: usize,
    },
    /// They begin like neither a JPEG nor a PNG.
    #[error("it is neither a JPEG nor a PNG")]
    Unknown,
    /// It is said to be something else than it is.
    #[error("it is not the {0} that it is said to be")]
    OtherType(String),
    /// They are not written as messages write them.
    #[error("it is not in base64, with a media type beside it")]
    Unreadable,
}

impl PreviewType {
    /// As HTTP writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }
}

impl Preview {
    /// Most bytes of one. ComfyUI's are JPEGs of 512 pixels at most, which were seen with 70 kB; a PNG of that size has more, and
    /// is not worth its way through a broker that writes every message to its disk.
    pub const MAX_BYTES: usize = 128 << 10;

    /// The picture with those bytes.
    ///
    /// # Errors
    /// If they are no picture of a known sort, or too many.
    pub fn new(bytes: Bytes) -> Result<Self, NotAPreview> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(NotAPreview::TooLarge { size: bytes.len() });
        }
        let media_type = match &*bytes {
            jpeg if jpeg.starts_with(JPEG) => PreviewType::Jpeg,
            png if png.starts_with(PNG) => PreviewType::Png,
            _ => return Err(NotAPreview::Unknown),
        };
        Ok(Self { media_type, bytes })
    }

    /// What it is.
    pub const fn media_type(&self) -> PreviewType {
        self.media_type
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn read(written: &Written<'_>) -> Result<Self, NotAPreview> {
        // Four characters stand for three bytes; what is too long is not even decoded.
        if written.data.len() > Self::MAX_BYTES.div_ceil(3) * 4 {
            let size = written.data.len() / 4 * 3;
            return Err(NotAPreview::TooLarge { size });
        }
        let bytes = STANDARD.decode(&*written.data);
        let preview = Self::new(bytes.map_err(|_| NotAPreview::Unreadable)?.into())?;
        match preview.media_type.name() == written.media_type {
            true => Ok(preview),
            false => Err(NotAPreview::OtherType(
                written.media_type.chars().take(40).collect(),
            )),
        }
    }
}

/// A log says that there is one, and never shows it.
impl fmt::Debug for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Preview({}, {} bytes)",
            self.media_type.name(),
            self.bytes.len()
        )
    }
}

/// As it stands in a message.
#[derive(Serialize, Deserialize)]
struct Written<'a> {
    media_type: Cow<'a, str>,
    data: Cow<'a, str>,
}

impl Serialize for Preview {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            media_type: self.media_type.name().into(),
            data: STANDARD.encode(&self.bytes).into(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Preview {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        Self::read(&written).map_err(serde::de::Error::custom)
    }
}

/// Reads a picture where there is one that this program knows how to show. Whatever else stands there is left out: the word that
/// it travels in keeps a lease, and a worker of another version may show what we cannot.
pub(crate) fn if_readable<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Box<Preview>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(Preview::deserialize(value).ok().map(Box::new))
}

impl JsonSchema for Preview {
    fn schema_name() -> Cow<'static, str> {
        "Preview".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let longest = Self::MAX_BYTES.div_ceil(3) * 4;
        json_schema!({
            "type": "object",
            "description": "A picture of an unfinished image or clip. One that cannot be read is left out by whoever reads the message.",
            "required": ["media_type", "data"],
            "properties": {
                "media_type": {
                    "type": "string",
                    "enum": [PreviewType::Jpeg.name(), PreviewType::Png.name()],
                    "description": "What it is."
                },
                "data": {
                    "type": "string",
                    "contentEncoding": "base64",
                    "maxLength": longest,
                    "description": format!("Its bytes in base64, at most {} of them.", Self::MAX_BYTES)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jpeg(size: usize) -> Bytes {
        let mut bytes = JPEG.to_vec();
        bytes.resize(size, 7);
        bytes.into()
    }

    #[test]
    fn a_picture_survives_the_journey() {
        let png = Bytes::from([PNG, b"and more"].concat());
        for (bytes, name) in [(jpeg(Preview::MAX_BYTES), "image/jpeg"), (png, "image/png")] {
            let preview = Preview::new(bytes.clone()).unwrap();
            assert_eq!(
                (preview.media_type().name(), preview.bytes()),
                (name, &bytes)
            );
            let json = serde_json::to_vec(&preview).unwrap();
            assert_eq!(serde_json::from_slice::<Preview>(&json).unwrap(), preview);
        }
    }

    #[test]
    fn what_is_no_picture_of_a_known_sort_or_too_large_is_none() {
        let size = Preview::MAX_BYTES + 1;
        assert_eq!(
            Preview::new(jpeg(size)),
            Err(NotAPreview::TooLarge { size })
        );
        for odd in [&b""[..], b"\xff\xd8", b"GIF89a", b"<svg/>", b"\x89PNG"] {
            let odd = Bytes::from_static(odd);
            assert_eq!(
                Preview::new(odd.clone()),
                Err(NotAPreview::Unknown),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn it_must_be_what_it_is_said_to_be() {
        let written = |media_type: &str, data: &str| {
            serde_json::from_value::<Preview>(json!({"media_type": media_type, "data": data}))
        };
        let data = STANDARD.encode(jpeg(9));
        written("image/jpeg", &data).unwrap();
        for (media_type, data, why) in [
            ("image/png", &*data, "not the image/png"),
            ("image/jpeg", "?", "base64"),
            ("image/jpeg", &"A".repeat(1 << 20), "at most"),
        ] {
            let error = written(media_type, data).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_log_does_not_show_it() {
        let shown = format!("{:?}", Preview::new(jpeg(9)).unwrap());
        assert_eq!(shown, "Preview(image/jpeg, 9 bytes)");
    }
}
