//! What each role must be let do at a broker, thing by thing, and how each is tried without a trace.
//!
//! A broker looks at the rights of whoever asks before it looks whether what is asked for is there and makes sense. So nothing has to be
//! done for a right to be tried: what is asked for cannot be done anyway, and any answer but a refusal shows the right.

use std::fmt;

use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeBindOptions,
    QueueBindOptions, QueueDeleteOptions,
};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection};

use super::declare::soft_error;
use crate::broker::Queue;
use crate::broker::rights::Role;
use crate::broker::topology::{
    COORDINATOR_EXCHANGE, EVERYONE_EXCHANGE, JOBS_EXCHANGE, SUBMISSIONS_EXCHANGE, WORKERS_EXCHANGE,
};
use crate::ids::BootId;
use crate::job::JobKind;

/// A routing key, and the name of a profile, that leads nowhere.
const NOWHERE: &str = "callsheet.doctor";
/// What a broker's permissions call the exchange without a name.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// Something that a user may not do and needs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    /// What for, as "to take jobs".
    pub what_for: &'static str,
    /// Which of the user's patterns does not match.
    pub pattern: Pattern,
    /// The name that it must match.
    pub name: String,
}

/// The three patterns that are a user's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Of what may be made or deleted.
    Configure,
    /// Of what may be published to or bound.
    Write,
    /// Of what may be consumed or bound from.
    Read,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

/// Something that a role does.
pub(super) struct Need {
    what_for: &'static str,
    act: Act,
}

enum Act {
    /// Publish to an exchange.
    Publish { exchange: &'static str },
    /// Publish to an exchange that hands everything to everyone, so that nothing may be published to try it.
    Reach { exchange: &'static str },
    /// Make and delete a queue, which is not there.
    Make { queue: String },
    /// Bind a queue, which is not there.
    Bind {
        queue: String,
        exchange: &'static str,
    },
    /// Consume a queue.
    Consume { queue: String },
}

/// What all these roles do.
pub(super) fn needs(roles: &[Role]) -> Vec<Need> {
    roles.iter().copied().flat_map(needs_of).collect()
}

fn needs_of(role: Role) -> Vec<Need> {
    // A name that nobody has had before.
    let unique = BootId::generate();
    let mut needs = Vec::new();
    let mut need = |what_for, act| needs.push(Need { what_for, act });
    match role {
        Role::Coordinator => {
            let exchange = JOBS_EXCHANGE;
            need("to publish jobs", Act::Publish { exchange });
            let exchange = COORDINATOR_EXCHANGE;
            need("to hear itself", Act::Publish { exchange });
            let exchange = SUBMISSIONS_EXCHANGE;
            need(
                "to bind the queue of submissions",
                Act::Publish { exchange },
            );
            let exchange = WORKERS_EXCHANGE;
            need("to answer workers", Act::Publish { exchange });
            let exchange = EVERYONE_EXCHANGE;
            need("to tell workers what waits", Act::Reach { exchange });
            need("to answer submitters", Act::Publish { exchange: "" });
            let queue = format!("callsheet.doctor.{unique}");
            need("to make exchanges and queues", Act::Make { queue });
            let queue = Queue::Reports.name();
            need("to read what workers report", Act::Consume { queue });
            let queue = Queue::Submissions.name();
            need("to read submissions", Act::Consume { queue });
        }
        Role::Worker => {
            let exchange = COORDINATOR_EXCHANGE;
            need("to report", Act::Publish { exchange });
            let inbox = format!("callsheet.worker.doctor.{unique}");
            let queue = inbox.clone();
            need("to make its inbox", Act::Make { queue });
            for exchange in [WORKERS_EXCHANGE, EVERYONE_EXCHANGE] {
                let queue = inbox.clone();
                need("to have its inbox filled", Act::Bind { queue, exchange });
            }
            need("to read its inbox", Act::Consume { queue: inbox });
            for kind in JobKind::ALL {
                let queue = format!("callsheet.job.{kind}.{NOWHERE}");
                need("to take jobs", Act::Consume { queue });
            }
        }
        Role::Submitter => {
            let exchange = SUBMISSIONS_EXCHANGE;
            need("to submit films", Act::Publish { exchange });
        }
        Role::Administrator => {}
    }
    needs
}

impl Need {
    /// What this user lacks for it, if anything.
    ///
    /// # Errors
    /// If the connection is lost.
    pub(super) async fn lack(&self, connection: &Connection) -> lapin::Result<Option<Lack>> {
        let channel = connection.create_channel().await?;
        let Err(error) = self.act.perform(&channel).await else {
            return Ok(None);
        };
        match soft_error(&error) {
            Some(AMQPSoftError::ACCESSREFUSED) => Ok(self.lack_told(&error.to_string())),
            Some(_) => Ok(None),
            None => Err(error),
        }
    }

    /// Which pattern it is that a refusal speaks of: of the two things that are looked at for a binding it names one.
    fn lack_told(&self, refusal: &str) -> Option<Lack> {
        let named = |name: &str| refusal.contains(&format!("'{name}'"));
        let (pattern, name) = match &self.act {
            Act::Publish { exchange: "" } => (Pattern::Write, DEFAULT_EXCHANGE),
            Act::Publish { exchange } => (Pattern::Write, *exchange),
            // What it would be bound to is the business of another need.
            Act::Reach { exchange } if !named(exchange) => return None,
            Act::Reach { exchange } => (Pattern::Write, *exchange),
            Act::Make { queue } => (Pattern::Configure, queue.as_str()),
            Act::Bind { queue, .. } if named(queue) => (Pattern::Write, queue.as_str()),
            Act::Bind { exchange, .. } => (Pattern::Read, *exchange),
            Act::Consume { queue } => (Pattern::Read, queue.as_str()),
        };
        Some(Lack {
            what_for: self.what_for,
            pattern,
            name: name.to_owned(),
        })
    }
}

impl Act {
    async fn perform(&self, channel: &Channel) -> lapin::Result<()> {
        let none = FieldTable::default;
        match self {
            // To a key that leads nowhere.
            Self::Publish { exchange } => {
                channel
                    .confirm_select(ConfirmSelectOptions::default())
                    .await?;
                let sent = channel.basic_publish(
                    (*exchange).into(),
                    NOWHERE.into(),
                    BasicPublishOptions::default(),
                    &[],
                    BasicProperties::default(),
                );
                sent.await?.await.map(drop)
            }
            // To bind it to what is not there needs the same right.
            Self::Reach { exchange } => {
                channel
                    .exchange_bind(
                        (*exchange).into(),
                        NOWHERE.into(),
                        NOWHERE.into(),
                        ExchangeBindOptions::default(),
                        none(),
                    )
                    .await
            }
            // Who may delete may make.
            Self::Make { queue } => {
                let options = QueueDeleteOptions {
                    if_unused: true,
                    if_empty: true,
                    ..QueueDeleteOptions::default()
                };
                let deleted = channel.queue_delete(queue.as_str().into(), options);
                deleted.await.map(drop)
            }
            Self::Bind { queue, exchange } => {
                channel
                    .queue_bind(
                        queue.as_str().into(),
                        (*exchange).into(),
                        NOWHERE.into(),
                        QueueBindOptions::default(),
                        none(),
                    )
                    .await
            }
            // With a priority that is none, so that the queue itself is never asked: no message leaves its place.
            Self::Consume { queue } => {
                let mut impossible = none();
                let none_such = AMQPValue::LongString("none".into());
                impossible.insert("x-priority".into(), none_such);
                let consumed = channel.basic_consume(
                    queue.as_str().into(),
                    NOWHERE.into(),
                    BasicConsumeOptions::default(),
                    impossible,
                );
                consumed.await.map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_the_pattern_that_does_not_match() {
        let lack = |act, refusal: &str| {
            let need = Need { what_for: "", act };
            let lack = need.lack_told(refusal)?;
            Some((lack.pattern, lack.name))
        };
        let refused = |sort: &str, name: &str| format!("access to {sort} '{name}' in vhost '/'");
        let bind = || Act::Bind {
            queue: "inbox".to_owned(),
            exchange: "callsheet.workers",
        };
        let write = lack(bind(), &refused("queue", "inbox"));
        assert_eq!(write, Some((Pattern::Write, "inbox".to_owned())));
        let read = lack(bind(), &refused("exchange", "callsheet.workers"));
        assert_eq!(read, Some((Pattern::Read, "callsheet.workers".to_owned())));
        let reach = || Act::Reach {
            exchange: "callsheet.everyone",
        };
        let write = lack(reach(), &refused("exchange", "callsheet.everyone"));
        assert_eq!(write.map(|it| it.0), Some(Pattern::Write));
        assert_eq!(lack(reach(), &refused("exchange", NOWHERE)), None);
        let answers = Act::Publish { exchange: "" };
        let told = lack(answers, &refused("exchange", DEFAULT_EXCHANGE));
        assert_eq!(told, Some((Pattern::Write, DEFAULT_EXCHANGE.to_owned())));
    }

    #[test]
    fn a_worker_needs_to_take_jobs_of_each_kind() {
        let taken = needs(&[Role::Worker]);
        let jobs = taken.iter().filter(|need| need.what_for == "to take jobs");
        assert_eq!(jobs.count(), JobKind::ALL.len());
    }
}
