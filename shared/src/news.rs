//! Something that goes on is told once, however often it is tried again.

/// What was told last of one thing that may go wrong for long. Whoever logs it asks first whether it is news: an hour without a server
/// is a line in the log, and not one for each try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    told: Option<String>,
}

impl News {
    /// Whether this is something else than what was told last. From now on it is what was told.
    pub fn is_news(&mut self, what: &str) -> bool {
        if self.told.as_deref() == Some(what) {
            return false;
        }
        self.told = Some(what.to_owned());
        true
    }

    /// It is over: when it comes again, it is news again. Whether there was anything to be over.
    pub fn over(&mut self) -> bool {
        self.told.take().is_some()
    }
}

/// Logs what is news at that level, and what is not at `debug`:
/// `log_news!(told.is_news(&why), warn, { fields::REASON } = why, "the server is away")`.
#[macro_export]
macro_rules! log_news {
    ($is_news:expr, $level:ident, $($said:tt)+) => {
        match $is_news {
            true => ::tracing::$level!($($said)+),
            false => ::tracing::debug!($($said)+),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_news_once_and_again_after_another_or_after_its_end() {
        let mut news = News::default();
        assert!(!news.over(), "nothing was told");
        assert!(news.is_news("no server"));
        assert!(!news.is_news("no server") && !news.is_news("no server"));
        assert!(news.is_news("no model"), "the reason has changed");
        assert!(news.is_news("no server"));
        assert!(news.over() && !news.over());
        assert!(news.is_news("no server"), "it has come again");
    }
}
