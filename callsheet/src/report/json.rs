//! For programs: one JSON object a line.

use shared::api::FilmEvent;

use super::Report;
use crate::term;

/// Writes each event as a line. The events that end a film are left to the last line, which says more.
#[derive(Debug, Default)]
pub(crate) struct Json;

impl Report for Json {
    fn event(&mut self, event: &FilmEvent) {
        if !event.what.is_end() {
            term::say_json(event);
        }
    }

    fn note(&mut self, text: &str) {
        term::complain(text);
    }

    fn close(&mut self) {}
}
