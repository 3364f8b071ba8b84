use serde_json::{Value, json};

use super::*;

fn order(scenes: u32) -> Order {
    Order {
        premise: "A lighthouse keeper befriends a storm".to_owned(),
        title: None,
        scenes,
        seconds: 4.0,
        seed: 7,
        context: 8_192,
        temperature: 0.8,
    }
}

fn bible() -> Value {
    json!({
        "title": " The Keeper ",
        "logline": "A keeper and a storm become friends.",
        "look": "Watercolour, grey light",
        "characters": [
            {"name": "Ada", "description": "a woman of sixty in a yellow coat"},
            {"name": "The Storm", "description": "a tower of dark cloud with two bright eyes"},
        ],
        "places": [{"name": "Lighthouse", "description": "a white tower on black rock"}],
        "beginning": "They meet.", "middle": "They quarrel.", "end": "They part.",
    })
}

fn shot(number: usize) -> Value {
    let word = [
        "apple", "barrel", "candle", "drum", "ember", "feather", "glove", "harp", "iron", "jar",
        "kite", "lamp",
    ];
    let word = word[number % word.len()];
    json!({
        "title": format!("The {word}"), "place": "Lighthouse", "characters": ["Ada"],
        "action": format!("She lifts the {word} and looks at it for long."),
        "image": format!("Close on a hand with the {word}"),
        "motion": "The hand rises", "camera": "push-in",
    })
}

fn shots(numbers: impl IntoIterator<Item = usize>) -> Value {
    json!({"scenes": numbers.into_iter().map(shot).collect::<Vec<_>>()})
}

fn whole(value: &Value) -> Said {
    Said::Whole(value.to_string())
}

fn asked(draft: &Draft) -> Ask {
    match draft.next().unwrap() {
        Next::Ask(ask) => *ask,
        Next::Done(story) => panic!("done: {story:?}"),
    }
}

/// A model that answers all that it is asked, as well as it can.
fn finished(draft: &mut Draft) -> Story {
    loop {
        match draft.next().unwrap() {
            Next::Done(story) => return *story,
            Next::Ask(ask) if ask.name == "bible" => draft.answer(whole(&bible())).unwrap(),
            Next::Ask(ask) => {
                let Schema::Object(fields) = ask.schema else {
                    panic!()
                };
                let Schema::List { most, .. } = fields[0].1 else {
                    panic!()
                };
                let first = draft.shots.len();
                draft.answer(whole(&shots(first..first + most))).unwrap();
            }
        }
    }
}

#[test]
fn a_story_has_the_scenes_and_the_length_that_were_asked_for() {
    for scenes in [3, 4, 5, 9, 12] {
        let story = finished(&mut Draft::new(order(scenes)));
        assert_eq!(story.scenes.len(), scenes as usize);
        let numbers: Vec<u32> = story.scenes.iter().map(|scene| scene.number).collect();
        assert_eq!(numbers, (1..=scenes).collect::<Vec<_>>());
        let length: f64 = story.scenes.iter().map(|scene| scene.seconds).sum();
        assert_eq!(length, f64::from(scenes) * 4.0);
        assert_eq!(story.title, "The Keeper");
    }
    let mut titled = order(3);
    titled.title = Some("Mine".to_owned());
    assert_eq!(finished(&mut Draft::new(titled)).title, "Mine");
}

#[test]
fn descriptions_go_word_for_word_into_every_prompt_that_shows_them_and_into_no_other() {
    let mut draft = Draft::new(order(3));
    draft.answer(whole(&bible())).unwrap();
    let mut scenes = shots(0..3);
    scenes["scenes"][1]["characters"] = json!(["The Storm", "Ada"]);
    draft.answer(whole(&scenes)).unwrap();
    let Next::Done(story) = draft.next().unwrap() else {
        panic!()
    };
    let ada = "a woman of sixty in a yellow coat";
    let storm = "a tower of dark cloud with two bright eyes";
    for scene in &story.scenes {
        for prompt in [&scene.image_prompt, &scene.motion_prompt] {
            assert!(prompt.contains(ada), "{prompt}");
            assert_eq!(prompt.contains(storm), scene.number == 2, "{prompt}");
        }
        assert!(scene.image_prompt.contains("a white tower on black rock"));
        assert!(scene.image_prompt.contains("Watercolour, grey light"));
        assert!(scene.image_prompt.chars().count() <= 2_000);
    }
}

#[test]
fn scenes_are_told_the_bible_and_the_scenes_before_them() {
    let mut draft = Draft::new(order(6));
    draft.answer(whole(&bible())).unwrap();
    draft.answer(whole(&shots(0..4))).unwrap();
    let ask = asked(&draft);
    let text = ask.turns[0].text();
    for expected in [
        "a tower of dark cloud",
        "They quarrel.",
        "4. The drum: She lifts",
        "Write scenes 5 to 6",
        "the end",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(draft.written(), 4);
}

#[test]
fn a_mistake_is_shown_to_the_model_once_and_then_the_attempt_fails_with_the_evidence() {
    let mut bad = bible();
    bad["title"] = json!("x".repeat(61));
    for bad in [whole(&bad), Said::Whole("Here is the story: {}".to_owned())] {
        let Said::Whole(text) = bad.clone() else {
            panic!()
        };
        let mut draft = Draft::new(order(3));
        let first = asked(&draft);
        draft.answer(bad.clone()).unwrap();
        let second = asked(&draft);
        assert_eq!((first.turns.len(), second.turns.len()), (1, 3));
        assert_eq!(second.turns[1], Turn::Model(text.clone()));
        let told = second.turns[2].text();
        assert!(
            told.contains("`title` has 61 characters") || told.contains("no JSON"),
            "{told}"
        );
        assert_ne!(first.seed, second.seed);
        let mut lucky = draft.clone();
        finished(&mut lucky);
        let failure = draft.answer(bad).unwrap_err();
        assert_eq!(failure.kind, FailureKind::RejectedContent);
        let begin: String = text.chars().take(10).collect();
        assert!(
            failure
                .message
                .contains(begin.trim_start_matches('{').trim_matches('"')),
            "{failure}"
        );
        assert!(failure.message.len() < 800, "{failure}");
    }
}

#[test]
fn each_step_has_a_second_try_of_its_own() {
    let mut draft = Draft::new(order(8));
    let nonsense = || Said::Whole("?".to_owned());
    draft.answer(nonsense()).unwrap();
    draft.answer(whole(&bible())).unwrap();
    draft.answer(nonsense()).unwrap();
    draft.answer(whole(&shots(0..4))).unwrap();
    draft.answer(nonsense()).unwrap();
    assert!(draft.answer(nonsense()).is_err());
}

#[test]
fn what_the_schema_cannot_say_is_checked_all_the_same() {
    let mut twins = bible();
    twins["characters"][1]["name"] = json!("ADA");
    let mut draft = Draft::new(order(3));
    draft.answer(whole(&twins)).unwrap();
    let told = asked(&draft).turns[2].text().to_owned();
    assert!(
        told.contains("two characters have the name \"ADA\""),
        "{told}"
    );

    let mut stranger = shots(0..3);
    stranger["scenes"][2]["characters"] = json!(["Bob"]);
    let mut repeated = shots(0..3);
    repeated["scenes"][2]["action"] = json!("she lifts: the APPLE, and looks at it for long");
    for (bad, expected) in [
        (
            stranger,
            "`scenes[2].characters[0]` is none of: Ada, The Storm",
        ),
        (repeated, "scene 3 shows the same as scene 1"),
        (shots(0..2), "`scenes` has 2 items; exactly 3 are needed"),
        (shots(0..4), "`scenes` has 4 items; exactly 3 are needed"),
    ] {
        let mut draft = Draft::new(order(3));
        draft.answer(whole(&bible())).unwrap();
        draft.answer(whole(&bad)).unwrap();
        assert_eq!(draft.written(), 0, "{bad}");
        let told = asked(&draft).turns[2].text().to_owned();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_character_that_is_named_twice_in_a_scene_is_in_it_once() {
    let mut draft = Draft::new(order(3));
    draft.answer(whole(&bible())).unwrap();
    let mut doubled = shots(0..3);
    doubled["scenes"][2]["characters"] = json!(["The Storm", "Ada"]);
    doubled["scenes"][1]["characters"] = json!(["Ada", "Ada"]);
    draft.answer(whole(&doubled)).unwrap();
    let Next::Done(story) = draft.next().unwrap() else {
        panic!()
    };
    assert_eq!(story.scenes[1].characters, ["Ada"]);
    assert_eq!(story.scenes[2].characters, ["The Storm", "Ada"]);
    let prompt = &story.scenes[1].image_prompt;
    assert_eq!(prompt.matches("a woman of sixty").count(), 1, "{prompt}");
}

#[test]
fn a_scene_that_repeats_one_of_an_earlier_batch_is_found() {
    let mut draft = Draft::new(order(6));
    draft.answer(whole(&bible())).unwrap();
    draft.answer(whole(&shots(0..4))).unwrap();
    draft.answer(whole(&shots([2, 5]))).unwrap();
    let told = asked(&draft).turns[2].text().to_owned();
    assert!(told.contains("scene 5 shows the same as scene 3"), "{told}");
}

#[test]
fn a_cut_answer_is_asked_for_again_with_more_room_or_in_smaller_parts_and_only_once() {
    let mut draft = Draft::new(order(6));
    let first = asked(&draft);
    draft.answer(Said::Cut).unwrap();
    let second = asked(&draft);
    assert!(second.max_tokens > first.max_tokens && second.turns.len() == 1);
    assert_eq!(
        draft.clone().answer(Said::Cut).unwrap_err().kind,
        FailureKind::RejectedContent
    );
    draft.answer(whole(&bible())).unwrap();
    draft.answer(Said::Cut).unwrap();
    assert!(
        asked(&draft).turns[0]
            .text()
            .contains("Write scenes 1 to 2,")
    );
    finished(&mut draft);
}

#[test]
fn questions_and_answers_fit_the_context_or_the_failure_says_what_does_not() {
    let fits = |ask: &Ask, context: u32| {
        let said: u32 = ask.turns.iter().map(|turn| tokens(turn.text())).sum();
        assert!(
            said + tokens(&ask.system) + ask.max_tokens <= context,
            "{context}: {ask:?}"
        );
    };
    let mut long = order(24);
    long.premise = "A keeper and a storm. ".repeat(360);
    let mut draft = Draft::new(long.clone());
    fits(&asked(&draft), 8_192);
    draft.answer(whole(&bible())).unwrap();
    // A long answer with a mistake must not push the question out of the context.
    draft.answer(Said::Whole("x".repeat(18_000))).unwrap();
    let again = asked(&draft);
    fits(&again, 8_192);
    assert!(again.turns.len() == 1 && again.turns[0].text().contains("no JSON"));
    draft.answer(whole(&shots(0..4))).unwrap();
    long.context = 4_096;
    let failure = Draft::new(long).next().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(
        failure.message.contains("4096 tokens") && failure.message.contains("7920 characters"),
        "{failure}"
    );
    let mut small = Draft::new(Order {
        context: 2_000,
        ..order(5)
    });
    small.answer(whole(&bible())).unwrap();
    let ask = asked(&small);
    fits(&ask, 2_000);
    assert!(
        ask.turns[0].text().contains("Write scenes 1 to 3,"),
        "{}",
        ask.turns[0].text()
    );
}

#[test]
fn the_same_order_asks_the_same_and_another_seed_another() {
    let seeds = |seed| {
        let mut draft = Draft::new(Order { seed, ..order(6) });
        let first = asked(&draft);
        draft.answer(whole(&bible())).unwrap();
        (first.seed, asked(&draft).seed)
    };
    assert_eq!(seeds(7), seeds(7));
    assert_ne!(seeds(7).0, seeds(8).0);
    assert_ne!(seeds(7).0, seeds(7).1);
}
