//! Where a program of a test runs: here, or on a host that is one as far as its network goes.

use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::process::Command;

/// Where a program runs, and how it is started there.
#[derive(Debug, Clone)]
pub struct Place {
    launcher: Vec<OsString>,
    address: Ipv4Addr,
}

impl Place {
    /// This machine, of which only the loopback interface is used.
    pub const fn here() -> Self {
        Self {
            launcher: Vec::new(),
            address: Ipv4Addr::LOCALHOST,
        }
    }

    /// A host at that address. `launcher` is a command that goes there and becomes (`exec`) the one that follows it.
    pub const fn at(address: Ipv4Addr, launcher: Vec<OsString>) -> Self {
        Self { launcher, address }
    }

    /// Where what listens there is found.
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A program there.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self.launcher.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }
}
