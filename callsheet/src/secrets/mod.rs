//! The secrets of an installation on several machines: a folder with a file for each.

mod definitions;
mod folder;
mod host_port;
mod password;

pub(crate) use self::folder::{Folder, FolderError};
pub(crate) use self::host_port::HostPort;
