//! `callsheet up`

use std::net::SocketAddr;

use clap::Args;
use shared::shutdown::shutdown_on_signals;

use crate::all_in_one::AllInOne;
use crate::cli::DataDir;
use crate::error::CommandError;
use crate::{Context, term};

/// Run everything in one process as a server, until Ctrl-C
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where the HTTP API listens [default: 127.0.0.1:7420]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

impl Up {
    /// Runs it.
    pub(crate) async fn run(&self, context: Context) -> Result<(), CommandError> {
        let stop = shutdown_on_signals();
        let mut all = AllInOne::start(&context.settings).await?;
        term::say(&format!("callsheet is up at {}", all.url()));
        if let Err(missing) = all.missing(&|_| true).await {
            // It is looked for again and again, so it can be installed while this runs.
            term::complain(&format!("not everything can be made yet: {missing}"));
        }
        let failed = tokio::select! {
            () = stop.cancelled() => None,
            error = all.failed() => Some(error),
        };
        if failed.is_none() {
            term::complain("stopping; once more Ctrl-C stops at once");
        }
        all.shutdown().await;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
