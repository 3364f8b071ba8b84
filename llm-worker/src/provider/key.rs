//! The key of a server, and where it is read.

use std::path::PathBuf;

use shared::settings::Secret;

use super::ProviderError;

/// The key of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Key {
    /// It needs none.
    #[default]
    None,
    /// This one.
    Given(Secret),
    /// The one in this file, read anew each time, so that a key can be changed while the worker runs.
    File(PathBuf),
}

impl Key {
    /// The key itself.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub(super) async fn read(&self) -> Result<Option<Secret>, ProviderError> {
        let path = match self {
            Self::None => return Ok(None),
            Self::Given(key) => return Ok(Some(key.clone())),
            Self::File(path) => path,
        };
        match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(source) => Err(ProviderError::KeyFile {
                path: path.display().to_string(),
                source,
            }),
        }
    }
}
