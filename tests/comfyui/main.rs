//! Films on the ComfyUI double: killed in the middle, each scene is rendered once, by the server's own count.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail it like the test itself"
)]

mod kills;
mod studio;
mod workers;
