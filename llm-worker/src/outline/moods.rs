//! How a film looks: medium, light and palette that belong to one mood.

use super::draws::Draws;

/// A mood.
#[derive(Debug)]
struct Mood {
    /// Words in a premise that speak for it, in lower case.
    words: &'static [&'static str],
    media: &'static [&'static str],
    lights: &'static [&'static str],
    palettes: &'static [&'static str],
}

/// How the film looks, in a line: a mood that the words speak for, or any, and the rest drawn.
pub(super) fn look(words: &[String], draws: &mut Draws) -> String {
    let speaks = |mood: &&Mood| words.iter().any(|word| mood.words.contains(&word.as_str()));
    let fitting: Vec<&Mood> = MOODS.iter().filter(speaks).collect();
    let all: Vec<&Mood> = MOODS.iter().collect();
    let mood = draws.pick(if fitting.is_empty() { &all } else { &fitting });
    format!(
        "{}; {}; palette of {}",
        draws.pick(mood.media),
        draws.pick(mood.lights),
        draws.pick(mood.palettes)
    )
}

const MOODS: [Mood; 6] = [
    Mood {
        words: &[
            "befriends",
            "friend",
            "friends",
            "love",
            "loves",
            "home",
            "grandmother",
            "grandfather",
            "kind",
            "gentle",
            "baker",
            "letter",
            "learns",
            "learn",
            "garden",
        ],
        media: &[
            "gouache illustration with visible brushwork",
            "soft 16 mm film",
            "stop-motion with felt and paper",
            "coloured-pencil drawing on rough paper",
        ],
        lights: &[
            "low amber light through windows",
            "late afternoon sun with long soft shadows",
            "lamplight against a blue dusk",
        ],
        palettes: &[
            "amber, cream and slate blue",
            "terracotta, ochre and sage green",
            "peach, gold and deep teal",
        ],
    },
    Mood {
        words: &[
            "storm",
            "lonely",
            "alone",
            "old",
            "last",
            "lost",
            "memory",
            "remembers",
            "forgotten",
            "winter",
            "grief",
            "ghost",
            "silence",
            "goodbye",
            "lighthouse",
        ],
        media: &[
            "charcoal and ink wash",
            "desaturated 35 mm film with heavy grain",
            "oil painting with a palette knife",
            "wet-plate photograph",
        ],
        lights: &[
            "overcast light, everything half in mist",
            "one hard lamp in a large darkness",
            "silver light before a storm",
        ],
        palettes: &[
            "slate, bone white and rust",
            "indigo, silver and pale yellow",
            "charcoal, sea green and one point of red",
        ],
    },
    Mood {
        words: &[
            "murder",
            "crime",
            "detective",
            "thief",
            "steals",
            "steal",
            "secret",
            "killer",
            "spy",
            "betrays",
            "revenge",
            "blood",
            "night",
            "debt",
            "police",
        ],
        media: &[
            "high-contrast black-and-white film",
            "neo-noir 35 mm film",
            "graphic-novel ink with flat shadows",
        ],
        lights: &[
            "hard side light through blinds",
            "wet neon and deep shadow",
            "a single street lamp in the rain",
        ],
        palettes: &[
            "black, bone and crimson",
            "midnight blue, magenta and sodium orange",
            "ink, smoke and acid green",
        ],
    },
    Mood {
        words: &[
            "child", "children", "girl", "boy", "cat", "dog", "toy", "funny", "dance", "game",
            "circus", "balloon", "dragon", "penguin", "party",
        ],
        media: &[
            "paper cut-out animation",
            "bright 2D animation with thick outlines",
            "claymation with fingerprints",
            "children's book watercolour",
        ],
        lights: &[
            "clear morning light",
            "bright even light with crisp shadows",
            "sunlight through coloured glass",
        ],
        palettes: &[
            "sky blue, coral and lemon",
            "mint, tomato red and cream",
            "turquoise, pink and sunflower",
        ],
    },
    Mood {
        words: &[
            "space",
            "star",
            "planet",
            "robot",
            "robots",
            "alien",
            "future",
            "machine",
            "astronaut",
            "signal",
            "moon",
            "computer",
            "time",
            "dream",
            "dreams",
        ],
        media: &[
            "retro science-fiction airbrush",
            "anamorphic 65 mm film",
            "fine-line drawing with flat colour",
            "dreamlike double exposure",
        ],
        lights: &[
            "cold rim light and soft haze",
            "glow from instruments in the dark",
            "a huge low sun, dust in the air",
        ],
        palettes: &[
            "deep violet, cyan and white",
            "petrol, orange and sand",
            "black, ice blue and signal red",
        ],
    },
    Mood {
        words: &[
            "war", "king", "queen", "knight", "battle", "quest", "hero", "fight", "fights",
            "sword", "empire", "mountain", "captain", "pirate", "race",
        ],
        media: &[
            "epic 70 mm film",
            "woodcut print with bold lines",
            "tapestry-like illustration",
            "romantic landscape painting",
        ],
        lights: &[
            "low sun breaking under storm clouds",
            "torchlight and smoke",
            "golden hour with long shadows",
        ],
        palettes: &[
            "crimson, gold and stone grey",
            "forest green, bronze and parchment",
            "cobalt, white and burnt orange",
        ],
    },
];
