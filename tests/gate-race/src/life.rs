//! One life of one worker, as the race sees it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use nvml_double::install::STATE_VARIABLE;

use crate::report::Report;
use crate::worker::Orders;

/// A worker's process. It ends when this is dropped, or when the process that holds this is gone, however it went.
#[derive(Debug)]
pub(crate) struct Life {
    child: Child,
    leash: ChildStdin,
    reader: Option<JoinHandle<()>>,
}

/// What a worker told, and when that was read.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) worker: u32,
    pub(crate) life: u32,
    pub(crate) report: Report,
    pub(crate) at: Instant,
}

impl Life {
    /// Starts a worker, and passes on what it tells.
    pub(crate) fn start(
        program: &Path,
        state_file: &Path,
        orders: &Orders,
        told: Sender<Told>,
    ) -> Result<Self> {
        let mut child = Command::new(program)
            .env(STATE_VARIABLE, state_file)
            .arg("worker")
            .arg(serde_json::to_string(orders)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting a worker")?;
        let leash = child.stdin.take().context("a worker without input")?;
        let output = child.stdout.take().context("a worker without output")?;
        let (worker, life) = (orders.worker, orders.life);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // Half a line is what a worker leaves that is killed.
                let Some(report) = line.ok().and_then(|line| serde_json::from_str(&line).ok())
                else {
                    continue;
                };
                let at = Instant::now();
                let told = told.send(Told {
                    worker,
                    life,
                    report,
                    at,
                });
                if told.is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            leash,
            reader: Some(reader),
        })
    }

    /// It is to take no more jobs.
    pub(crate) fn stop(&mut self) -> Result<()> {
        writeln!(self.leash, "stop").context("telling a worker to stop")
    }

    /// `kill -9`. All that it told has been passed on when this returns.
    pub(crate) fn kill(&mut self) -> Result<()> {
        // An error: it has ended before, which no worker does by itself.
        if let Some(status) = self.child.try_wait()? {
            return Err(anyhow!("a worker has ended by itself: {status}"));
        }
        self.child.kill()?;
        self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("a reader has failed"))?;
        }
        Ok(())
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
