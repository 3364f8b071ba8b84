//! What was heard of a streamed answer, and when it counts.

use super::ProviderError;

/// Longest answer that is kept, in bytes. The longest that we ask for has a tenth of it.
const TEXT_MAX: usize = 256 * 1024;

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It had said everything.
    Stop,
    /// It ran into the limit of tokens, or the context was full: what it said is cut.
    Length,
    /// It was stopped for what it said or was asked.
    Blocked(String),
    /// Anything else.
    Other(String),
}

/// What was heard so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The text.
    pub text: String,
    /// Pieces in which something came, thoughts included: a token each, on most servers.
    pub tokens: u32,
    /// Why the model stopped.
    pub finish: Option<Finish>,
    /// Whether the server has said that no more follows.
    pub closed: bool,
    /// Text that is no part of the stream's form: what a proxy writes when the server behind it has died.
    pub stray: Option<String>,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The text, without white space around it.
    pub text: String,
    /// Its length in tokens, as far as could be counted.
    pub tokens: u32,
}

impl Heard {
    /// Takes in a part of the text.
    ///
    /// # Errors
    /// If the text has become longer than anything that was asked for.
    pub fn add(&mut self, text: &str) -> Result<(), ProviderError> {
        if text.is_empty() {
            return Ok(());
        }
        self.tokens += 1;
        if self.text.len() + text.len() > TEXT_MAX {
            return Err(ProviderError::TooMuch);
        }
        self.text.push_str(text);
        Ok(())
    }

    /// Takes note that the model thinks. Its thoughts are not kept.
    pub const fn thought(&mut self) {
        self.tokens += 1;
    }

    /// The answer, if it is whole.
    ///
    /// # Errors
    /// If the stream ended before the model did, if the answer is cut, blocked or empty.
    pub fn answer(self) -> Result<Answer, ProviderError> {
        // Whatever was blocked stays blocked, even when the stream broke after that.
        if let Some(Finish::Blocked(reason)) = self.finish {
            return Err(ProviderError::Blocked(reason));
        }
        let (true, Some(finish)) = (self.closed, self.finish) else {
            let heard = match self.stray {
                Some(stray) => format!(" with \"{stray}\""),
                None => String::new(),
            };
            let (said, tokens) = (self.text.len(), self.tokens);
            return Err(ProviderError::Incomplete(format!(
                "it ended{heard} after {tokens} tokens ({said} bytes) without its final reason"
            )));
        };
        let text = self.text.trim();
        match finish {
            Finish::Length => Err(ProviderError::Cut {
                tokens: self.tokens,
            }),
            Finish::Stop if text.is_empty() => Err(ProviderError::Empty),
            Finish::Stop => Ok(Answer {
                text: text.to_owned(),
                tokens: self.tokens,
            }),
            Finish::Blocked(reason) => Err(ProviderError::Blocked(reason)),
            Finish::Other(reason) => Err(ProviderError::Incomplete(format!(
                "the model stopped with the reason \"{reason}\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(text: &str, finish: Option<Finish>, closed: bool) -> Heard {
        Heard {
            text: text.to_owned(),
            finish,
            closed,
            ..Heard::default()
        }
    }

    #[test]
    fn only_a_whole_answer_counts_and_it_is_trimmed() {
        let whole = heard(" {} \n", Some(Finish::Stop), true).answer().unwrap();
        assert_eq!(whole.text, "{}");
        for (part, expected) in [
            (heard("{}", None, true), "without its final reason"),
            (
                heard("{}", Some(Finish::Stop), false),
                "without its final reason",
            ),
            (heard("{}", Some(Finish::Length), true), "cut"),
            (heard(" ", Some(Finish::Stop), true), "nothing"),
            (
                heard("", Some(Finish::Blocked("SAFETY".into())), false),
                "SAFETY",
            ),
            (
                heard("{}", Some(Finish::Other("unload".into())), true),
                "unload",
            ),
        ] {
            let error = part.clone().answer().unwrap_err().to_string();
            assert!(error.contains(expected), "{part:?}: {error}");
        }
    }

    #[test]
    fn an_answer_without_end_is_not_kept() {
        let mut heard = Heard::default();
        let piece = "x".repeat(TEXT_MAX / 2);
        heard.add(&piece).unwrap();
        heard.add(&piece).unwrap();
        assert!(matches!(heard.add("x"), Err(ProviderError::TooMuch)));
    }
}
