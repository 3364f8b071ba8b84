//! Reads a premise: who it is about, whom or what they meet, and where, as far as simple rules can tell. A premise that
//! the rules do not understand (another language, a single word, a row of emoji) is quoted instead of taken apart.

use super::phrase::Noun;

/// Longest sentence that is quoted, in characters.
const GIST_MAX: usize = 160;
/// Most words in a noun that is taken from a premise.
const NOUN_WORDS_MAX: usize = 5;
/// Longest noun, in characters.
const NOUN_MAX: usize = 48;

/// What the rules found in a premise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Premise {
    /// Its first sentence in one line, shortened.
    pub(super) gist: String,
    /// All its words in lower case, without punctuation.
    pub(super) words: Vec<String>,
    /// Who it is about.
    pub(super) who: Option<Noun>,
    /// Whom or what they meet.
    pub(super) other: Option<Noun>,
    /// Where, as `in the attic`.
    pub(super) place: Option<String>,
}

impl Premise {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Self {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let sentence = first_sentence(&line);
        let tokens: Vec<Token<'_>> = sentence.split(' ').map(Token::new).collect();
        let (who, after) = subject(&tokens);
        let (other, place) = match who {
            Some(_) => objects(&tokens[after..]),
            None => (None, None),
        };
        let other = other.filter(|other| Some(other) != who.as_ref());
        Self {
            gist: clip(sentence, GIST_MAX),
            words: line
                .split(' ')
                .map(|word| Token::new(word).lower)
                .filter(|word| !word.is_empty())
                .collect(),
            who,
            other,
            place,
        }
    }
}

/// The text up to the first end of a sentence.
fn first_sentence(line: &str) -> &str {
    let ends = line
        .match_indices(['.', '!', '?', '。', '！', '？'])
        .filter(|(index, mark)| {
            let after = &line[index + mark.len()..];
            after.is_empty() || after.starts_with(' ') || !mark.is_ascii()
        })
        .map(|(index, mark)| index + mark.len());
    // "Dr. Who" is no sentence.
    match ends.into_iter().find(|&end| end >= 12) {
        Some(end) => &line[..end],
        None => line,
    }
}

/// The text, cut after a whole word with an ellipsis if it is longer than that many characters.
pub(super) fn clip(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    let cut: String = text.chars().take(longest - 1).collect();
    let whole = match cut.rfind(' ') {
        Some(space) if space >= cut.len() / 2 => &cut[..space],
        _ => &cut,
    };
    format!("{}…", whole.trim_end_matches([',', ';', ':', ' ', '-']))
}

/// A word of the premise.
#[derive(Debug)]
struct Token<'a> {
    /// Without the punctuation around it.
    bare: &'a str,
    lower: String,
    /// Whether punctuation follows, so that no phrase goes on after it.
    ends: bool,
}

impl<'a> Token<'a> {
    fn new(word: &'a str) -> Self {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        Self {
            bare,
            lower: bare.to_lowercase(),
            ends: !word.ends_with(bare),
        }
    }

    fn is(&self, words: &[&str]) -> bool {
        words.contains(&self.lower.as_str())
    }

    /// Whether a word of this form may be a verb: `finds`, `wanted`, `must`.
    fn may_be_verb(&self) -> bool {
        is_plural(&self.lower) || self.is(PAST)
    }

    fn is_capitalised(&self) -> bool {
        self.bare.chars().next().is_some_and(char::is_uppercase)
    }
}

/// Whether a word has the form of a plural, which is that of a verb of one subject too.
fn is_plural(word: &str) -> bool {
    let word = word.to_lowercase();
    word.len() > 3
        && word.ends_with('s')
        && !["ss", "us", "'s", "’s"]
            .iter()
            .any(|end| word.ends_with(end))
}

const SINGULAR: &[&str] = &["a", "an", "every", "each", "one"];
const DETERMINERS: &[&str] = &[
    "a", "an", "the", "every", "each", "one", "two", "three", "four", "five", "six", "seven", "my",
    "his", "her", "our", "their", "its", "some",
];
const STOPS: &[&str] = &[
    "who", "whose", "that", "which", "where", "when", "while", "and", "or", "but", "is", "are",
    "was", "were", "has", "have", "had", "must", "can", "cannot", "could", "will", "would", "to",
    "with", "from", "into", "by", "for", "after", "before", "as", "because", "until", "without",
    "through", "against", "not", "never", "always", "only", "than", "then", "so", "if",
];
const PLACES: &[&str] = &[
    "in", "on", "at", "under", "beneath", "aboard", "near", "inside", "above", "behind", "beside",
    "below", "across",
];
const PAST: &[&str] = &[
    "found",
    "lost",
    "met",
    "saw",
    "went",
    "made",
    "took",
    "fell",
    "built",
    "kept",
    "came",
    "learned",
    "learn",
    "find",
    "meet",
    "discover",
    "try",
    "want",
    "search",
    "fight",
    "travel",
    "steal",
    "lived",
    "discovered",
    "wanted",
    "tried",
];

/// The noun that the sentence begins with, and the index of the first word after it.
fn subject(tokens: &[Token<'_>]) -> (Option<Noun>, usize) {
    let Some(first) = tokens.first() else {
        return (None, 0);
    };
    if first.is(DETERMINERS) {
        return noun(tokens, 0);
    }
    // A name: "Mara finds", "Old Tom sails".
    let names = tokens
        .iter()
        .take_while(|token| token.is_capitalised() && !token.is(STOPS))
        .count();
    let name_ends = names > 0 && tokens[..names].iter().all(|token| !token.ends);
    let verb_follows = tokens
        .get(names)
        .is_some_and(|token| token.may_be_verb() || token.is(STOPS) || token.is(PLACES));
    if (1..=3).contains(&names) && name_ends && verb_follows {
        let name = tokens[..names]
            .iter()
            .map(|token| token.bare)
            .collect::<Vec<_>>()
            .join(" ");
        if name.chars().count() <= NOUN_MAX {
            return (Some(Noun::name(&name)), names);
        }
    }
    (None, 0)
}

/// The noun phrase that begins with the determiner at `start`, and the index of the first word after it.
fn noun(tokens: &[Token<'_>], start: usize) -> (Option<Noun>, usize) {
    let determiner = &tokens[start];
    let singular = determiner.is(SINGULAR);
    let mut words: Vec<&str> = Vec::new();
    let mut index = start + 1;
    let mut ended = determiner.ends;
    while let Some(token) = tokens.get(index).filter(|_| !ended) {
        let after_of = matches!(words[..], [.., "of"] | [.., "of", "the" | "a" | "an"]);
        if token.bare.is_empty()
            || token.is(STOPS)
            || token.is(PLACES)
            || (token.is(DETERMINERS) && words.last() != Some(&"of"))
        {
            break;
        }
        let plural = !singular && words.last().is_some_and(|word| is_plural(word));
        if plural && !token.is(&["of"]) {
            break;
        }
        if !words.is_empty() && !after_of && token.may_be_verb() && is_verb(tokens, index, singular)
        {
            break;
        }
        words.push(token.bare);
        ended = token.ends;
        index += 1;
        if words.len() > NOUN_WORDS_MAX {
            return (None, index);
        }
    }
    while matches!(words[..], [.., "of" | "the" | "a" | "an"]) {
        words.pop();
    }
    let text = words.join(" ");
    if words.is_empty() || text.chars().count() > NOUN_MAX {
        return (None, index);
    }
    (Some(Noun::new(&determiner.lower, &text)), index)
}

/// Whether a word that may be a verb is one here: after "a girl" it is; after "the last" it may be a plural.
fn is_verb(tokens: &[Token<'_>], index: usize, singular: bool) -> bool {
    if singular || tokens[index].is(PAST) {
        return true;
    }
    match tokens.get(index + 1) {
        None => true,
        Some(next) => {
            let plural_here = tokens[index].ends
                || next.is(PAST)
                || next.is(&["who", "that", "is", "are", "must"]);
            !plural_here && (next.is(DETERMINERS) || next.is(STOPS) || next.is(PLACES))
        }
    }
}

/// Whom or what the rest of the sentence speaks of, and the place in it.
fn objects(tokens: &[Token<'_>]) -> (Option<Noun>, Option<String>) {
    let (mut other, mut place) = (None, None);
    let mut index = 0;
    while index < tokens.len() {
        if !tokens[index].is(DETERMINERS) {
            index += 1;
            continue;
        }
        let before = index.checked_sub(1).map(|before| &tokens[before]);
        let (found, after) = noun(tokens, index);
        match (found, before) {
            (Some(noun), Some(before)) if before.is(PLACES) => {
                place = place.or_else(|| Some(format!("{} {noun}", before.lower)));
            }
            (Some(noun), _) => other = other.or(Some(noun)),
            (None, _) => {}
        }
        index = after.max(index + 1);
    }
    (other, place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (String, String, String) {
        let premise = Premise::read(text);
        let shown = |noun: Option<Noun>| noun.map(|noun| noun.to_string()).unwrap_or_default();
        (
            shown(premise.who),
            shown(premise.other),
            premise.place.unwrap_or_default(),
        )
    }

    fn all(who: &str, other: &str, place: &str) -> (String, String, String) {
        (who.to_owned(), other.to_owned(), place.to_owned())
    }

    #[test]
    fn who_what_and_where_are_found() {
        for (text, expected) in [
            (
                "A lighthouse keeper befriends a storm",
                all("the lighthouse keeper", "the storm", ""),
            ),
            (
                "Two robots learn to dance in an empty factory.",
                all("the two robots", "", "in the empty factory"),
            ),
            (
                "The last whales leave the sea",
                all("the last whales", "the sea", ""),
            ),
            (
                "Mara finds a map of the stars under the floor",
                all("Mara", "the map of the stars", "under the floor"),
            ),
            (
                "An old clockmaker's daughter, who repairs time",
                all("the old clockmaker's daughter", "", ""),
            ),
            (
                "My grandmother must outrun the sea",
                all("my grandmother", "the sea", ""),
            ),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_the_rules_do_not_understand_is_left_whole() {
        for text in [
            "Storm",
            "Ein Leuchtturmwärter freundet sich an",
            "🌊🌊🌊",
            "嵐と灯台守",
            "\"\"",
            "a",
            "%s %d: {who}",
            "…",
        ] {
            let premise = Premise::read(text);
            assert_eq!(
                (premise.who, premise.other, premise.place),
                (None, None, None),
                "{text}"
            );
            assert_eq!(premise.gist, text);
        }
    }

    #[test]
    fn the_gist_is_the_first_sentence_in_one_line() {
        assert_eq!(
            Premise::read("Dr. No  sails\nhome again. Then he dies.").gist,
            "Dr. No sails home again."
        );
        let long = Premise::read(&"word ".repeat(1_600)).gist;
        assert!(
            long.chars().count() <= GIST_MAX && long.ends_with("word…"),
            "{long}"
        );
    }
}
