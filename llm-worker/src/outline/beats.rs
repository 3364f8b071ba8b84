//! The beats of a story: what each is called, how it may be told and filmed, and which of them a short film keeps.

use shared::story::Camera::{self, PanLeft, PanRight, PullOut, PushIn, Static, TiltDown, TiltUp};

/// One beat. Texts hold the places that [`super::phrase`] fills.
#[derive(Debug)]
pub(super) struct Beat {
    /// Its name in the trade.
    pub(super) name: &'static str,
    /// How early a short film needs it: a film of n scenes keeps the beats of rank 1 to n.
    rank: u32,
    /// Titles for its scene.
    pub(super) titles: &'static [&'static str],
    /// What may be seen. No verb agrees with what comes from the premise, so that one and many fit alike.
    pub(super) actions: &'static [&'static str],
    /// How the picture is framed.
    pub(super) framing: &'static str,
    /// What moves.
    pub(super) motion: &'static str,
    /// Camera moves that suit it.
    pub(super) cameras: &'static [Camera],
    /// Whether the other one is seen too.
    pub(super) both: bool,
}

/// The beats of a film of that many scenes, in the order of the story.
pub(super) fn spread(scenes: u32) -> Vec<&'static Beat> {
    BEATS.iter().filter(|beat| beat.rank <= scenes).collect()
}

/// All beats in the order of the story.
pub(super) const BEATS: [Beat; 24] = [
    Beat {
        name: "Opening image",
        rank: 1,
        titles: &[
            "Before Anything",
            "The First Hour",
            "An Ordinary Sky",
            "Here, Alone",
        ],
        actions: &[
            "{Who}, small {at}, with all of the sky to look at.",
            "{At}, before anyone else is awake: {who} and {a thing}, and nothing that wants doing.",
            "Long shadows {at}. At the far end of them, {who}, in no hurry.",
        ],
        framing: "wide establishing shot, a small figure in a large landscape",
        motion: "clouds drift, light slowly spreads over the ground",
        cameras: &[PushIn, PanRight, TiltDown],
        both: false,
    },
    Beat {
        name: "Set-up",
        rank: 7,
        titles: &[
            "The Daily Round",
            "Small Chores",
            "Habits",
            "The Same as Yesterday",
        ],
        actions: &[
            "Routine {at}: {thing} cleaned, tested and put back, by {who}, for the thousandth time.",
            "{Who}, at work {at}. {Thing} lies exactly where it lay yesterday.",
            "A cup, a window, {a thing}. {Who}, going through the day by heart.",
        ],
        framing: "medium shot, everyday objects laid out in the foreground",
        motion: "small practised movements, dust turning in the light",
        cameras: &[PanLeft, PanRight, Static],
        both: false,
    },
    Beat {
        name: "Theme stated",
        rank: 16,
        titles: &[
            "A Thing Someone Said",
            "Written Underneath",
            "The Old Warning",
            "Words on the Wall",
        ],
        actions: &[
            "Scratched into the underside of {thing}: a line of old handwriting. {Who}, reading it twice.",
            "An old photograph {at}, and on its back one sentence that {who} would rather not have seen.",
        ],
        framing: "close-up of a detail, shallow depth of field",
        motion: "a hand-held light passes slowly over the surface",
        cameras: &[PushIn, TiltDown],
        both: false,
    },
    Beat {
        name: "Longing",
        rank: 19,
        titles: &[
            "Something Missing",
            "The Empty Chair",
            "Looking Out",
            "The Far Side",
        ],
        actions: &[
            "{Who}, looking past {thing} at a light on the far side, as every evening.",
            "Two places laid {at}, and only {who} to fill them.",
        ],
        framing: "over-the-shoulder shot towards a distant light",
        motion: "almost still, only the distant light flickers",
        cameras: &[PushIn, Static],
        both: false,
    },
    Beat {
        name: "Catalyst",
        rank: 2,
        titles: &[
            "The Arrival",
            "Something at the Door",
            "The Night It Came",
            "A Knock",
        ],
        actions: &[
            "Everything stops: there, {at}, for the first time, {other}. {Who}, {thing} still in hand.",
            "A sound that does not belong {at}. {Who}, turning; and behind the dark, {other}.",
            "{Thing} falls and rolls. Where it comes to rest, {other}, and {who} cannot look away.",
        ],
        framing: "dramatic reveal, strong backlight, two presences facing each other",
        motion: "a sudden gust, loose things lift and settle",
        cameras: &[PushIn, TiltUp],
        both: true,
    },
    Beat {
        name: "Debate",
        rank: 9,
        titles: &[
            "Not Yet",
            "Pacing",
            "The Door Half Open",
            "A Night to Decide",
        ],
        actions: &[
            "A door half open {at}. {Who}, one step towards it, one step back.",
            "{Who}, awake until the lamp burns low, turning {thing} over and over.",
        ],
        framing: "medium close-up, a half-open door splitting the frame",
        motion: "a shadow paces back and forth across the wall",
        cameras: &[PanLeft, Static, PushIn],
        both: false,
    },
    Beat {
        name: "Refusal",
        rank: 20,
        titles: &["Shutters Closed", "No", "Pretending", "Turned Away"],
        actions: &[
            "Shutters drawn {at}. Outside, {other}, waiting; inside, {who}, not answering.",
            "{Who}, walking the other way, a little too quickly, {thing} left behind.",
        ],
        framing: "figure seen from behind, a closed line between two spaces",
        motion: "shutters swing to, a strip of light narrows and goes out",
        cameras: &[PullOut, PanRight],
        both: true,
    },
    Beat {
        name: "Crossing",
        rank: 8,
        titles: &[
            "Over the Threshold",
            "The First Step",
            "Leaving the Light On",
            "Out",
        ],
        actions: &[
            "{Who}, crossing the last safe line {at}, {thing} held up like a lamp.",
            "One step, then another: {who}, out {at}, and no light behind any more.",
        ],
        framing: "low angle from behind, the way ahead opening wide",
        motion: "steady walking movement away from the camera",
        cameras: &[PushIn, PanRight, TiltUp],
        both: false,
    },
    Beat {
        name: "New world",
        rank: 13,
        titles: &[
            "Other Rules",
            "Where Nothing Is Still",
            "The Strange Hour",
            "Upside Down",
        ],
        actions: &[
            "Nothing keeps its size {at}: {thing} looms like a tower, and {who} goes carefully underneath.",
            "Colours that have no names {at}. {Who}, learning how to walk again.",
        ],
        framing: "wide shot with an unusual scale, foreground object towering",
        motion: "slow floating particles, everything drifts a little",
        cameras: &[TiltUp, PanLeft, PanRight],
        both: false,
    },
    Beat {
        name: "Ally",
        rank: 11,
        titles: &[
            "Side by Side",
            "A Shared Meal",
            "The Second Shadow",
            "Company",
        ],
        actions: &[
            "Two shadows {at} where there was one: {who} and {other}, keeping the same pace.",
            "{Who} and {other}, sharing the warmth of one small fire {at}. Nobody says anything, and it is enough.",
        ],
        framing: "two-shot at eye level, warm light from below",
        motion: "firelight flickers on both, gentle breathing movement",
        cameras: &[PushIn, PanLeft, Static],
        both: true,
    },
    Beat {
        name: "Promise",
        rank: 10,
        titles: &["Good Days", "The Game", "Faster", "What It Can Do"],
        actions: &[
            "A chase {at}, for the joy of it: {other} ahead, {who} close behind, {thing} flung high and caught.",
            "{Who}, laughing for the first time, while {other} turns {thing} into a toy.",
        ],
        framing: "dynamic diagonal composition, figures in full motion",
        motion: "quick playful movement across the frame, things whirl up",
        cameras: &[PanRight, PanLeft],
        both: true,
    },
    Beat {
        name: "First trial",
        rank: 17,
        titles: &[
            "Harder Than It Looked",
            "The First Test",
            "Slipping",
            "Hold Tight",
        ],
        actions: &[
            "The ground gives way {at}. {Who}, holding on by {thing} alone.",
            "A narrow way, a long drop, {who} halfway along it, and {thing} swinging from one hand.",
        ],
        framing: "high angle looking down past the figure into the drop",
        motion: "a strong sway from side to side, small stones fall",
        cameras: &[TiltDown, PushIn],
        both: false,
    },
    Beat {
        name: "Small victory",
        rank: 21,
        titles: &["It Works", "A Light in Return", "Almost Easy", "The Answer"],
        actions: &[
            "{Thing} sparks, catches, shines. {At}, {who}, both arms in the air.",
            "Far away a light answers, three times. {Who}, counting aloud {at}.",
        ],
        framing: "medium shot, face lit from below by a new light",
        motion: "a light flares up and settles into a steady glow",
        cameras: &[PullOut, TiltUp],
        both: false,
    },
    Beat {
        name: "Midpoint",
        rank: 6,
        titles: &[
            "Face to Face",
            "The Top of the World",
            "Everything at Once",
            "The Whole Truth",
        ],
        actions: &[
            "High above everything, {who} and {other}, face to face. For one breath it could go either way.",
            "{At}, {other} shows what was hidden all along, and the whole place is lit by it. {Who}, very still.",
            "The view opens {at}: all the way they came, {who} and {other}, and how far it still is.",
        ],
        framing: "grand symmetrical composition, two presences at the centre",
        motion: "light swells outward from the centre",
        cameras: &[PullOut, TiltUp, PushIn],
        both: true,
    },
    Beat {
        name: "Turn",
        rank: 22,
        titles: &[
            "The Wind Changes",
            "A Crack",
            "One Wrong Note",
            "The Colour Goes",
        ],
        actions: &[
            "A hairline crack runs through {thing}. {Who}, pretending not to see it.",
            "The colour goes out of the day {at}, a little at a time, and {who} with it. No word from {other}.",
        ],
        framing: "close-up with a disturbing detail off centre",
        motion: "light fades by degrees, a crack slowly lengthens",
        cameras: &[PushIn, PanLeft],
        both: false,
    },
    Beat {
        name: "Closing in",
        rank: 12,
        titles: &["Closing In", "Less Room", "What Follows", "From All Sides"],
        actions: &[
            "Less room with every step {at}: walls, weather, {other}. {Who}, looking for a way that is still open.",
            "Lights come up one after the other, on every side. In the middle of them, {who}, {thing} held close.",
        ],
        framing: "claustrophobic framing, dark shapes closing from the edges",
        motion: "shadows creep in from both sides of the frame",
        cameras: &[PushIn, TiltDown],
        both: false,
    },
    Beat {
        name: "Parting",
        rank: 18,
        titles: &["Two Roads", "What Was Said", "Backs Turned", "The Quarrel"],
        actions: &[
            "{Who} and {other}, back to back {at}, and between them {thing}, broken in two.",
            "A fork in the way. {Other}, going left; {who}, going right; neither looking round.",
        ],
        framing: "wide two-shot, a strong line dividing the frame",
        motion: "two figures move slowly apart towards the edges",
        cameras: &[PullOut, Static],
        both: true,
    },
    Beat {
        name: "All is lost",
        rank: 4,
        titles: &[
            "The Light Goes Out",
            "What the Dark Kept",
            "Nothing Left",
            "Too Late",
        ],
        actions: &[
            "{Thing} goes dark. {At}, {who}, on the ground, and {other} nowhere to be seen.",
            "Wreckage {at}. In the middle of it {who}, with one half of {thing}, listening for {other}.",
            "Where {other} was: an empty place, {at}. {Who}, arriving too late, out of breath.",
        ],
        framing: "high wide shot, a lone figure among wreckage, deep shadow",
        motion: "ash and rain fall straight down, nothing else moves",
        cameras: &[PullOut, TiltDown],
        both: false,
    },
    Beat {
        name: "Dark night",
        rank: 14,
        titles: &[
            "The Long Night",
            "Three in the Morning",
            "Without a Sound",
            "Waiting It Out",
        ],
        actions: &[
            "One window of light {at}, and behind it {who}, not sleeping.",
            "{Who}, sitting with {thing} in the dark {at} until the dark is simply where one sits.",
        ],
        framing: "very dark frame with one small pool of light",
        motion: "a single flame trembles, shadows breathe on the wall",
        cameras: &[Static, PushIn],
        both: false,
    },
    Beat {
        name: "Token",
        rank: 23,
        titles: &["What Was Left", "In the Lining", "The Other Half", "A Sign"],
        actions: &[
            "Under the broken pieces, unharmed: {a thing}, with a mark that only {other} could have made. {Who}, holding it to the light.",
            "{Who}, finding {a thing} {at}, still warm.",
        ],
        framing: "extreme close-up, a small glowing object in the dark",
        motion: "the object is turned slowly, a reflection slides across it",
        cameras: &[PushIn, TiltDown],
        both: false,
    },
    Beat {
        name: "Resolve",
        rank: 15,
        titles: &["Standing Up", "Once More", "The Plan", "Boots On"],
        actions: &[
            "{Who}, on both feet again {at}, tying {thing} fast. First grey light.",
            "A map drawn with one finger in the dust {at}. {Who}, nodding at it, and off.",
        ],
        framing: "low angle, a figure rising into the first light",
        motion: "the figure rises, a coat or cloth lifts in the wind",
        cameras: &[TiltUp, PushIn],
        both: false,
    },
    Beat {
        name: "Gathering",
        rank: 24,
        titles: &[
            "Everything We Have",
            "The Long Way Back",
            "All Hands",
            "Getting Ready",
        ],
        actions: &[
            "Everything that was learned on the way laid out {at}: a rope, a tune, {thing}. {Who}, packing it piece by piece.",
            "Back along the whole way at a run: {who}, past every place we know.",
        ],
        framing: "overhead shot of objects arranged with care",
        motion: "hands or tools place one object after another",
        cameras: &[PanRight, TiltDown],
        both: false,
    },
    Beat {
        name: "Finale",
        rank: 5,
        titles: &[
            "Into the Heart of It",
            "The Last Stand",
            "All or Nothing",
            "The Calling",
        ],
        actions: &[
            "The heart of it, {at}: {who}, walking straight towards {other}, {thing} held high and shining.",
            "Noise, light, {other} on every side; and in the middle {who}, arms open, not giving way.",
            "{Who} lets go of {thing}. It rises, it turns, and {other} comes to meet it.",
        ],
        framing: "epic shot, figure silhouetted against overwhelming light",
        motion: "everything swirls around a calm centre, light breaks through",
        cameras: &[PushIn, TiltUp],
        both: true,
    },
    Beat {
        name: "Final image",
        rank: 3,
        titles: &[
            "Morning After",
            "The Same Place, Changed",
            "A Second Cup",
            "What Stays",
        ],
        actions: &[
            "The first picture again, {at}; but now {who} and {other}, side by side, with all of the sky to look at.",
            "{At}, in a new light: {who}, not alone any more, and {thing} mended with a bright seam.",
            "Long shadows {at}, two of them. {Who} and {other}, in no hurry.",
        ],
        framing: "wide shot that mirrors the opening, now in warm light",
        motion: "clouds drift, the light grows slowly warmer",
        cameras: &[PullOut, PanLeft, TiltUp],
        both: true,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_film_of_any_length_begins_and_ends_and_grows_by_one_beat_at_a_time() {
        for scenes in 3..=24 {
            let beats = spread(scenes);
            assert_eq!(beats.len(), scenes as usize);
            assert_eq!(beats[0].name, "Opening image");
            assert_eq!(beats[beats.len() - 1].name, "Final image");
            assert!(beats.iter().any(|beat| beat.name == "Catalyst"));
        }
        let six: Vec<_> = spread(6).iter().map(|beat| beat.name).collect();
        assert_eq!(
            six,
            [
                "Opening image",
                "Catalyst",
                "Midpoint",
                "All is lost",
                "Finale",
                "Final image"
            ]
        );
    }

    #[test]
    fn every_beat_has_a_camera_to_change_to_and_speaks_of_its_hero() {
        for beat in &BEATS {
            assert!(
                beat.cameras.len() >= 2 && beat.cameras[0] != beat.cameras[1],
                "{}",
                beat.name
            );
            for action in beat.actions {
                assert!(action.to_lowercase().contains("{who}"), "{action}");
            }
        }
    }

    #[test]
    fn no_title_belongs_to_two_beats() {
        let mut titles: Vec<_> = BEATS.iter().flat_map(|beat| beat.titles).collect();
        let all = titles.len();
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), all);
    }
}
