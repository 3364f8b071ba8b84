//! A backend's process, held by whoever started it.

use std::io;
use std::process::Command;

use crate::client::Client;
use crate::leashed::Leashed;
use crate::settings::Settings;

/// A backend that was started. It ends when this is dropped, or when the process that holds this is gone, however it went.
#[derive(Debug)]
pub struct Process {
    server: Leashed,
    client: Client,
}

impl Process {
    /// Starts a backend, and returns when it listens. `program` is to hand its last argument, which is added here, to
    /// [`serve`](crate::serve).
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &mut Command, settings: &Settings) -> io::Result<Self> {
        let server = Leashed::start(program, settings, &settings.card)?;
        let address = server.address().parse();
        let client = Client::at(address.map_err(io::Error::other)?);
        Ok(Self { server, client })
    }

    /// To ask it.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Its process id: what the card lists it by.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Kills it in whatever it does, as the system does; what it held is free when this returns.
    ///
    /// # Errors
    /// If the card cannot be used.
    pub fn kill(&mut self) -> io::Result<()> {
        self.server.kill()
    }
}
