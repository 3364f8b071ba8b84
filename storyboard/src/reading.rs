//! What a scene's words say about its picture: the place, the hour, the weather, who and what is there.

use shared::job::KeyframePayload;

use crate::dice::{Dice, hash};

/// Where a scene plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Sea,
    Mountains,
    Hills,
    Forest,
    City,
    Desert,
    Road,
    Room,
    Space,
}

/// When it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hour {
    Dawn,
    Day,
    Dusk,
    Night,
}

/// What comes from its sky.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Weather {
    Clear,
    Clouds,
    Rain,
    Storm,
    Snow,
    Fog,
}

/// What stands, swims or flies in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Thing {
    Lighthouse,
    Ship,
    Whale,
    Train,
    House,
    Castle,
    Fire,
    Balloon,
    Birds,
    Tree,
    Dog,
    Rocket,
}

/// How near the camera is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shot {
    Wide,
    Medium,
    Close,
}

/// What a scene's words say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    pub(crate) place: Place,
    pub(crate) hour: Hour,
    pub(crate) weather: Weather,
    pub(crate) things: Vec<Thing>,
    pub(crate) shot: Shot,
    /// How many people are seen, at most three.
    pub(crate) people: usize,
    /// Whether one of them is a child.
    pub(crate) child: bool,
}

/// Words that speak for something. A star stands for any ending, plurals are understood.
type Lexicon<T> = [(T, &'static str)];

const PLACES: &Lexicon<Place> = &[
    (
        Place::Sea,
        "sea seas ocean* wave* shore* beach* coast* harbour* harbor* bay lighthouse* island* cliff* sail* ship boat \
         tide* whale* storm surf reef pier dock lagoon fisher* sailor* captain drown* underwater seagull* gull rock \
         rocks pirate* anchor* raft lake",
    ),
    (
        Place::Mountains,
        "mountain* peak summit* alps alpine glacier* climb* ridge* valley* avalanche* volcano* canyon* crag* everest",
    ),
    (
        Place::Hills,
        "hill* field* meadow* farm* village* country* pasture* garden* park grass* orchard* vineyard* river* windmill* \
         barn prairie* moor* flower*",
    ),
    (
        Place::Forest,
        "forest* wood* tree trees jungle* pine* grove* fox wolf wolves deer bear clearing leaf leaves owl path trail \
         mushroom* fern*",
    ),
    (
        Place::City,
        "city cities town street* skyline* rooftop* roof skyscraper* downtown metropol* urban alley* neon* traffic \
         subway* taxi* detective* cafe market* square building* apartment* tower towers office* crowd*",
    ),
    (
        Place::Desert,
        "desert* dune* sand sandy sands camel* oasis cactus caravan* pyramid* mars martian sahara wasteland*",
    ),
    (
        Place::Road,
        "road* highway* drive drives driving car motorcycle* journey* travel* crossroad* bus truck* hitchhik* bicycl*",
    ),
    (
        Place::Room,
        "room* kitchen* house inside interior* bedroom* library libraries desk table window* door doorway lamp* \
         candle* bed chair hall hallway corridor* workshop* attic* cellar* studio* indoors fireplace* hearth* \
         laboratory lab bookshop* shop stairs staircase* cottage* cabin* piano*",
    ),
    (
        Place::Space,
        "space spaceship* planet* galaxy galaxies astronaut* orbit* rocket* alien* star-ship starship* cosmos cosmic \
         asteroid* nebula* spacecraft* lunar satellite*",
    ),
];

const HOURS: &Lexicon<Hour> = &[
    (
        Hour::Dawn,
        "dawn* sunrise* daybreak morning* awake* awakens first-light",
    ),
    (
        Hour::Day,
        "noon midday day daylight sun sunny sunlit burning bright afternoon* blue",
    ),
    (
        Hour::Dusk,
        "dusk sunset* evening* twilight golden gloaming amber farewell* autumn*",
    ),
    (
        Hour::Night,
        "night* midnight moon* star stars starry starlight dark darkness shadow* dream* nightmare* lantern* neon* noir",
    ),
];

const WEATHERS: &Lexicon<Weather> = &[
    (
        Weather::Clouds,
        "cloud* overcast grey gray wind winds windy windswept breeze*",
    ),
    (
        Weather::Rain,
        "rain rains raining rainy drizzl* downpour* wet umbrella* shower* puddle*",
    ),
    (
        Weather::Storm,
        "storm* thunder* lightning tempest* hurricane* gale* squall* typhoon* tornado* bolt",
    ),
    (
        Weather::Snow,
        "snow* blizzard* winter* ice icy frost* frozen sledge* ski glacier*",
    ),
    (Weather::Fog, "fog* mist* haze hazy smoke* murk*"),
];

const THINGS: &Lexicon<Thing> = &[
    (Thing::Lighthouse, "lighthouse*"),
    (
        Thing::Ship,
        "ship* boat* sail* vessel* raft* pirate* yacht* ferry canoe* schooner*",
    ),
    (Thing::Whale, "whale* leviathan*"),
    (
        Thing::Train,
        "train railway* railroad* locomotive* station carriage* express",
    ),
    (
        Thing::House,
        "house home cottage* cabin* hut farm* village* barn inn church* school* mill shack*",
    ),
    (
        Thing::Castle,
        "castle* fortress* palace* kingdom* king queen knight* princess* dragon* citadel*",
    ),
    (Thing::Fire, "campfire* fire bonfire* tent camp camping"),
    (Thing::Balloon, "balloon* airship* zeppelin* kite"),
    (
        Thing::Birds,
        "bird* gull* seagull* crow raven* flock* swallow* geese goose dove* fly flies wing wings",
    ),
    (Thing::Tree, "tree oak* willow* apple* blossom*"),
    (Thing::Dog, "dog puppy hound* wolf fox cat"),
    (
        Thing::Rocket,
        "rocket* spaceship* spacecraft* starship* launch*",
    ),
];

const PEOPLE: &str = "man woman keeper* captain* sailor* fisher* detective* boy girl child children king queen knight* \
     traveller* traveler* stranger* she he her his him mother father sister brother friend* grandmother* grandfather* \
     widow* soldier* wizard* witch* farmer* doctor* astronaut* pilot* driver* musician* painter* figure* hero* heroine* \
     son daughter old hand hands someone somebody people person robot* baker* teacher* artist* scientist* gardener*";
const MANY: &str = "they them together friends two couple both people crowd* family meet meets children sisters \
     brothers lovers crew each-other us we";
const CHILDREN: &str = "child children boy girl kid baby daughter son";
const CLOSE: &str =
    "close close-up closeup face* portrait* eye eyes hand hands tear tears whisper* stare* gaze*";
const WIDE: &str = "wide aerial* vista* panoram* establish* distant distance far horizon* landscape* above vast sweeping";

/// Words with how much each counts.
struct Words(Vec<(String, u32)>);

impl Words {
    /// The words of the scene.
    fn of_scene(payload: &KeyframePayload) -> Self {
        let scene = &payload.scene;
        Self::of(&[
            (&scene.action, 4),
            (&scene.title, 3),
            (&scene.image_prompt, 1),
            (&scene.motion_prompt, 1),
        ])
    }

    fn of(parts: &[(&String, u32)]) -> Self {
        let mut words = Vec::new();
        for (text, weight) in parts {
            let text = text.to_lowercase();
            let split = text.split(|c: char| !c.is_alphanumeric() && c != '-');
            let whole = split.filter(|word| !word.is_empty());
            words.extend(whole.map(|word| (word.to_owned(), *weight)));
        }
        Self(words)
    }

    /// How much is said in words of a list.
    fn weight_of(&self, list: &str) -> u32 {
        let said = |word: &str| list.split_whitespace().any(|entry| matches(entry, word));
        let counted = self.0.iter().filter(|(word, _)| said(word));
        counted.map(|(_, weight)| weight).sum()
    }

    /// What the words speak for most, if anything.
    fn winner<T: Copy>(&self, lexicon: &Lexicon<T>) -> Option<T> {
        let scored = lexicon
            .iter()
            .map(|(what, list)| (*what, self.weight_of(list)));
        let mut best = None;
        for (what, weight) in scored {
            if weight > best.map_or(0, |(_, most)| most) {
                best = Some((what, weight));
            }
        }
        best.map(|(what, _)| what)
    }
}

fn matches(entry: &str, word: &str) -> bool {
    match entry.strip_suffix('*') {
        Some(stem) => word.starts_with(stem),
        None => word
            .strip_prefix(entry)
            .is_some_and(|rest| matches!(rest, "" | "s")),
    }
}

/// Reads a scene. What its words leave open is chosen by the film's title and the seed.
pub(crate) fn read(payload: &KeyframePayload) -> Reading {
    let words = Words::of_scene(payload);
    let film_words = Words::of(&[(&payload.title, 1)]);
    let mut film = Dice::new(hash(&payload.title), "reading");
    let mut scene = Dice::new(payload.seed, "reading");
    let usual = [
        Place::Hills,
        Place::Sea,
        Place::Mountains,
        Place::City,
        Place::Forest,
    ];
    let usual = usual[film.below(usual.len())];
    let place = words.winner(PLACES).or_else(|| film_words.winner(PLACES));
    let place = place.unwrap_or(usual);
    let hour = words.winner(HOURS);
    let hour = hour.unwrap_or_else(|| hour_of(payload, &mut film));
    let weather = words.winner(WEATHERS).unwrap_or_else(|| {
        if scene.chance(0.55) {
            Weather::Clouds
        } else {
            Weather::Clear
        }
    });
    let mut things: Vec<(Thing, u32)> = THINGS
        .iter()
        .map(|(thing, list)| (*thing, words.weight_of(list)))
        .filter(|(_, weight)| *weight > 0)
        .collect();
    things.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    things.truncate(3);
    let named = payload.scene.characters.len();
    let several = words.weight_of(MANY) > 3;
    let hinted = usize::from(words.weight_of(PEOPLE) > 3) + usize::from(several);
    let close = words.weight_of(CLOSE);
    let wide = words.weight_of(WIDE);
    let shot = match () {
        () if close > wide => Shot::Close,
        () if wide > close => Shot::Wide,
        () => [
            Shot::Wide,
            Shot::Wide,
            Shot::Medium,
            Shot::Medium,
            Shot::Close,
        ][scene.below(5)],
    };
    Reading {
        place,
        hour,
        weather,
        things: things.into_iter().map(|(thing, _)| thing).collect(),
        shot,
        people: named.max(hinted).min(3),
        child: words.weight_of(CHILDREN) > 0,
    }
}

/// The hour that a scene's place in the film suggests: a day goes by, and the dark comes before the end.
fn hour_of(payload: &KeyframePayload, film: &mut Dice) -> Hour {
    let beat = payload.scene.beat.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| beat.contains(word));
    if says(&["dark", "lost", "death", "low point"]) {
        return Hour::Night;
    }
    if says(&["opening", "final image", "resolution"]) {
        return if film.chance(0.5) {
            Hour::Dawn
        } else {
            Hour::Dusk
        };
    }
    let through = f64::from(payload.scene.number) / f64::from(payload.scenes.max(1));
    match through {
        ..0.2 => Hour::Dawn,
        ..0.45 => Hour::Day,
        ..0.7 => Hour::Dusk,
        ..0.9 => Hour::Night,
        _ => Hour::Dawn,
    }
}
