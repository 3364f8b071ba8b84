//! Cuts a stream of bytes into the pieces that a server meant. Pure: bytes come in, pieces go out.

use super::ProviderError;
use super::reply::shown;

/// Longest line, in bytes.
const LINE_MAX: usize = 1024 * 1024;

/// How a stream is cut into pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events: the data of each.
    Events,
    /// A JSON object a line.
    Lines,
}

/// A piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What the server meant to say.
    Data(String),
    /// Text that the form of the stream does not know.
    Stray(String),
}

/// What has come of a stream and is not a whole piece yet.
#[derive(Debug)]
pub(super) struct Cutter {
    framing: Framing,
    rest: Vec<u8>,
    data: Vec<String>,
}

impl Cutter {
    pub(super) const fn new(framing: Framing) -> Self {
        Self {
            framing,
            rest: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Takes in bytes; the pieces that became whole.
    ///
    /// # Errors
    /// If a line has no end.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<Vec<Piece>, ProviderError> {
        let mut pieces = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.rest.len() + part.len() > LINE_MAX {
                return Err(ProviderError::TooMuch);
            }
            self.rest.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.rest).into_owned();
                self.rest.clear();
                pieces.extend(self.line(line.trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(pieces)
    }

    /// What is left when the stream ends: a last line need not be ended.
    pub(super) fn end(mut self) -> Vec<Piece> {
        let line = String::from_utf8_lossy(&self.rest).into_owned();
        let mut pieces: Vec<Piece> = self.line(line.trim_end()).into_iter().collect();
        pieces.extend(self.event());
        pieces
    }

    fn line(&mut self, line: &str) -> Option<Piece> {
        match self.framing {
            Framing::Lines => {
                let line = line.trim();
                (!line.is_empty()).then(|| Piece::Data(line.to_owned()))
            }
            Framing::Events => self.field(line),
        }
    }

    fn field(&mut self, line: &str) -> Option<Piece> {
        if line.is_empty() {
            return self.event();
        }
        // A colon at the very beginning makes it a comment, which keeps the connection open.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        match field {
            "" | "event" | "id" | "retry" => None,
            "data" => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                self.data.push(value.to_owned());
                None
            }
            // Old servers and proxies put an error beside the events.
            _ => Some(Piece::Stray(shown(line))),
        }
    }

    fn event(&mut self) -> Option<Piece> {
        (!self.data.is_empty()).then(|| Piece::Data(std::mem::take(&mut self.data).join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(framing: Framing, text: &str, size: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(framing);
        let mut pieces = Vec::new();
        for bytes in text.as_bytes().chunks(size) {
            pieces.extend(cutter.add(bytes).unwrap());
        }
        pieces.extend(cutter.end());
        pieces
    }

    fn data(text: &str) -> Piece {
        Piece::Data(text.to_owned())
    }

    #[test]
    fn events_are_the_same_however_the_bytes_arrive() {
        let text =
            ": keep\nevent: x\ndata: {\"é\":1}\n\ndata:a\r\ndata: b\r\n\r\n\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            assert_eq!(
                cut(Framing::Events, text, size),
                [data("{\"é\":1}"), data("a\nb"), data("[DONE]")]
            );
        }
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive_and_the_last_needs_no_end() {
        let text = "{\"a\":\"é\"}\r\n\n{\"b\":2}";
        for size in 1..text.len() {
            assert_eq!(
                cut(Framing::Lines, text, size),
                [data("{\"a\":\"é\"}"), data("{\"b\":2}")]
            );
        }
    }

    #[test]
    fn what_a_proxy_writes_into_a_stream_is_kept_as_evidence() {
        let pieces = cut(
            Framing::Events,
            "data: x\n\nproxy error: Failed to read connection",
            7,
        );
        let stray = Piece::Stray("proxy error: Failed to read connection".to_owned());
        assert_eq!(pieces, [data("x"), stray]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut cutter = Cutter::new(Framing::Lines);
        let half = vec![b'x'; LINE_MAX / 2];
        cutter.add(&half).unwrap();
        cutter.add(&half).unwrap();
        assert!(matches!(cutter.add(b"x"), Err(ProviderError::TooMuch)));
    }
}
