//! `/upload/image`: just enough of multipart to read what a client sends.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The parts of a form by name: the name of a file, if it is one, and the content.
pub(crate) fn parts(body: &Bytes, content_type: &str) -> Option<BTreeMap<String, Part>> {
    let (_, boundary) = content_type.split_once("boundary=")?;
    let marker = format!("--{}", boundary.trim_matches('"'));
    let mut found = BTreeMap::new();
    let mut rest = body.clone();
    let mut at = find(&rest, marker.as_bytes())?;
    loop {
        rest = rest.slice(at + marker.len()..);
        if rest.starts_with(b"--") {
            return Some(found);
        }
        rest = rest.slice(rest.len().min(2)..);
        let head = find(&rest, b"\r\n\r\n")?;
        let header = String::from_utf8_lossy(&rest[..head]).into_owned();
        rest = rest.slice(head + 4..);
        at = find(&rest, format!("\r\n{marker}").as_bytes())?;
        let part = Part {
            file: parameter(&header, "filename"),
            content: rest.slice(..at),
        };
        found.insert(parameter(&header, "name")?, part);
        at += 2;
    }
}

/// A part of a form.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: Option<String>,
    pub(crate) content: Bytes,
}

impl Part {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

fn parameter(header: &str, name: &str) -> Option<String> {
    let (_, after) = header.split_once(&format!(" {name}=\""))?;
    Some(after.split('"').next()?.to_owned())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
