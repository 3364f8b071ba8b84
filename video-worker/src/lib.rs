//! Makes keyframes, clips and the film. Two backends are built in: the animatic, which draws and films storyboards, and the
//! assembly, which joins clips into a film. Both need ffmpeg and no GPU.

pub mod animatic;
pub mod assembly;
pub mod conform;
pub mod content_check;
pub mod ffmpeg;
pub mod settings;
pub mod workflows;

use std::sync::Arc;

use worker_runtime::backend::Backend;

use self::animatic::Animatic;
use self::assembly::Assembly;
pub use self::settings::{Settings, VideoSettings};

/// The settings with their defaults, commented.
pub const DEFAULT_SETTINGS: &str = include_str!("../config.default.toml");

/// The backends that this worker has.
pub fn backends(settings: &VideoSettings) -> Vec<Arc<dyn Backend>> {
    vec![
        Arc::new(Animatic::new(settings.ffmpeg.clone())),
        Arc::new(Assembly::new(settings.ffmpeg.clone())),
    ]
}
