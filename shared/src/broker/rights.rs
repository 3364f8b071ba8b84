//! Who may do what at a broker: a user for each role, with the least permissions that work.
//!
//! A broker's permissions are three patterns of names: of what may be made or deleted (configure), of what may be published
//! to or bound (write), and of what may be consumed or bound from (read). To look whether a queue is there, and how much waits in
//! it, needs none. The right to consume a queue is the right to empty it: that costs a worker's owner nothing, as the
//! coordinator publishes again what is queued.

use std::fmt;

/// What somebody is to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The one coordinator: everything that is Callsheet's, and answers to submitters.
    Coordinator,
    /// A worker: takes attempts, reports, and hears what it is told.
    Worker,
    /// Anyone who asks for films over AMQP, and hears the answers.
    Submitter,
    /// A person who looks after the broker.
    Administrator,
}

/// What a user may do, as the three patterns of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Names of what may be made or deleted.
    pub configure: &'static str,
    /// Names of what may be published to, and of queues that may be bound.
    pub write: &'static str,
    /// Names of what may be consumed, and of exchanges that may be bound from.
    pub read: &'static str,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Coordinator,
        Self::Worker,
        Self::Submitter,
        Self::Administrator,
    ];

    /// The name of its user.
    pub const fn user(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Submitter => "submitter",
            Self::Administrator => "admin",
        }
    }

    /// What it may do.
    pub const fn rights(self) -> Rights {
        match self {
            // The default exchange, as a broker calls it here, leads to whoever asked, and to the rejected submissions.
            Self::Coordinator => Rights {
                configure: r"^callsheet(\..*)?$",
                write: r"^(callsheet(\..*)?|amq\.default)$",
                read: r"^callsheet(\..*)?$",
            },
            // It makes and binds its inbox, and writes to one exchange. That one has another name than any queue, so that no
            // queue but an inbox can be bound.
            Self::Worker => Rights {
                configure: r"^callsheet\.worker\..*$",
                write: r"^callsheet\.(coordinator|worker\..*)$",
                read: r"^callsheet\.(job\..*|worker\..*|workers|everyone)$",
            },
            Self::Submitter => Rights {
                configure: "^$",
                write: r"^callsheet\.submissions$",
                read: "^$",
            },
            Self::Administrator => Rights {
                configure: ".*",
                write: ".*",
                read: ".*",
            },
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.user())
    }
}
