//! Tells a story from a premise: beats, filled with what the premise and its world offer.

use shared::story::{Camera, Character, Scene, Story};

use super::beats::{self, Beat};
use super::draws::Draws;
use super::moods;
use super::phrase::{Noun, capitalised, fill, title_case, with_article};
use super::premise::{Premise, clip};
use super::worlds::{self, World};
use crate::prompts::{NEGATIVE_PROMPT, camera_phrase};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order<'a> {
    /// What the film is about.
    pub(super) premise: &'a str,
    /// Its title, if the film-maker gave one.
    pub(super) title: Option<&'a str>,
    /// How many scenes, 3 to 24.
    pub(super) scenes: u32,
    /// Length of each in seconds.
    pub(super) seconds: f64,
    /// The film's seed.
    pub(super) seed: u64,
}

/// The story for an order; always the same one for the same order.
pub(super) fn story(order: Order<'_>) -> Story {
    let premise = Premise::read(order.premise);
    let mut draws = Draws::new(order.seed, order.premise);
    let cast = Cast::draw(&premise, &mut draws);
    let look = moods::look(&premise.words, &mut draws);
    let title = title(&premise, &cast, &mut draws);
    let logline = logline(&premise, &cast, &mut draws);
    let mut teller = Teller::new(&premise, &cast, &look, draws);
    let scenes = (1..)
        .zip(beats::spread(order.scenes))
        .map(|(number, beat)| teller.scene(number, beat, order.seconds))
        .collect();
    Story {
        title: order.title.map_or(title, str::to_owned),
        logline,
        look,
        characters: cast.characters(),
        scenes,
    }
}

/// Who and what the story is made of.
#[derive(Debug)]
struct Cast {
    who: Noun,
    other: Noun,
    /// Whether the premise itself spoke of the other.
    other_is_given: bool,
    /// What one knows `who` by in every picture.
    mark: &'static str,
    thing: &'static str,
    world: &'static World,
}

/// Fits people, animals and machines alike.
const MARKS: &[&str] = &[
    "a red woollen scarf",
    "a patched blue coat",
    "a tin whistle on a string",
    "a yellow raincoat two sizes too large",
    "a white streak on one side",
    "round spectacles mended with wire",
    "a green feather behind one ear",
    "a grey cape with a brass button",
    "a striped jersey",
    "one glove, never two",
];

const STRANGERS: &[&str] = &[
    "wanderer",
    "night watch",
    "newcomer",
    "keeper of small things",
    "cartographer",
    "listener",
];

impl Cast {
    fn draw(premise: &Premise, draws: &mut Draws) -> Self {
        let world = draws.pick(&worlds::fitting(&premise.words));
        let stranger = Noun::new("the", draws.pick(STRANGERS));
        let other = Noun::new("the", draws.pick(world.others));
        Self {
            who: premise.who.clone().unwrap_or(stranger),
            other_is_given: premise.other.is_some(),
            other: premise.other.clone().unwrap_or(other),
            mark: draws.pick(MARKS),
            thing: draws.pick(world.things),
            world,
        }
    }

    fn characters(&self) -> Vec<Character> {
        let mut characters = vec![Character {
            name: self.who.titled(),
            description: format!("{}, known by {}", self.who, self.mark),
        }];
        if self.other_is_given && self.other.titled() != self.who.titled() {
            characters.push(Character {
                name: self.other.titled(),
                description: format!(
                    "{}, larger than expected and never quite in focus",
                    self.other
                ),
            });
        }
        characters
    }
}

fn title(premise: &Premise, cast: &Cast, draws: &mut Draws) -> String {
    const UNDERSTOOD: &[&str] = &[
        "{who} and {other}",
        "{other} and {the thing}",
        "{a thing} for {other}",
        "What {other} Left Behind",
        "The {Bare} Who Stayed",
        "{the thing} Remembers",
        "All That {other} Took",
        "{other} at {Time}",
        "{time} with {other}",
        "{the thing} at {Time}",
        "{who}, {time}",
        "Letters to {other}",
        "How {who} Lost {the thing}",
        "{a thing} at {Time}",
        "{who}, {place}",
        "The Night {other} Came",
        "{who} at {Time}",
    ];
    const QUOTED: &[&str] = &[
        "{gist}: {time}",
        "{gist} and {the thing}",
        "{gist}, {place}",
        "{the thing}, or {gist}",
        "{time} after {gist}",
        "{gist}: {the thing}",
        "{time}, {gist}",
        "{gist} at {Time}",
    ];
    const TIMES: &[&str] = &[
        "Midnight",
        "Daybreak",
        "Dusk",
        "Noon",
        "Nightfall",
        "Sunrise",
        "Midwinter",
        "Midsummer",
        "Twilight",
        "Dawn",
    ];
    let understood = premise.who.is_some();
    let template = draws.pick(if understood { UNDERSTOOD } else { QUOTED });
    let gist = clip(premise.gist.trim_end_matches(['.', '!', '?', ' ']), 48);
    let title = fill(
        template,
        &[
            ("who", cast.who.titled().as_str()),
            ("other", cast.other.titled().as_str()),
            ("bare", cast.who.titled_bare().as_str()),
            (
                "the thing",
                title_case(&format!("the {}", cast.thing)).as_str(),
            ),
            ("a thing", title_case(&with_article(cast.thing)).as_str()),
            ("place", title_case(draws.pick(cast.world.places)).as_str()),
            ("time", draws.pick(TIMES)),
            ("gist", capitalised(&gist).as_str()),
        ],
    );
    mid_title_small(&title)
}

/// Small words within a title are written small, except after a colon.
fn mid_title_small(title: &str) -> String {
    const SMALL: &[&str] = &[
        "The", "A", "An", "In", "On", "At", "Under", "By", "Between", "Beside", "Below", "Beneath",
    ];
    let mut previous = ":";
    let mut words = Vec::new();
    for word in title.split(' ') {
        let is_small = SMALL.contains(&word) && !previous.ends_with(':');
        words.push(if is_small {
            word.to_lowercase()
        } else {
            word.to_owned()
        });
        previous = word;
    }
    words.join(" ")
}

fn logline(premise: &Premise, cast: &Cast, draws: &mut Draws) -> String {
    const ENDS: &[&str] = &[
        "By morning one of them will have to let go.",
        "All there is to hold on to is {a thing}.",
        "What begins as a night's work becomes the story of a life.",
        "It takes {a thing}, some courage and a great deal of patience.",
        "Nobody comes out of it the same, least of all {who}.",
    ];
    let whole = premise
        .gist
        .ends_with(['.', '!', '?', '…', '。', '！', '？']);
    let stop = if whole { "" } else { "." };
    let end = fill(
        draws.pick(ENDS),
        &[
            ("who", &cast.who.to_string()),
            ("a thing", &with_article(cast.thing)),
        ],
    );
    format!("{}{stop} {end}", capitalised(&premise.gist))
}

/// Goes through the beats and remembers what was used.
#[derive(Debug)]
struct Teller<'a> {
    premise: &'a Premise,
    cast: &'a Cast,
    look: &'a str,
    draws: Draws,
    /// Where the film begins and ends.
    home: String,
    places: Vec<&'static str>,
    details: Vec<&'static str>,
    last_camera: Option<Camera>,
}

impl<'a> Teller<'a> {
    fn new(premise: &'a Premise, cast: &'a Cast, look: &'a str, mut draws: Draws) -> Self {
        let places: Vec<&'static str> = draws.shuffled(cast.world.places);
        let details = draws.shuffled(cast.world.details);
        let home = premise
            .place
            .clone()
            .unwrap_or_else(|| places[0].to_owned());
        Self {
            premise,
            cast,
            look,
            draws,
            home,
            places,
            details,
            last_camera: None,
        }
    }

    fn scene(&mut self, number: u32, beat: &Beat, seconds: f64) -> Scene {
        let at_home = ["Opening image", "Final image"].contains(&beat.name);
        let index = number as usize;
        let place = match at_home {
            true => self.home.clone(),
            false => self.places[index % self.places.len()].to_owned(),
        };
        let action = self.draws.pick(beat.actions);
        let seen = self.filled(action, &place);
        let detail = self.details[index % self.details.len()];
        let title = self.draws.pick(beat.titles).to_owned();
        let camera = self.camera(beat);
        let who = &self.cast.characters()[0];
        let from = match self.premise.who {
            Some(_) => String::new(),
            None => format!(
                " From a story about: {}.",
                self.premise.gist.trim_end_matches('.')
            ),
        };
        Scene {
            number,
            title,
            action: format!("{seen} {detail}"),
            beat: beat.name.to_owned(),
            image_prompt: format!(
                "{}. {seen} {}. {detail}{from} {}",
                capitalised(beat.framing),
                capitalised(&who.description),
                capitalised(self.look)
            ),
            motion_prompt: format!("{}; {}", camera_phrase(camera), beat.motion),
            negative_prompt: NEGATIVE_PROMPT.to_owned(),
            camera,
            seconds,
            characters: self
                .cast
                .characters()
                .into_iter()
                .take(1 + usize::from(beat.both))
                .map(|one| one.name)
                .collect(),
        }
    }

    fn filled(&self, text: &str, place: &str) -> String {
        fill(
            text,
            &[
                ("who", &self.cast.who.to_string()),
                ("other", &self.cast.other.to_string()),
                ("thing", &format!("the {}", self.cast.thing)),
                ("a thing", &with_article(self.cast.thing)),
                ("at", place),
            ],
        )
    }

    /// One that suits the beat, and not the one before again.
    fn camera(&mut self, beat: &Beat) -> Camera {
        let fresh: Vec<Camera> = beat
            .cameras
            .iter()
            .copied()
            .filter(|camera| Some(*camera) != self.last_camera)
            .collect();
        let camera = self.draws.pick(&fresh);
        self.last_camera = Some(camera);
        camera
    }
}
