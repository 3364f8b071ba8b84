//! Certificates of the installation, made and laid out as docs/operations.md says.

use std::fs::{self, Permissions};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use support::certificates::Authority;
use support::docker::docker;
use tempfile::TempDir;

/// A folder for `CALLSHEET_TLS`, which goes with this value.
pub(crate) struct Tls {
    folder: TempDir,
}

impl Tls {
    /// For the first host at that address, laid out by that image.
    pub(crate) fn make(image: &str, address: Ipv4Addr) -> Result<Self> {
        let folder = new_folder()?;
        let at = |name: &str| folder.path().join(name);
        let authority = Authority::make(folder.path(), "ca")?;
        let names = format!("DNS:coordinator,DNS:rabbitmq,IP:{address},IP:127.0.0.1");
        let certificate = authority.certify("certificate", &names)?;
        fs::rename(&certificate.key, at("key.pem"))?;
        fs::copy(authority.file(), at("known.pem"))?;
        for name in ["ca.pem", "certificate.pem", "known.pem"] {
            fs::set_permissions(at(name), Permissions::from_mode(0o644))?;
        }
        // Whoever runs this need not be root, whose the command of the page is.
        let to_its_readers = "chown 10001:999 /tls/key.pem && chmod 640 /tls/key.pem";
        let volume = format!("{}:/tls", folder.path().display());
        let root = ["run", "--rm", "--user", "0", "--volume", &volume];
        docker(&[&root[..], &[image, "sh", "-c", to_its_readers]].concat())?;
        Ok(Self { folder })
    }

    /// What of it is given to a further host.
    pub(crate) fn for_a_further_host(&self) -> Result<Self> {
        let folder = new_folder()?;
        fs::copy(
            self.path().join("known.pem"),
            folder.path().join("known.pem"),
        )?;
        Ok(Self { folder })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.path().join("ca.pem"))?)
    }
}

/// One that containers can enter.
fn new_folder() -> Result<TempDir> {
    let mut folder = tempfile::Builder::new();
    let folder = folder.prefix("callsheet-tls-").tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}
