//! A server of a test's own that holds memory of a simulated card, on the leash of whoever has started it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Serialize;

use crate::card::Card;

/// A server that was started. It ends when this is dropped, or when the process that holds this is gone, however it went.
#[derive(Debug)]
pub struct Leashed {
    child: Child,
    /// The server ends when it is closed.
    leash: ChildStdin,
    says: BufReader<ChildStdout>,
    card: Card,
    address: String,
}

impl Leashed {
    /// Starts a server that holds memory of that card, and returns when it listens. It is given its settings, as JSON, as its last
    /// argument, says where it listens in its first line, and lives for as long as its standard input is open:
    /// [`until_let_go`] tells it when.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(
        program: &mut Command,
        settings: &impl Serialize,
        card: &Card,
    ) -> io::Result<Self> {
        let mut child = program
            .arg(serde_json::to_string(settings)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (leash, says) = pipes.ok_or_else(|| io::Error::other("there are no pipes"))?;
        let mut this = Self {
            child,
            leash,
            says: BufReader::new(says),
            card: card.clone(),
            address: String::new(),
        };
        this.address = this.line().map_err(|error| {
            io::Error::other(format!("it did not say where it listens: {error}"))
        })?;
        Ok(this)
    }

    /// Where it listens, as it has said it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its process id: what the card lists it by.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it answers to that line, in a line. Blocks until it does.
    ///
    /// # Errors
    /// If it has ended.
    pub fn ask(&mut self, question: &str) -> io::Result<String> {
        self.leash.write_all(format!("{question}\n").as_bytes())?;
        self.line()
    }

    /// Kills it in whatever it does, as the system does; what it held is free when this returns.
    ///
    /// # Errors
    /// If the card cannot be used.
    pub fn kill(&mut self) -> io::Result<()> {
        let _ = self.child.kill();
        self.child.wait()?;
        // What a driver does for real.
        self.card.leave(self.child.id())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.says.read_line(&mut line)? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim().to_owned()),
        }
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        // The card may have gone with its folder.
        let _ = self.kill();
    }
}

/// For a server that is asked nothing over its leash: waits until whoever holds that has let go, or is gone.
pub fn until_let_go() {
    // Its end is all that is waited for.
    let _ = io::copy(&mut io::stdin().lock().take(u64::MAX), &mut io::sink());
}
