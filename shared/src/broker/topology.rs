//! Every queue and exchange of Callsheet, as data. Nothing else in the program declares one.
//!
//! Every queue is reached through an exchange of ours, and each exchange by one role only: a broker's permission to write is
//! one for a whole exchange, so that whoever may write to one may write to all that is bound to it ([`rights`](super::rights)
//! says who may). Quorum queues carry only what cannot be a policy as arguments (type, single active consumer): arguments can
//! never be changed, policies can. Two exceptions: the names of inboxes are new at each start of a worker, so that their
//! arguments may change; and the queue of submissions must get rid of what nobody can read on every broker, however little
//! its operator has set up.

use std::time::Duration;

use super::{Address, Message, PublishError, Queue};

/// The direct exchange that leads to the queues of jobs. The coordinator writes to it.
pub const JOBS_EXCHANGE: &str = "callsheet";
/// The direct exchange that leads to what workers write: reports, and what they put aside.
pub const COORDINATOR_EXCHANGE: &str = "callsheet.coordinator";
/// The direct exchange that leads to each inbox. The coordinator writes to it.
pub const WORKERS_EXCHANGE: &str = "callsheet.workers";
/// The fanout exchange that leads to every inbox. The coordinator writes to it.
pub const EVERYONE_EXCHANGE: &str = "callsheet.everyone";
/// The direct exchange for submitters, so that they need the right to write to nothing else.
pub const SUBMISSIONS_EXCHANGE: &str = "callsheet.submissions";
/// The queue of film submissions; also the routing key that leads to it.
pub const SUBMISSIONS_QUEUE: &str = "callsheet.submissions";
/// The header of a message that was put aside that says why.
pub const REASON_HEADER: &str = "x-callsheet-reason";
/// How the name of every direct reply-to address begins once the broker has filled it in.
pub const REPLY_PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Messages that wait in an inbox at most; the oldest go first. What matters in an inbox is asked for again.
pub const INBOX_MAX_LENGTH: u16 = 1000;
/// How long a broker keeps an inbox that nobody reads.
pub const INBOX_EXPIRES: Duration = Duration::from_mins(5);

/// How often a submission may come back before it is put aside: more often than a coordinator is restarted in a row, and
/// soon enough that the others are not held up for minutes.
const SUBMISSION_RETURNS: u8 = 10;

/// Largest body in bytes: what RabbitMQ takes from version 4 on.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;
/// Largest sum of all header names and values in bytes: headers travel in one frame, of which we use small ones.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Largest id, correlation id, address and header name in bytes.
const MAX_SHORT_TEXT_BYTES: usize = 255;

/// An exchange. All are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: &'static str,
    /// How it routes.
    pub kind: ExchangeKind,
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeKind {
    /// To the queues bound with the message's routing key.
    Direct,
    /// To all bound queues.
    Fanout,
}

/// All exchanges.
pub const EXCHANGES: [Exchange; 5] = [
    Exchange {
        name: JOBS_EXCHANGE,
        kind: ExchangeKind::Direct,
    },
    Exchange {
        name: COORDINATOR_EXCHANGE,
        kind: ExchangeKind::Direct,
    },
    Exchange {
        name: WORKERS_EXCHANGE,
        kind: ExchangeKind::Direct,
    },
    Exchange {
        name: EVERYONE_EXCHANGE,
        kind: ExchangeKind::Fanout,
    },
    Exchange {
        name: SUBMISSIONS_EXCHANGE,
        kind: ExchangeKind::Direct,
    },
];

/// The queues that are always there; the others come and go with profiles and workers.
pub const FIXED_QUEUES: [Queue; 4] = [
    Queue::Reports,
    // Before the queue whose dead letters it takes.
    Queue::RejectedSubmissions,
    Queue::Submissions,
    Queue::Parked,
];

/// How a queue is declared. All are durable, none is exclusive or deletes itself with its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueDeclaration {
    /// Its name; the routing key of its bindings, too.
    pub name: String,
    /// What kind of queue.
    pub kind: QueueKind,
    /// The exchanges it is bound to.
    pub bindings: Vec<&'static str>,
    /// What happens to a message that comes back again and again.
    pub poison: Option<Poison>,
}

/// What happens to a message that comes back again and again, because it breaks the connection of whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// How often it may come back.
    pub limit: u8,
    /// The queue that it goes to then.
    pub aside: Queue,
}

/// The value of an argument of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl QueueDeclaration {
    /// What stands beside the name when it is declared.
    pub fn arguments(&self) -> Vec<(&'static str, Argument)> {
        let text = |text: &str| Argument::Text(text.to_owned());
        // The type is always named, because a virtual host may have another default.
        let mut arguments = match self.kind {
            QueueKind::Quorum {
                single_active_consumer,
            } => {
                let single = ("x-single-active-consumer", Argument::Flag(true));
                let mut quorum = vec![("x-queue-type", text("quorum"))];
                quorum.extend(single_active_consumer.then_some(single));
                quorum
            }
            QueueKind::Inbox => {
                let expires_ms = i64::try_from(INBOX_EXPIRES.as_millis()).expect("minutes fit");
                vec![
                    ("x-queue-type", text("classic")),
                    ("x-expires", Argument::Number(expires_ms)),
                    ("x-max-length", Argument::Number(INBOX_MAX_LENGTH.into())),
                ]
            }
        };
        if let Some(Poison { limit, aside }) = &self.poison {
            arguments.extend([
                ("x-delivery-limit", Argument::Number((*limit).into())),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(&aside.name())),
            ]);
        }
        arguments
    }
}

/// What kind of queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Replicated, survives everything.
    Quorum {
        /// Whether one consumer at a time reads.
        single_active_consumer: bool,
    },
    /// For the messages of one life of one worker: a classic queue that expires and drops its oldest.
    Inbox,
}

/// How that queue is declared.
pub fn declaration(queue: &Queue) -> QueueDeclaration {
    let mut bindings = vec![exchange(queue)];
    if let Queue::Inbox(_) = queue {
        bindings.push(EVERYONE_EXCHANGE);
    }
    QueueDeclaration {
        name: queue.name(),
        kind: kind(queue),
        bindings,
        poison: poison(queue),
    }
}

/// The exchange that leads to that queue alone, by its name.
fn exchange(queue: &Queue) -> &'static str {
    match queue {
        Queue::Jobs(..) | Queue::RejectedSubmissions => JOBS_EXCHANGE,
        Queue::Reports | Queue::Parked => COORDINATOR_EXCHANGE,
        Queue::Inbox(_) => WORKERS_EXCHANGE,
        Queue::Submissions => SUBMISSIONS_EXCHANGE,
    }
}

/// Anyone may write submissions, also such as no client library can read: those must leave by themselves. What stands in
/// the other queues was written by us.
fn poison(queue: &Queue) -> Option<Poison> {
    match queue {
        Queue::Submissions => Some(Poison {
            limit: SUBMISSION_RETURNS,
            aside: Queue::RejectedSubmissions,
        }),
        Queue::Jobs(..)
        | Queue::Reports
        | Queue::Inbox(_)
        | Queue::RejectedSubmissions
        | Queue::Parked => None,
    }
}

/// What kind of queue that is.
pub fn kind(queue: &Queue) -> QueueKind {
    match queue {
        Queue::Inbox(_) => QueueKind::Inbox,
        Queue::Reports => QueueKind::Quorum {
            single_active_consumer: true,
        },
        Queue::Jobs(..) | Queue::Submissions | Queue::RejectedSubmissions | Queue::Parked => {
            QueueKind::Quorum {
                single_active_consumer: false,
            }
        }
    }
}

impl Queue {
    /// The queue's name at the broker.
    pub fn name(&self) -> String {
        match self {
            Self::Jobs(kind, profile) => format!("callsheet.job.{kind}.{profile}"),
            Self::Reports => "callsheet.reports".to_owned(),
            Self::Inbox(worker) => format!("callsheet.worker.{}.{}", worker.worker, worker.boot),
            Self::Submissions => SUBMISSIONS_QUEUE.to_owned(),
            Self::RejectedSubmissions => "callsheet.submissions.rejected".to_owned(),
            Self::Parked => "callsheet.parked".to_owned(),
        }
    }
}

/// Where a publish to an address goes at the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The exchange; empty for the default one.
    pub exchange: &'static str,
    /// The routing key.
    pub routing_key: String,
    /// Whether it is an error when no queue takes the message.
    pub mandatory: bool,
}

/// Where a publish to that address goes.
///
/// # Errors
/// [`PublishError::Refused`] for a reply to anything but a direct reply-to address.
pub fn route(to: &Address) -> Result<Route, PublishError> {
    match to {
        Address::Queue(queue) => Ok(Route {
            exchange: exchange(queue),
            routing_key: queue.name(),
            mandatory: true,
        }),
        Address::Everyone => Ok(Route {
            exchange: EVERYONE_EXCHANGE,
            routing_key: String::new(),
            mandatory: false,
        }),
        Address::Reply(name)
            if name.starts_with(REPLY_PREFIX) && name.len() <= MAX_SHORT_TEXT_BYTES =>
        {
            Ok(Route {
                exchange: "",
                routing_key: name.clone(),
                // RabbitMQ 3.10 returns mandatory answers even when it has delivered them.
                mandatory: false,
            })
        }
        Address::Reply(_) => Err(PublishError::Refused(format!(
            "answers go only to direct reply-to addresses, which begin with `{REPLY_PREFIX}`"
        ))),
    }
}

/// Refuses what no broker takes, before it costs a connection.
///
/// # Errors
/// [`PublishError::TooLarge`], with the limit.
pub fn check_limits(message: &Message) -> Result<(), PublishError> {
    if message.body.len() > MAX_BODY_BYTES {
        return refuse(format!(
            "its body has {} bytes, at most {MAX_BODY_BYTES} are allowed",
            message.body.len()
        ));
    }
    let names = message.headers.iter().map(|(name, _)| name.as_str());
    let mut short_texts = [Some(message.id.as_str())]
        .into_iter()
        .chain([
            message.correlation_id.as_deref(),
            message.reply_to.as_deref(),
        ])
        .flatten()
        .chain(names);
    if short_texts.any(|text| text.len() > MAX_SHORT_TEXT_BYTES) {
        return refuse(format!(
            "an id, an address or the name of a header is longer than {MAX_SHORT_TEXT_BYTES} bytes"
        ));
    }
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    match headers > MAX_HEADER_BYTES {
        true => refuse(format!(
            "its headers have {headers} bytes, at most {MAX_HEADER_BYTES} are allowed"
        )),
        false => Ok(()),
    }
}

fn refuse(why: String) -> Result<(), PublishError> {
    Err(PublishError::TooLarge(why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{BootId, MessageId};
    use crate::job::JobKind;
    use crate::protocol::WorkerRef;

    fn every_sort_of_queue() -> Vec<Queue> {
        vec![
            Queue::Jobs(JobKind::Scene, "wan2.1-i2v-14b-480p".parse().unwrap()),
            Queue::Reports,
            Queue::Inbox(WorkerRef {
                worker: "studio-3".parse().unwrap(),
                boot: BootId::from_u128(7),
            }),
            Queue::Submissions,
            Queue::RejectedSubmissions,
            Queue::Parked,
        ]
    }

    #[test]
    fn queues_have_the_names_that_permissions_and_submitters_rely_on() {
        let names: Vec<_> = every_sort_of_queue().iter().map(Queue::name).collect();
        assert_eq!(
            names,
            [
                "callsheet.job.scene.wan2.1-i2v-14b-480p",
                "callsheet.reports",
                "callsheet.worker.studio-3.00000000-0000-0000-0000-000000000007",
                "callsheet.submissions",
                "callsheet.submissions.rejected",
                "callsheet.parked",
            ]
        );
    }

    #[test]
    fn every_queue_is_bound_to_the_exchange_that_its_messages_are_published_to() {
        for queue in every_sort_of_queue() {
            let declaration = declaration(&queue);
            let route = route(&Address::Queue(queue)).unwrap();
            assert!(declaration.bindings.contains(&route.exchange));
            assert_eq!(declaration.name, route.routing_key);
            for binding in declaration.bindings {
                assert!(EXCHANGES.iter().any(|exchange| exchange.name == binding));
            }
        }
    }

    #[test]
    fn what_one_role_writes_reaches_no_queue_that_another_role_writes_to() {
        for queue in every_sort_of_queue() {
            let writes = |to: &str| declaration(&queue).bindings.contains(&to);
            let by_workers = writes(COORDINATOR_EXCHANGE);
            let by_submitters = writes(SUBMISSIONS_EXCHANGE);
            let by_coordinator = [JOBS_EXCHANGE, WORKERS_EXCHANGE, EVERYONE_EXCHANGE]
                .into_iter()
                .any(writes);
            let roles = [by_workers, by_submitters, by_coordinator];
            assert_eq!(
                roles.iter().filter(|writes| **writes).count(),
                1,
                "{queue:?}"
            );
        }
    }

    #[test]
    fn submissions_that_come_back_again_and_again_go_to_the_rejected_ones() {
        let text = |text: &str| Argument::Text(text.to_owned());
        assert_eq!(
            declaration(&Queue::Submissions).arguments(),
            [
                ("x-queue-type", text("quorum")),
                ("x-delivery-limit", Argument::Number(10)),
                ("x-dead-letter-exchange", text("")),
                (
                    "x-dead-letter-routing-key",
                    text("callsheet.submissions.rejected")
                ),
            ]
        );
    }

    #[test]
    fn every_queue_names_its_type_because_a_broker_may_have_another_default() {
        for queue in every_sort_of_queue() {
            let kind = match queue {
                Queue::Inbox(_) => "classic",
                _ => "quorum",
            };
            let first = declaration(&queue).arguments().remove(0);
            let named = ("x-queue-type", Argument::Text(kind.to_owned()));
            assert_eq!(first, named, "{queue:?}");
        }
    }

    #[test]
    fn the_fixed_queues_are_those_without_a_name_of_their_own() {
        let fixed: Vec<_> = every_sort_of_queue()
            .into_iter()
            .filter(|queue| !matches!(queue, Queue::Jobs(..) | Queue::Inbox(_)))
            .collect();
        assert_eq!(fixed.len(), FIXED_QUEUES.len());
        assert!(fixed.iter().all(|queue| FIXED_QUEUES.contains(queue)));
    }

    #[test]
    fn an_answer_goes_nowhere_but_to_a_direct_reply_to_address() {
        for name in [
            "",
            "callsheet.reports",
            "amq.rabbitmq.reply-to",
            "amq.gen-x",
        ] {
            let refused = route(&Address::Reply(name.to_owned()));
            assert!(
                matches!(refused, Err(PublishError::Refused(_))),
                "{name}: {refused:?}"
            );
        }
        assert!(route(&Address::Reply("amq.rabbitmq.reply-to.g1h2.key".to_owned())).is_ok());
    }

    #[test]
    fn what_no_broker_takes_is_refused_with_the_limit() {
        let small = Message::durable(MessageId::from_u128(1), "x");
        assert_eq!(check_limits(&small), Ok(()));
        let long = "x".repeat(300);
        let too_much = [
            Message {
                body: vec![0; MAX_BODY_BYTES + 1].into(),
                ..small.clone()
            },
            Message {
                id: long.clone(),
                ..small.clone()
            },
            Message {
                correlation_id: Some(long.clone()),
                ..small.clone()
            },
            Message {
                reply_to: Some(long.clone()),
                ..small.clone()
            },
            small.clone().with_header(long, "x"),
            small.with_header("reason", "x".repeat(70_000)),
        ];
        for message in too_much {
            let refused = check_limits(&message);
            assert!(
                matches!(refused, Err(PublishError::TooLarge(_))),
                "{refused:?}"
            );
        }
    }
}
