//! What this machine is to Callsheet: that says what must be well here.

use clap::ValueEnum;
use shared::broker::rights::Role;

/// What this machine is to Callsheet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Host {
    /// The coordinator's, and workers' with the same broker user
    All,
    /// The coordinator's alone, whose broker user is for nothing else
    Coordinator,
    /// Workers', of a coordinator elsewhere or with a broker user of their own
    Worker,
}

impl Host {
    /// What it is if nobody says so. Files that are kept by a coordinator are kept by one elsewhere.
    pub(crate) const fn usual(files_are_with_a_coordinator: bool) -> Self {
        match files_are_with_a_coordinator {
            true => Self::Worker,
            false => Self::All,
        }
    }

    /// Whether a coordinator is to run here.
    pub(crate) const fn has_coordinator(self) -> bool {
        matches!(self, Self::All | Self::Coordinator)
    }

    /// Whether workers are to run here, with what they need.
    pub(crate) const fn has_workers(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }

    /// What the broker's user of this machine must be able to be.
    pub(crate) const fn roles(self) -> &'static [Role] {
        match self {
            Self::All => &[Role::Coordinator, Role::Worker],
            Self::Coordinator => &[Role::Coordinator],
            Self::Worker => &[Role::Worker],
        }
    }
}
