//! Certificates of the installation, made and laid out as docs/operations.md says.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use support::certificates::Authority;
use tempfile::TempDir;

/// What the servers are called: by each other, and by us.
const NAMES: &str = "DNS:coordinator,DNS:rabbitmq,DNS:localhost";

/// A folder for `CALLSHEET_TLS`, which goes with this value.
pub(crate) struct Tls {
    folder: TempDir,
}

impl Tls {
    pub(crate) fn make() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("callsheet-tls-")
            .tempdir()?;
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::make(folder.path(), "ca")?;
        let certificate = authority.certify("certificate", NAMES)?;
        fs::rename(&certificate.key, at("key.pem"))?;
        fs::copy(authority.file(), at("known.pem"))?;
        // Whoever the programs are in their containers.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        for name in ["ca.pem", "certificate.pem", "key.pem", "known.pem"] {
            fs::set_permissions(at(name), Permissions::from_mode(0o644))?;
        }
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.folder.path().join("ca.pem"))?)
    }
}
