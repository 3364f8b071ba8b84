//! The card: who holds how much of it, as the NVML double tells it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nvml_double::install::update;
use nvml_double::state::Process;
use serde::{Deserialize, Serialize};
use shared::byte_size::ByteSize;

/// One device in the state of the NVML double. Any number of processes can use it at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    state: PathBuf,
    device: String,
}

/// Memory that was asked for and is not there: a job out of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Who asked.
    pub pid: u32,
    /// How much more it asked for.
    pub asked: ByteSize,
    /// What was free.
    pub free: ByteSize,
}

impl Card {
    /// The device of that UUID in that state file of the double.
    pub fn new(state: &Path, device: &str) -> Self {
        Self {
            state: state.to_owned(),
            device: device.to_owned(),
        }
    }

    /// NVML's name of it.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// From now on that process holds that much, if there is room; otherwise it holds what it held, and the refusal is
    /// written down.
    ///
    /// # Errors
    /// If the state cannot be read or written, or has no such device.
    pub fn hold(&self, pid: u32, amount: ByteSize) -> io::Result<Result<(), Refusal>> {
        let amount = amount.as_bytes();
        let taken = update(&self.state, |state| -> io::Result<_> {
            let device = state.device_mut(&self.device).ok_or_else(no_device)?;
            let free = device.free();
            let listed = device
                .processes
                .iter_mut()
                .find(|process| process.pid == pid);
            let held = listed.as_ref().map_or(0, |it| it.used.unwrap_or(0));
            let more = amount.saturating_sub(held);
            if more > free {
                return Ok(Err(Refusal {
                    pid,
                    asked: ByteSize::bytes(more),
                    free: ByteSize::bytes(free),
                }));
            }
            match listed {
                Some(process) => process.used = Some(amount),
                None => device.processes.push(Process::computing(pid, Some(amount))),
            }
            device.used = device.used.saturating_sub(held).saturating_add(amount);
            Ok(Ok(()))
        })??;
        if let Err(refusal) = &taken {
            self.write_down(refusal)?;
        }
        Ok(taken)
    }

    /// That process is gone, and what it held is free.
    ///
    /// # Errors
    /// If the state cannot be read or written, or has no such device.
    pub fn leave(&self, pid: u32) -> io::Result<()> {
        update(&self.state, |state| {
            let device = state.device_mut(&self.device).ok_or_else(no_device)?;
            let of_it = device.processes.iter().filter(|process| process.pid == pid);
            let held: u64 = of_it.map(|process| process.used.unwrap_or(0)).sum();
            device.processes.retain(|process| process.pid != pid);
            device.used = device.used.saturating_sub(held);
            Ok(())
        })?
    }

    /// What is free now.
    ///
    /// # Errors
    /// If the state cannot be read or has no such device.
    pub fn free(&self) -> io::Result<ByteSize> {
        let state: nvml_double::state::State = serde_json::from_slice(&fs::read(&self.state)?)?;
        let device = state.device(&self.device).ok_or_else(no_device)?;
        Ok(ByteSize::bytes(device.free()))
    }

    /// Every refusal so far, of all who use it, also of those who are gone.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn refusals(&self) -> io::Result<Vec<Refusal>> {
        let text = match fs::read_to_string(self.refused_file()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        let refusals = text.lines().map(serde_json::from_str);
        Ok(refusals.collect::<Result<_, _>>()?)
    }

    fn write_down(&self, refusal: &Refusal) -> io::Result<()> {
        let mut line = serde_json::to_vec(refusal)?;
        line.push(b'\n');
        // In one piece: others add lines at the same time.
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.refused_file())?
            .write_all(&line)
    }

    fn refused_file(&self) -> PathBuf {
        let mut name = self.state.clone().into_os_string();
        name.push(format!(".{}.refused", self.device));
        name.into()
    }
}

fn no_device() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the card is not in the state")
}
