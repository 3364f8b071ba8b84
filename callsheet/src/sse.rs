//! Reads server-sent events out of the bytes of an HTTP answer, however they are cut.

/// One event as the server sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// What the `id:` line said, if there was one.
    pub(crate) id: Option<String>,
    /// The `data:` lines, joined.
    pub(crate) data: String,
}

/// Collects bytes and gives events. Lines end in LF or CR LF; the coordinator sends no others.
#[derive(Debug, Default)]
pub(crate) struct EventReader {
    /// The beginning of a line whose end has not come yet.
    unfinished: Vec<u8>,
    /// What is known of the event whose end has not come yet.
    id: Option<String>,
    data: Vec<String>,
}

impl EventReader {
    /// Takes the next bytes; gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<ServerEvent> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            self.unfinished.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.unfinished);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.line(line.strip_suffix('\r').unwrap_or(&line)));
        }
        self.unfinished.extend_from_slice(rest);
        events
    }

    fn line(&mut self, line: &str) -> Option<ServerEvent> {
        if line.is_empty() {
            let (id, data) = (self.id.take(), std::mem::take(&mut self.data));
            return (!data.is_empty()).then(|| ServerEvent {
                id,
                data: data.join("\n"),
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.id = Some(value.to_owned()),
            "data" => self.data.push(value.to_owned()),
            // `event:` repeats the tag that is in the data; a line that begins with a colon says only "still here".
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = ": still here\n\nevent: film_accepted\nid: 1\ndata: {\"a\":\ndata: \"ä\"}\n\nretry: 5\nid: 9\n\n\
                          data: last\r\n\r\nid: 3\ndata: unfinished";

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let expected = [
            ServerEvent {
                id: Some("1".to_owned()),
                data: "{\"a\":\n\"ä\"}".to_owned(),
            },
            ServerEvent {
                id: None,
                data: "last".to_owned(),
            },
        ];
        for size in 1..=STREAM.len() {
            let mut reader = EventReader::default();
            let events: Vec<_> = STREAM
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| reader.push(chunk))
                .collect();
            assert_eq!(events, expected, "chunks of {size}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let mut reader = EventReader::default();
        assert_eq!(reader.push(b"\xff\xfe\n\n:\n\nno colon\n\n"), []);
        assert_eq!(reader.push(b"data\n\n")[0].data, "");
    }
}
