//! The suite on the double, as both versions.

use std::time::Duration;

use comfyui_double::{Behaviour, Double, Flavour};
use video_worker::comfyui::client::Client;

use crate::suite;

/// Nothing takes no time at all, and not every node is there.
fn real(it: &mut Behaviour) {
    it.node = Duration::from_millis(20);
    it.absent.insert("NoSuchNode".to_owned());
    let checkpoint = vec!["tiny.safetensors".to_owned()];
    it.models.insert("checkpoints".to_owned(), checkpoint);
}

#[tokio::test]
async fn the_double_of_2026_does_what_every_server_does() {
    let double = Double::start(Flavour::New);
    double.behave(real);
    let shown = suite::all(&Client::new(&double.url()).unwrap()).await;
    assert_eq!(shown, Some(4));
}

#[tokio::test]
async fn the_double_of_2025_does_what_every_server_does() {
    let double = Double::start(Flavour::Old);
    double.behave(real);
    let shown = suite::all(&Client::new(&double.url()).unwrap()).await;
    assert_eq!(shown, Some(0), "it does not look what a prompt asks for");
}
