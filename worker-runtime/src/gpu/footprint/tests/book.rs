//! What is known of several profiles, cards and sizes.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::ProfileName;
use shared::profile::{DeviceMemory, ResourceRequest};

use super::build::{
    DRIFT, NOW, TOTAL, WAN, card, declared, gib, key, memory, moment, percent, roomy_scene, scene,
};
use crate::gpu::admit::Need;
use crate::gpu::footprint::book::{Book, Usual};
use crate::gpu::footprint::{Extent, Key, Sample};

#[test]
fn what_was_learned_of_another_version_counts_for_nothing_and_is_kept() {
    let device = card("A100", 80);
    let of = |version: &str| key(&device).made_by(Some(version.to_owned()));
    let mut book = Book::default();
    book.learn(&of("1"), &roomy_scene(300), moment(1));
    let need = |book: &Book, key: &Key| memory(book.need(&declared(), key, NOW));
    assert!(need(&book, &of("1")).peak > WAN.peak);
    for other in [of("2"), key(&device)] {
        assert_eq!(need(&book, &other), WAN);
    }
    book.learn(&of("2"), &roomy_scene(200), moment(2));
    assert!(need(&book, &of("1")).peak > WAN.peak);
    // A file from before there were versions is read.
    let old = serde_json::to_value(key(&device)).unwrap();
    assert!(old.get("made_by").is_none());
    assert_eq!(serde_json::from_value::<Key>(old).unwrap(), key(&device));
}

#[test]
fn jobs_of_about_the_same_size_share_a_key_and_others_do_not() {
    let device = card("RTX 4090", 24);
    let of = |width, height, frames| {
        let extent = Extent {
            width,
            height,
            frames,
        };
        Key::new("wan".parse().unwrap(), device.clone(), extent)
    };
    assert_eq!(of(832, 480, 81), of(848, 480, 90));
    assert_ne!(of(832, 480, 81), of(1280, 720, 81));
    assert_ne!(of(832, 480, 81), of(832, 480, 121));
}

#[test]
fn what_was_learned_counts_for_its_key_alone() {
    let device = card("A6000", 48);
    let mut book = Book::default();
    book.learn(&key(&device), &roomy_scene(300), moment(1));
    assert!(memory(book.need(&declared(), &key(&device), NOW)).peak > WAN.peak);
    let larger = Extent {
        width: 1280,
        height: 720,
        frames: 81,
    };
    let other = Key::new("wan".parse().unwrap(), device, larger);
    assert_eq!(
        book.need(&declared(), &other, NOW),
        Need::declared(&declared())
    );
}

#[test]
fn an_unknown_need_and_work_without_a_device_stay_what_they_are() {
    let device = card("A6000", 48);
    let mut book = Book::default();
    book.learn(&key(&device), &roomy_scene(300), moment(1));
    let contradiction = ResourceRequest {
        device: Some(DeviceMemory {
            load: ByteSize::gib(30),
            ..WAN
        }),
        ..declared()
    };
    assert_eq!(book.need(&contradiction, &key(&device), NOW), Need::Unknown);
    let on_host = ResourceRequest {
        device: None,
        ram: ByteSize::gib(3),
        threads: 8,
    };
    assert_eq!(
        book.need(&on_host, &key(&device), NOW),
        Need::declared(&on_host)
    );
}

#[test]
fn a_new_card_begins_a_tenth_above_what_the_nearest_has_shown() {
    let (small, large, new) = (card("3090", 24), card("A6000", 48), card("L40S", 40));
    let mut book = Book::default();
    book.learn(&key(&small), &scene(210), moment(1));
    // Greed on a roomy card tells nothing of a smaller one.
    book.learn(&key(&large), &roomy_scene(300), moment(2));
    let peak = |book: &Book, device| memory(book.need(&declared(), &key(device), NOW)).peak;
    assert_eq!(peak(&book, &new), WAN.peak);
    let near_small = card("4090", 28);
    let seeded = peak(&book, &near_small);
    assert!(seeded > percent(gib(210), 109), "{seeded}");
    // And never what would keep it from the card.
    assert!(peak(&book, &card("4090", 24)) <= percent(TOTAL, 90));
}

#[test]
fn the_rise_of_foreign_memory_is_learned_for_each_card() {
    let (desktop, headless) = (card("4090", 24), card("A6000", 48));
    let mut book = Book::default();
    assert_eq!(book.drift(&desktop), DRIFT);
    for _ in 0..50 {
        let sample = Sample {
            foreign_rise: ByteSize::mib(900),
            ..scene(150)
        };
        book.learn(&key(&desktop), &sample, moment(1));
        book.learn(&key(&headless), &scene(150), moment(1));
    }
    assert_eq!(book.drift(&desktop), ByteSize::mib(900));
    assert_eq!(book.drift(&headless), DRIFT);
}

#[test]
fn the_usual_times_are_those_of_what_was_made_last() {
    let device = card("4090", 24);
    let mut book = Book::default();
    let profile: ProfileName = "wan".parse().unwrap();
    assert_eq!(book.usual(&profile, &device), None);
    for (seconds, at) in [(60, 1), (50, 2), (55, 3)] {
        let sample = Sample {
            run: Duration::from_secs(seconds),
            ..scene(150)
        };
        book.learn(&key(&device), &sample, moment(at));
    }
    let usual = Usual {
        run: Duration::from_secs(55),
        load: Some(Duration::from_secs(45)),
    };
    assert_eq!(book.usual(&profile, &device), Some(usual));
}

#[test]
fn the_keys_that_were_seen_longest_ago_go_first() {
    let mut book = Book::default();
    let of = |number: u64| key(&card(&format!("card {number}"), 24));
    for number in 0..600 {
        let at = moment(i64::try_from(number).unwrap());
        book.learn(&of(number), &scene(223), at);
    }
    let of_new = |number| book.usual(&"wan".parse().unwrap(), &of(number).device);
    assert_eq!(of_new(99), None);
    assert!(of_new(100).is_some() && of_new(599).is_some());
}
