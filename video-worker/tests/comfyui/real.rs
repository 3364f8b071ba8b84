//! The suite on a server of the user's: `cargo xtask conformance comfyui URL` runs it; by itself it is ignored.

use video_worker::comfyui::client::Client;

use crate::suite;

/// Where that server is.
const URL: &str = "CALLSHEET_TEST_COMFYUI";

#[tokio::test]
#[ignore = "it needs a real server: cargo xtask conformance comfyui URL"]
async fn a_real_server_does_what_the_double_does() {
    let url = std::env::var(URL).expect("run this with `cargo xtask conformance comfyui URL`");
    let client = Client::new(&url).unwrap();
    let stats = client.stats().await.unwrap();
    println!(
        "ComfyUI {} on {}, device {}",
        stats.version, stats.os, stats.devices[0].name
    );
    match suite::all(&client).await {
        Some(shown) => println!("{shown} pictures of a sampler with 4 steps"),
        None => println!("no checkpoint, and so no sampler to be shown"),
    }
}
