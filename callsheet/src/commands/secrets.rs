//! `callsheet secrets`

use std::path::PathBuf;

use clap::Args;

use crate::error::CommandError;
use crate::secrets::{Folder, HostPort};
use crate::term;

/// Make the passwords and tokens of an installation on several machines, and RabbitMQ's definitions with its users
///
/// What is in the folder already is kept: to change a password, remove its file and call this again. Nothing is printed but
/// the names of files.
#[derive(Debug, Args)]
#[command(after_help = FILES)]
pub(crate) struct Secrets {
    /// The folder; made if it is not there, and closed to other users of this machine
    folder: PathBuf,
    /// Where programs find RabbitMQ; amqps://HOST:PORT for TLS [default: what the folder says, or else rabbitmq:5672, as in docker-compose.yml]
    #[arg(long, value_name = "HOST:PORT")]
    broker: Option<HostPort>,
}

const FILES: &str = "Files:
  broker-url-coordinator, broker-url-worker, broker-url-submitter
                            for CALLSHEET__BROKER__URL_FILE, one for each role
  broker-password-admin     of the user `admin`, for RabbitMQ's page
  token-submit, token-operate, token-worker
                            for CALLSHEET__ACCESS__..._TOKEN_FILE and CALLSHEET_TOKEN_FILE
  rabbitmq-definitions.json for `load_definitions` in rabbitmq.conf: users with the hashes of their passwords, what each may
                            do, exchanges and queues";

impl Secrets {
    /// Makes what is missing.
    pub(crate) fn run(&self) -> Result<(), CommandError> {
        let folder = Folder::open(&self.folder)?;
        for name in folder.fill(self.broker.as_ref())? {
            term::say(&format!("{} is new", folder.file(&name).display()));
        }
        Ok(())
    }
}
