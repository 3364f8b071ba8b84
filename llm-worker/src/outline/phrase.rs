//! Nouns and sentences: fills the places in a text, and knows articles and capitals.

use std::fmt;

/// Someone or something that a story speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Noun {
    /// What stands before it: `the`, `my`, `the two`; empty for a name.
    determiner: String,
    /// The noun itself, as `lighthouse keeper`.
    head: String,
}

impl Noun {
    /// From a determiner as a premise has it: what was new there (`a storm`) is known from then on (`the storm`).
    pub(super) fn new(determiner: &str, head: &str) -> Self {
        let determiner = match determiner {
            "a" | "an" | "the" | "one" | "some" | "every" | "each" => "the".to_owned(),
            "two" | "three" | "four" | "five" | "six" | "seven" => format!("the {determiner}"),
            other => other.to_owned(),
        };
        Self {
            determiner,
            head: head.to_owned(),
        }
    }

    /// A name, which takes no article.
    pub(super) fn name(name: &str) -> Self {
        Self::new("", name)
    }

    /// As a title or a cast list has it: `The Lighthouse Keeper`.
    pub(super) fn titled(&self) -> String {
        title_case(&self.to_string())
    }

    /// The same without the article: `Lighthouse Keeper`.
    pub(super) fn titled_bare(&self) -> String {
        title_case(
            self.to_string()
                .strip_prefix("the ")
                .unwrap_or(&self.to_string()),
        )
    }
}

impl fmt::Display for Noun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.determiner.is_empty() {
            true => f.write_str(&self.head),
            false => write!(f, "{} {}", self.determiner, self.head),
        }
    }
}

/// The noun with `a` or `an`.
pub(super) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']) {
        "an"
    } else {
        "a"
    };
    format!("{article} {noun}")
}

/// The text with its first letter as a capital.
pub(super) fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// The text with capitals as English titles have them.
pub(super) fn title_case(text: &str) -> String {
    const SMALL: &[&str] = &[
        "a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with",
    ];
    text.split(' ')
        .enumerate()
        .map(|(index, word)| match index > 0 && SMALL.contains(&word) {
            true => word.to_owned(),
            false => capitalised(word),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Fills the places `{name}` of a text, each once: what is filled in is not looked at again, so a premise may hold braces.
/// A name that begins with a capital is filled with a capital. Names that are not known stay.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        let known = values
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        match known {
            Some((_, value)) if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                filled.push_str(&capitalised(value));
            }
            Some((_, value)) => filled.push_str(value),
            None => {
                filled.push('{');
                filled.push_str(name);
                filled.push('}');
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once_and_capitals_follow_the_name() {
        let values = [
            ("who", "{other}"),
            ("other", "the storm"),
            ("a thing", "an iron key"),
        ];
        assert_eq!(
            fill("{Other} and {who}, {a thing}. {A thing}! {no} {", &values),
            "The storm and {other}, an iron key. An iron key! {no} {"
        );
    }

    #[test]
    fn titles_have_capitals_and_articles_fit() {
        assert_eq!(
            Noun::new("a", "keeper of the lamp").titled(),
            "The Keeper of the Lamp"
        );
        assert_eq!(Noun::new("two", "robots").titled_bare(), "Two Robots");
        assert_eq!(Noun::name("Mara").titled(), "Mara");
        assert_eq!(with_article("iron key"), "an iron key");
        assert_eq!(capitalised("ß"), "SS");
        assert_eq!(capitalised(""), "");
    }
}
