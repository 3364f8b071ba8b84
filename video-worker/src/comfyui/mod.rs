//! The backend that renders on a ComfyUI server which somebody has already.
//!
//! `client` carries bytes to the server and reads its answers, `render` decides what to do next for a take, the driver does it.
//! What is relied on, how a render is found again and what each sort of trouble comes to stands in `docs/design/comfyui.md`.

mod backend;
pub mod client;
mod collect;
mod driver;
pub mod graph;
mod known;
pub mod render;
mod server;
pub mod settings;
mod still;
pub mod tag;
mod template;

pub use self::backend::{ComfyUi, backends};
pub use self::known::{KnownWorkflow, templates};
pub use self::server::Server;
pub use self::settings::{ComfyUiSettings, server_url};
pub use self::template::{Expects, Filled, Template};
