//! Frames with pictures, as recorded. Pure.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::behaviour::{Behaviour, Shows};
use crate::state::{Flavour, Prompt};

/// The id of a prompt that nobody has sent.
const ANOTHER: &str = "00000000-0000-4000-8000-000000000000";

/// Whether that prompt is shown.
pub(crate) fn is_shown(behaviour: &Behaviour, flavour: Flavour, prompt: &Prompt) -> bool {
    let asked = prompt.extra.get("preview_method").and_then(Value::as_str);
    match (flavour, asked) {
        (Flavour::New, Some("latent2rgb" | "taesd" | "auto")) => true,
        (Flavour::New, Some("none")) => false,
        (Flavour::New | Flavour::Old, _) => behaviour.shows_unasked,
    }
}

/// The picture of a node, for a client that takes what is said beside it, or for one that does not.
pub(crate) fn frame(behaviour: &Behaviour, prompt: &str, node: &str, with_metadata: bool) -> Bytes {
    let mut image = behaviour.picture.to_vec();
    match behaviour.shows {
        Shows::Huge(size) => image.resize(size, 0),
        Shows::OfNoSort => image = b"GIF89a".to_vec(),
        Shows::Well | Shows::CutShort | Shows::OfAnother => {}
    }
    let prompt = match behaviour.shows {
        Shows::OfAnother => ANOTHER,
        _ => prompt,
    };
    let mut frame = match with_metadata {
        true => {
            let text = json!({
                "node_id": node, "prompt_id": prompt, "display_node_id": node, "parent_node_id": null, "real_node_id": node,
                "image_type": "image/jpeg",
            })
            .to_string();
            let length = u32::try_from(text.len()).expect("it is short");
            [
                &4_u32.to_be_bytes()[..],
                &length.to_be_bytes(),
                text.as_bytes(),
            ]
            .concat()
        }
        false => [1_u32.to_be_bytes(), 1_u32.to_be_bytes()].concat(),
    };
    match behaviour.shows {
        Shows::CutShort => frame.truncate(frame.len() / 2 + 1),
        _ => frame.append(&mut image),
    }
    frame.into()
}
