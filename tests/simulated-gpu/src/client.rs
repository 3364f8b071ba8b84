//! A backend as it is seen from elsewhere.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::protocol::{BackendState, Job, Request};

/// How long a backend that lives may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks a backend. Every call blocks until it is answered; one that fails with [`io::ErrorKind::ConnectionRefused`] was to a
/// backend that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    address: SocketAddr,
}

impl Client {
    /// The backend at that address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it is.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn state(&self) -> io::Result<BackendState> {
        self.ask(&Request::State)
    }

    /// Has it run a job; returns at once. A job that it knows already is not run again.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn run(&self, job: Job) -> io::Result<BackendState> {
        self.ask(&Request::Run(job))
    }

    /// Leaves a job out, or stops it at its next step; returns at once.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn cancel(&self, job: &str) -> io::Result<BackendState> {
        let job = job.to_owned();
        self.ask(&Request::Cancel { job })
    }

    /// Asks it to unload that model, or all; returns at once, whatever comes of it.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn unload(&self, model: Option<&str>) -> io::Result<BackendState> {
        let model = model.map(str::to_owned);
        self.ask(&Request::Unload { model })
    }

    /// Waits until that job has ended, for so long at most.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn wait_for(&self, job: &str, limit: Duration) -> io::Result<BackendState> {
        let job = Some(job.to_owned());
        self.ask(&Request::Wait { job, limit })
    }

    /// Waits until it is idle, for so long at most.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn wait_until_idle(&self, limit: Duration) -> io::Result<BackendState> {
        self.ask(&Request::Wait { job: None, limit })
    }

    /// Has it say yes to the next unloads and do nothing.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn ignore_unloads(&self, times: u32) -> io::Result<BackendState> {
        self.ask(&Request::IgnoreUnloads { times })
    }

    /// Has it die, as by a fault of its own: at once it answers nobody, a little later its memory is free.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn die(&self) -> io::Result<()> {
        match self.ask(&Request::Die) {
            // The dead do not answer.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    fn ask(&self, request: &Request) -> io::Result<BackendState> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        let limit = match request {
            Request::Wait { limit, .. } => PATIENCE + *limit,
            _ => PATIENCE,
        };
        stream.set_read_timeout(Some(limit))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        (&stream).write_all(&line)?;
        let mut answer = String::new();
        match BufReader::new(&stream).read_line(&mut answer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_str(&answer)?),
        }
    }
}
