//! A user for each role at a real RabbitMQ, as `callsheet secrets` makes them: what each may do is enough, and is all.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    QueuePurgeOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use shared::api::FilmStatus;
use shared::broker::rights::Role;
use shared::film::FilmRequest;
use support::rabbitmq::RabbitMq;
use support::stage::{Cast, Stage};
use support::submitter::Submitter;
use support::users::Users;
use support::wait::until;

/// An inbox, as the one of a worker.
const INBOX: &str = "callsheet.worker.somebody.1";
/// A queue of jobs that is there once a worker has offered to do them.
const JOBS: &str = "callsheet.job.scene.animatic";
/// Nothing of ours.
const FOREIGN: &str = "accounting";

const QUEUES: [&str; 7] = [
    JOBS,
    INBOX,
    "callsheet.reports",
    "callsheet.parked",
    "callsheet.submissions",
    "callsheet.submissions.rejected",
    FOREIGN,
];
/// The default exchange is the one without a name.
const EXCHANGES: [&str; 8] = [
    "callsheet",
    "callsheet.coordinator",
    "callsheet.workers",
    "callsheet.everyone",
    "callsheet.submissions",
    "",
    "amq.topic",
    FOREIGN,
];

/// Something that somebody may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Publish {
        exchange: &'static str,
    },
    MakeExchange {
        exchange: &'static str,
    },
    DeleteExchange {
        exchange: &'static str,
    },
    Make {
        queue: &'static str,
    },
    Delete {
        queue: &'static str,
    },
    Consume {
        queue: &'static str,
    },
    Purge {
        queue: &'static str,
    },
    Bind {
        queue: &'static str,
        exchange: &'static str,
    },
}

impl Act {
    /// Everything that can be tried with these queues and exchanges; what makes comes before what needs it.
    fn all() -> Vec<Self> {
        let mut acts = Vec::new();
        for exchange in EXCHANGES {
            acts.push(Self::Publish { exchange });
            acts.push(Self::MakeExchange { exchange });
            acts.push(Self::DeleteExchange { exchange });
        }
        for queue in QUEUES {
            acts.push(Self::Make { queue });
            acts.extend(EXCHANGES.map(|exchange| Self::Bind { queue, exchange }));
            acts.push(Self::Consume { queue });
            acts.push(Self::Purge { queue });
            acts.push(Self::Delete { queue });
        }
        acts
    }

    /// Whether that role is to be able to.
    fn is_for(self, role: Role) -> bool {
        match role {
            Role::Worker => match self {
                Self::Publish { exchange } => exchange == "callsheet.coordinator",
                Self::Consume { queue } | Self::Purge { queue } => [JOBS, INBOX].contains(&queue),
                Self::Make { queue } | Self::Delete { queue } => queue == INBOX,
                Self::Bind { queue, exchange } => {
                    queue == INBOX
                        && ["callsheet.workers", "callsheet.everyone"].contains(&exchange)
                }
                Self::MakeExchange { .. } | Self::DeleteExchange { .. } => false,
            },
            Role::Submitter => matches!(
                self,
                Self::Publish {
                    exchange: "callsheet.submissions"
                }
            ),
            Role::Coordinator => match self {
                Self::Publish { exchange } => {
                    exchange.is_empty() || exchange.starts_with("callsheet")
                }
                Self::MakeExchange { exchange } | Self::DeleteExchange { exchange } => {
                    exchange.starts_with("callsheet")
                }
                Self::Make { queue }
                | Self::Delete { queue }
                | Self::Consume { queue }
                | Self::Purge { queue } => queue != FOREIGN,
                Self::Bind { queue, exchange } => {
                    queue != FOREIGN && exchange.starts_with("callsheet")
                }
            },
            Role::Administrator => true,
        }
    }

    /// Tries.
    async fn perform(self, channel: &Channel) -> lapin::Result<()> {
        let none = FieldTable::default;
        match self {
            Self::Publish { exchange } => {
                channel
                    .confirm_select(ConfirmSelectOptions::default())
                    .await?;
                let options = BasicPublishOptions::default();
                let sent = channel.basic_publish(
                    exchange.into(),
                    "nowhere".into(),
                    options,
                    b"{}",
                    BasicProperties::default(),
                );
                sent.await?.await.map(drop)
            }
            Self::MakeExchange { exchange } => {
                let options = ExchangeDeclareOptions {
                    durable: true,
                    ..ExchangeDeclareOptions::default()
                };
                channel
                    .exchange_declare(exchange.into(), ExchangeKind::Direct, options, none())
                    .await
            }
            Self::DeleteExchange { exchange } => {
                channel
                    .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
                    .await
            }
            Self::Make { queue } => channel
                .queue_declare(queue.into(), QueueDeclareOptions::durable(), none())
                .await
                .map(drop),
            Self::Delete { queue } => channel
                .queue_delete(queue.into(), QueueDeleteOptions::default())
                .await
                .map(drop),
            Self::Consume { queue } => channel
                .basic_consume(
                    queue.into(),
                    "".into(),
                    BasicConsumeOptions::default(),
                    none(),
                )
                .await
                .map(drop),
            Self::Purge { queue } => channel
                .queue_purge(queue.into(), QueuePurgeOptions::default())
                .await
                .map(drop),
            Self::Bind { queue, exchange } => {
                channel
                    .queue_bind(
                        queue.into(),
                        exchange.into(),
                        "key".into(),
                        QueueBindOptions::default(),
                        none(),
                    )
                    .await
            }
        }
    }
}

async fn connect(url: &str) -> Result<Connection> {
    Connection::connect(url, ConnectionProperties::default())
        .await
        .context("the broker lets in whom its definitions name")
}

/// Whether an act was refused for want of a right. Anything else that goes wrong shows that it was not.
async fn is_refused(connection: &Connection, act: Act) -> Result<bool> {
    let channel = connection.create_channel().await?;
    match act.perform(&channel).await {
        Ok(()) => {
            channel.close(200, "done".into()).await?;
            Ok(false)
        }
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(why) => Ok(matches!(
                why.kind(),
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            )),
            _ => bail!("{act:?}: {error}"),
        },
    }
}

/// Tries everything that is forbidden to that role.
async fn is_kept_from_everything_else(role: Role, url: &str) -> Result<()> {
    let connection = connect(url).await?;
    let forbidden = Act::all().into_iter().filter(|act| !act.is_for(role));
    for act in forbidden {
        ensure!(is_refused(&connection, act).await?, "{role} can {act:?}");
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Tries everything that is allowed to that role.
async fn can_do_its_own(role: Role, url: &str) -> Result<()> {
    let connection = connect(url).await?;
    let allowed: Vec<_> = Act::all()
        .into_iter()
        .filter(|act| act.is_for(role))
        .collect();
    ensure!(!allowed.is_empty(), "{role} can do something");
    for act in allowed {
        ensure!(
            !is_refused(&connection, act).await?,
            "{role} cannot {act:?}"
        );
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn a_film_is_made(stage: &Stage, url: &str, label: &str) -> Result<()> {
    let request = FilmRequest {
        premise: Some("A lighthouse keeper befriends a storm".to_owned()),
        scenes: Some(3),
        seconds: Some(1.0),
        size: "320x180".parse().ok(),
        ..FilmRequest::default()
    };
    let mut submitter = Submitter::connect(url).await?;
    let films = submitter.submit_all(&[request], label).await?;
    let film = *films.values().next().context("one film")?;
    until("the film", Duration::from_secs(90), async || {
        let view = stage.film(film).await?;
        ensure!(
            view.summary.status == FilmStatus::Completed,
            "{:?}",
            view.summary
        );
        Ok::<_, anyhow::Error>(())
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_for_each_role_can_do_its_own_and_nothing_else() -> Result<()> {
    let users = Users::make()?;
    let rabbitmq = RabbitMq::start_with_definitions(&users.definitions()).await?;
    users.find_broker_at(&format!("127.0.0.1:{}", rabbitmq.port()))?;

    let guest = Connection::connect(&rabbitmq.url(), ConnectionProperties::default()).await;
    ensure!(guest.is_err(), "the usual user is let in");
    let stage = Stage::over(rabbitmq, |role| users.url(role).unwrap(), Cast::Real).await?;
    a_film_is_made(&stage, &users.url(Role::Submitter)?, "first").await?;

    for role in [Role::Worker, Role::Submitter, Role::Coordinator] {
        is_kept_from_everything_else(role, &users.url(role)?).await?;
    }
    for role in [Role::Worker, Role::Submitter] {
        can_do_its_own(role, &users.url(role)?).await?;
    }
    // And all of that has harmed nobody.
    a_film_is_made(&stage, &users.url(Role::Submitter)?, "second").await
}
