//! By which method a server makes pictures of what it samples.

use serde::{Deserialize, Serialize};

/// The methods that ComfyUI has, as a prompt names them (`extra_data.preview_method`, since 0.5.0). An older server shows what it was
/// started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PreviewMethod {
    /// No pictures.
    None,
    /// Whatever the server thinks best.
    #[default]
    Auto,
    /// Colours worked out from the latent image: rough, and next to free.
    Latent2rgb,
    /// By a small decoder that the server must have: finer, and slower.
    Taesd,
}
