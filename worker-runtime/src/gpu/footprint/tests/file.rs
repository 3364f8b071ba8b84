//! What stays when a program has ended.

use std::fs;

use tempfile::TempDir;

use super::build::{WAN, card, declared, key, memory, roomy_scene, scene};
use crate::gpu::admit::Need;
use crate::gpu::footprint::Footprints;
use crate::gpu::footprint::book::VERSION;

fn files(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_learned_outlives_the_program() {
    let dir = TempDir::new().unwrap();
    let device = card("A6000", 48);
    let before = Footprints::open(dir.path()).unwrap();
    before.observe(&key(&device), &roomy_scene(300)).unwrap();
    let after = Footprints::open(dir.path()).unwrap();
    let need = after.need(&declared(), &key(&device));
    assert_eq!(need, before.need(&declared(), &key(&device)));
    assert!(memory(need).peak > WAN.peak);
    assert_eq!(files(&dir), ["footprints.json", "footprints.lock"]);
}

#[test]
fn several_workers_learn_into_one_file_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let footprints = Footprints::open(dir.path()).unwrap();
            std::thread::spawn(move || {
                for job in 0..10 {
                    let device = card(&format!("card {worker}-{job}"), 24);
                    footprints.observe(&key(&device), &scene(150)).unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let footprints = Footprints::open(dir.path()).unwrap();
    for worker in 0..4 {
        for job in 0..10 {
            let device = card(&format!("card {worker}-{job}"), 24);
            let usual = footprints.usual(&"wan".parse().unwrap(), &device);
            assert!(usual.is_some(), "{worker}-{job}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside_and_learning_begins_anew() {
    let device = card("A6000", 48);
    let later = format!(r#"{{"version": {}, "something": "new"}}"#, VERSION + 1);
    for unreadable in ["", "{", "[]", r#"{"version": 1}"#, &later] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("footprints.json");
        fs::write(&path, unreadable).unwrap();
        let footprints = Footprints::open(dir.path()).unwrap();
        let need = footprints.need(&declared(), &key(&device));
        assert_eq!(need, Need::declared(&declared()));
        let aside: Vec<_> = files(&dir)
            .into_iter()
            .filter(|name| name.starts_with("footprints.unreadable-"))
            .collect();
        assert_eq!(aside.len(), 1, "{unreadable}");
        assert_eq!(
            fs::read_to_string(dir.path().join(&aside[0])).unwrap(),
            unreadable
        );
        footprints
            .observe(&key(&device), &roomy_scene(300))
            .unwrap();
        assert!(memory(footprints.need(&declared(), &key(&device))).peak > WAN.peak);
    }
}

#[test]
fn half_a_file_of_a_killed_worker_is_of_no_consequence() {
    let dir = TempDir::new().unwrap();
    let device = card("A6000", 48);
    let footprints = Footprints::open(dir.path()).unwrap();
    footprints
        .observe(&key(&device), &roomy_scene(300))
        .unwrap();
    fs::write(dir.path().join("footprints.new"), "{\"version\":").unwrap();
    assert!(memory(footprints.need(&declared(), &key(&device))).peak > WAN.peak);
    footprints
        .observe(&key(&device), &roomy_scene(300))
        .unwrap();
    assert_eq!(files(&dir), ["footprints.json", "footprints.lock"]);
}

#[test]
fn a_disk_that_does_not_take_it_is_told_and_the_need_is_the_declared_one() {
    let dir = TempDir::new().unwrap();
    let footprints = Footprints::open(dir.path()).unwrap();
    // A folder in the file's place can be neither read nor replaced.
    fs::create_dir_all(dir.path().join("footprints.json/x")).unwrap();
    let device = card("A6000", 48);
    assert!(
        footprints
            .observe(&key(&device), &roomy_scene(300))
            .is_err()
    );
    assert_eq!(
        footprints.need(&declared(), &key(&device)),
        Need::declared(&declared())
    );
}
