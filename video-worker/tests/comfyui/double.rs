//! The suite on the double, as both versions.

use comfyui_double::{Double, Flavour};
use video_worker::comfyui::client::Client;

use crate::suite;

#[tokio::test]
async fn the_double_of_2026_does_what_every_server_does() {
    let double = Double::start(Flavour::New);
    suite::all(&Client::new(&double.url()).unwrap()).await;
}

#[tokio::test]
async fn the_double_of_2025_does_what_every_server_does() {
    let double = Double::start(Flavour::Old);
    suite::all(&Client::new(&double.url()).unwrap()).await;
}
