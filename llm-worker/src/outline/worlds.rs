//! Where stories happen: places, things and weather that belong together, found by the words of the premise.

/// A setting.
#[derive(Debug)]
pub(super) struct World {
    /// Words in a premise that speak for it, in lower case.
    words: &'static [&'static str],
    /// Places with the word that puts one there.
    pub(super) places: &'static [&'static str],
    /// Things to hold, without an article.
    pub(super) things: &'static [&'static str],
    /// Sentences about what else is there.
    pub(super) details: &'static [&'static str],
    /// Who or what is met there if the premise does not say.
    pub(super) others: &'static [&'static str],
}

/// The settings that fit best: those that most words speak for, or all when no word speaks for any.
pub(super) fn fitting(words: &[String]) -> Vec<&'static World> {
    let score = |world: &World| {
        let speaks = |word: &&String| {
            let singular = word.strip_suffix('s').unwrap_or(word);
            world
                .words
                .iter()
                .any(|known| word == known || singular == *known)
        };
        words.iter().filter(speaks).count()
    };
    let best = WORLDS.iter().map(score).max().unwrap_or(0);
    WORLDS.iter().filter(|world| score(world) == best).collect()
}

/// Every setting.
const WORLDS: [World; 8] = [
    World {
        words: &[
            "sea",
            "ocean",
            "storm",
            "lighthouse",
            "ship",
            "boat",
            "sailor",
            "island",
            "wave",
            "whale",
            "fish",
            "fisherman",
            "harbour",
            "harbor",
            "captain",
            "beach",
            "coast",
            "mermaid",
            "tide",
            "pirate",
            "sail",
            "shore",
            "submarine",
        ],
        places: &[
            "on the wet rocks",
            "at the end of the jetty",
            "in the net shed",
            "on the cliff path",
            "between the tide pools",
            "on the harbour wall",
            "under the lamp",
            "on the rolling deck",
        ],
        things: &[
            "brass lantern",
            "coil of tarred rope",
            "cracked barometer",
            "green glass bottle",
            "ship's bell",
            "folded chart",
        ],
        details: &[
            "Gulls hang in the wind without moving.",
            "Spray beads on every surface.",
            "A buoy rings somewhere in the fog.",
            "Foam draws a white line along the stones.",
            "Far out, one sail leans and rights itself.",
            "The tide has left mirrors in the sand.",
            "Rain walks in from the open water.",
        ],
        others: &["tide", "drowned bell", "ship without a crew"],
    },
    World {
        words: &[
            "space",
            "star",
            "planet",
            "moon",
            "mars",
            "astronaut",
            "rocket",
            "spaceship",
            "alien",
            "orbit",
            "galaxy",
            "satellite",
            "comet",
            "cosmos",
            "cosmonaut",
            "spacecraft",
        ],
        places: &[
            "in the airlock",
            "on the dark side of the hull",
            "in the greenhouse module",
            "at the round window",
            "on the pale dust plain",
            "in the humming corridor",
            "under the dish antenna",
            "on the crater rim",
        ],
        things: &[
            "scratched helmet",
            "seed tray",
            "hand-wound music box",
            "signal lamp",
            "spool of tape",
            "star chart",
        ],
        details: &[
            "The planet fills half the window, turning.",
            "A loose glove drifts past and is let go.",
            "Frost flowers on the inside of the glass.",
            "Status lights blink, all of them amber.",
            "Dust hangs where it was kicked up, unwilling to fall.",
            "Far below, lightning crawls without a sound.",
        ],
        others: &["signal", "slow comet", "voice on the radio"],
    },
    World {
        words: &[
            "city",
            "street",
            "taxi",
            "detective",
            "rooftop",
            "subway",
            "metro",
            "neon",
            "office",
            "train",
            "crime",
            "murder",
            "thief",
            "hotel",
            "traffic",
            "bar",
            "jazz",
            "police",
            "tower",
            "skyscraper",
            "bus",
            "driver",
        ],
        places: &[
            "on the tar-paper roof",
            "under the railway bridge",
            "in the all-night diner",
            "at the crossing",
            "on the fire escape",
            "in the last carriage",
            "by the closed kiosk",
            "in the stairwell",
        ],
        things: &[
            "dented thermos",
            "ring of keys",
            "torn ticket",
            "umbrella with one broken rib",
            "paper bag",
            "pocket radio",
        ],
        details: &[
            "Rain turns the asphalt into a second sky.",
            "A train crosses overhead and every window trembles.",
            "Steam leans out of a grating.",
            "Somebody, six floors up, practises the same four notes.",
            "The traffic light changes for nobody.",
            "Neon stutters, one letter dark.",
        ],
        others: &["stranger in the grey coat", "caller", "face in the window"],
    },
    World {
        words: &[
            "forest", "wood", "tree", "fox", "wolf", "bear", "deer", "witch", "fairy", "hunter",
            "owl", "mushroom", "moss", "bird", "garden", "gardener", "flower", "dragon", "river",
            "knight", "elf", "bee", "squirrel",
        ],
        places: &[
            "under the oldest oak",
            "at the ford",
            "in the clearing",
            "on the mossy bridge",
            "between the birches",
            "in the hollow trunk",
            "at the edge of the wood",
            "beside the black pond",
        ],
        things: &[
            "wicker basket",
            "carved whistle",
            "lantern full of fireflies",
            "red thread",
            "iron key",
            "clay bowl",
        ],
        details: &[
            "Spores drift through a single shaft of sun.",
            "Somewhere a branch gives way under snow or years.",
            "Ferns uncurl along the path.",
            "A jay says what it thinks and is gone.",
            "Mist stands knee-deep between the trunks.",
            "Leaves come down, one at a time, like answers.",
        ],
        others: &["white stag", "oldest tree", "fox with the torn ear"],
    },
    World {
        words: &[
            "desert", "sand", "dune", "oasis", "caravan", "camel", "cactus", "cowboy", "sheriff",
            "canyon", "nomad", "pyramid", "drought", "sun", "road", "highway",
        ],
        places: &[
            "on the crest of the dune",
            "at the dry well",
            "in the shade of the red rock",
            "beside the dead truck",
            "at the empty station",
            "on the salt flat",
            "in the canyon",
            "under the water tower",
        ],
        things: &[
            "dented canteen",
            "compass without a needle",
            "blue scarf",
            "sun-bleached letter",
            "cracked mirror",
            "tin star",
        ],
        details: &[
            "Heat makes the horizon swim.",
            "A lizard does one push-up and thinks better of it.",
            "Sand hisses down the lee side of everything.",
            "A windmill turns, though there is no wind to feel.",
            "The shadow of one cloud crosses the whole valley.",
            "Dry lightning, far too far away to help.",
        ],
        others: &["mirage", "rider on the horizon", "dust devil"],
    },
    World {
        words: &[
            "snow",
            "ice",
            "winter",
            "mountain",
            "glacier",
            "arctic",
            "polar",
            "penguin",
            "climber",
            "avalanche",
            "ski",
            "summit",
            "antarctic",
            "frost",
            "yeti",
            "sled",
            "north",
        ],
        places: &[
            "in the snowed-in hut",
            "on the frozen lake",
            "at the foot of the glacier",
            "on the ridge",
            "in the blue ice cave",
            "at the tree line",
            "beside the buried sled",
            "below the summit",
        ],
        things: &[
            "storm lamp",
            "ice axe",
            "red flag",
            "tin mug",
            "frayed rope",
            "frozen pocket watch",
        ],
        details: &[
            "Snow falls upwards for a moment, then remembers.",
            "The ice speaks, a long low note.",
            "Breath hangs in the air and stays.",
            "A single track leads out and does not lead back.",
            "Northern lights fold and unfold, green over violet.",
            "Far off, a slope lets go and smokes.",
        ],
        others: &["long winter", "white bear", "light under the ice"],
    },
    World {
        words: &[
            "robot",
            "machine",
            "clock",
            "clockmaker",
            "factory",
            "inventor",
            "engineer",
            "computer",
            "android",
            "workshop",
            "gear",
            "steam",
            "engine",
            "scientist",
            "laboratory",
            "automaton",
            "toy",
            "watchmaker",
            "mechanic",
        ],
        places: &[
            "at the long workbench",
            "under the great wheel",
            "in the boiler room",
            "on the iron gallery",
            "between the silent looms",
            "in the room of clocks",
            "at the loading gate",
            "on the scrap heap",
        ],
        things: &[
            "clockwork bird",
            "jar of blue sparks",
            "box of small screws",
            "bent antenna",
            "punched card",
            "copper heart",
        ],
        details: &[
            "Belts run on overhead, driving nothing.",
            "A drop of oil takes its time.",
            "Forty clocks disagree, politely.",
            "A gauge trembles just short of the red.",
            "Welding light throws blue doors on the wall.",
            "Something in a crate begins to tick.",
        ],
        others: &["great machine", "first model", "voice in the wires"],
    },
    World {
        words: &[
            "house",
            "home",
            "village",
            "family",
            "mother",
            "father",
            "grandmother",
            "grandfather",
            "child",
            "children",
            "girl",
            "boy",
            "school",
            "teacher",
            "kitchen",
            "cat",
            "dog",
            "baker",
            "painter",
            "musician",
            "letter",
            "book",
            "library",
            "librarian",
            "door",
            "neighbour",
            "neighbor",
            "wedding",
            "piano",
            "farm",
            "farmer",
        ],
        places: &[
            "at the kitchen window",
            "in the attic",
            "on the garden wall",
            "at the end of the lane",
            "in the orchard",
            "on the back stairs",
            "under the washing lines",
            "in the empty ballroom",
        ],
        things: &[
            "blue teapot",
            "music box",
            "paper boat",
            "bundle of letters",
            "paint-stained brush",
            "jar of buttons",
        ],
        details: &[
            "A curtain breathes in and out.",
            "Somewhere a radio plays to nobody.",
            "Apples drop in the orchard, now and then.",
            "Dust turns gold where the sun comes in.",
            "A moth taps at the lampshade.",
            "The stairs creak, though no one is on them.",
        ],
        others: &["locked room", "visitor", "portrait in the hall"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn best(text: &str) -> Vec<&'static str> {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        fitting(&words).iter().map(|world| world.words[0]).collect()
    }

    #[test]
    fn the_words_of_a_premise_choose_the_world() {
        assert_eq!(best("a lighthouse keeper befriends a storm"), ["sea"]);
        assert_eq!(best("two robots learn to dance"), ["robot"]);
        assert_eq!(best("freedom").len(), WORLDS.len());
    }
}
