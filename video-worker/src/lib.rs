//! Makes keyframes, clips and the film. Two backends are built in: the animatic, which draws and films storyboards, and the
//! assembly, which joins clips into a film. Both need ffmpeg and no GPU. A third one, `comfyui`, renders on a server of the user's.

pub mod animatic;
pub mod assembly;
pub mod comfyui;
pub mod conform;
pub mod content_check;
pub mod ffmpeg;
pub mod program;
pub mod settings;
pub mod workflows;

use std::sync::Arc;

use shared::failure::chain;
use worker_runtime::backend::Backend;

use self::animatic::Animatic;
use self::assembly::Assembly;
pub use self::settings::{Settings, VideoSettings};
use self::workflows::Library;

/// The settings with their defaults, commented.
pub const DEFAULT_SETTINGS: &str = include_str!("../config.default.toml");

/// The backends that this worker has: with a ComfyUI server, one for each workflow. A workflow that cannot be read is told of, and
/// keeps nothing else from working.
pub fn backends(settings: &VideoSettings) -> Vec<Arc<dyn Backend>> {
    let mut backends: Vec<Arc<dyn Backend>> = vec![
        Arc::new(Animatic::new(settings.ffmpeg.clone())),
        Arc::new(Assembly::new(settings.ffmpeg.clone())),
    ];
    if settings.comfyui.is_set() {
        let library = Library::load(settings.comfyui.folder()).unwrap_or_else(|error| {
            tracing::error!(
                error = chain(&error),
                "only the workflows that come with the program are used"
            );
            Library::shipped()
        });
        for broken in library.broken() {
            tracing::error!(error = chain(broken), "a workflow cannot be used");
        }
        let templates = comfyui::templates(&library);
        backends.extend(comfyui::backends(
            &settings.comfyui,
            templates,
            &settings.ffmpeg,
        ));
    }
    backends
}
