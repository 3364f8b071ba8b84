//! A backend's process, held by whoever started it.

use std::io::{self, BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::client::Client;
use crate::settings::Settings;

/// A backend that was started. It ends when this is dropped, or when the process that holds this is gone, however it went.
#[derive(Debug)]
pub struct Process {
    child: Child,
    #[expect(dead_code, reason = "the backend ends when it is closed")]
    leash: Option<ChildStdin>,
    settings: Settings,
    client: Client,
}

impl Process {
    /// Starts a backend, and returns when it listens. `program` is to hand its last argument, which is added here, to
    /// [`serve`](crate::serve).
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &mut Command, settings: &Settings) -> io::Result<Self> {
        let mut child = program
            .arg(serde_json::to_string(settings)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let leash = child.stdin.take();
        let mut address = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut address)?;
        }
        match address.trim().parse() {
            Ok(address) => Ok(Self {
                child,
                leash,
                settings: settings.clone(),
                client: Client::at(address),
            }),
            Err(_) => {
                let _ = child.kill();
                let status = child.wait()?;
                let why = format!("the backend did not say where it listens: {status}");
                Err(io::Error::other(why))
            }
        }
    }

    /// To ask it.
    pub fn client(&self) -> Client {
        self.client
    }

    /// Its process id: what the card lists it by.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it in whatever it does, as the system does; what it held is free when this returns.
    ///
    /// # Errors
    /// If the card cannot be used.
    pub fn kill(&mut self) -> io::Result<()> {
        let _ = self.child.kill();
        self.child.wait()?;
        // What a driver does for real.
        self.settings.card.leave(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The card may have gone with its folder.
        let _ = self.kill();
    }
}
