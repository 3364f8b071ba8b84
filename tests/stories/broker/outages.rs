//! What only a broker that runs elsewhere can do to us.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use shared::broker::amqp::{AmqpBroker, ConnectError};
use shared::broker::topology::JOBS_EXCHANGE;
use shared::broker::{Address, Broker, Link, Message, PublishError, Queue, ReadOptions};
use shared::ids::MessageId;
use shared::job::JobKind;
use support::rabbitmq::RabbitMq;
use support::relay::Relay;
use support::submitter::Submitter;
use support::wait::{SOON, soon, until};
use tokio::sync::watch;

/// RabbitMQ needs about ten seconds to start, more on a busy machine.
const RESTART: Duration = Duration::from_secs(120);
/// Its command line needs seconds for each question, more on a busy machine.
const LISTED: Duration = Duration::from_secs(60);

/// How long a quorum queue must have existed. RabbitMQ 3.10 writes down that it does some time after it has said so: killed
/// before, it comes back with a queue that takes and gives nothing.
const SETTLED: Duration = Duration::from_secs(2);

fn queue(profile: &str) -> Queue {
    Queue::Jobs(JobKind::Story, profile.parse().unwrap())
}

fn numbered(n: u128) -> Message {
    Message::durable(MessageId::from_u128(n), n.to_string())
}

async fn link_is(link: &mut watch::Receiver<Link>, wanted: impl Fn(&Link) -> bool) {
    let seen = tokio::time::timeout(RESTART, link.wait_for(|link| wanted(link))).await;
    assert!(matches!(seen, Ok(Ok(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_loses_nothing_that_it_confirmed() {
    support::log_to_terminal();
    let mut server = RabbitMq::start().await.unwrap();
    let broker = AmqpBroker::connect(&server.url(), "outage").await.unwrap();
    let mut link = broker.link();
    let queue = queue("killed");
    let (confirmed_sender, mut confirmed) = watch::channel(0);
    let (enough_sender, enough) = watch::channel(false);

    // Publishes in order, many at a time, each until it is confirmed. Says how many there were.
    let publish_all = async {
        while !*enough.borrow() {
            let publish_one = async |n| {
                while let Err(error) = broker.publish(&queue.clone().into(), numbered(n)).await {
                    assert!(matches!(error, PublishError::Unknown(_)), "{error}");
                }
            };
            let first = *confirmed_sender.borrow();
            futures::future::join_all((first..first + 50).map(publish_one)).await;
            confirmed_sender.send_replace(first + 50);
        }
        *confirmed_sender.borrow()
    };
    let kill_and_restart = async {
        // The queue is there, at the latest, when it has taken something.
        confirmed.wait_for(|count| *count > 0).await.unwrap();
        let there = Instant::now();
        confirmed
            .wait_for(|_| there.elapsed() > SETTLED)
            .await
            .unwrap();
        server.kill().unwrap();
        link_is(&mut link, |link| matches!(link, Link::Down(_))).await;
        server.start_again().await.unwrap();
        link_is(&mut link, |link| *link == Link::Up(2)).await;
        let before = *confirmed.borrow_and_update();
        confirmed
            .wait_for(|count| *count >= before + 500)
            .await
            .unwrap();
        enough_sender.send_replace(true);
    };
    // Reads over as many subscriptions as it takes.
    let mut seen = BTreeSet::new();
    let read_all = async {
        loop {
            let options = ReadOptions {
                prefetch: 50,
                ..ReadOptions::default()
            };
            let Ok(mut reader) = broker.subscribe(&queue, options).await else {
                continue;
            };
            while let Some(delivery) = reader.next().await {
                seen.insert(delivery.message.id.clone());
                let is_last = delivery.message.body == "last";
                delivery.ack().await;
                if is_last {
                    return;
                }
            }
        }
    };
    let publish_and_kill = async {
        let (count, ()) = tokio::join!(publish_all, kill_and_restart);
        let last = Message::durable(MessageId::from_u128(count), "last");
        broker.publish(&queue.clone().into(), last).await.unwrap();
        count
    };
    let both = async { tokio::join!(publish_and_kill, read_all) };
    let (count, ()) = tokio::time::timeout(RESTART, both)
        .await
        .expect("both go on after the restart");
    let missing: Vec<_> = (0..count)
        .map(|n| MessageId::from_u128(n).to_string())
        .filter(|id| !seen.contains(id))
        .collect();
    assert_eq!(
        missing,
        [] as [String; 0],
        "confirmed, and never seen again"
    );
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_yet_is_waited_for() {
    let mut server = RabbitMq::start().await.unwrap();
    server.stop().await.unwrap();
    let broker = AmqpBroker::connect(&server.url(), "early").await.unwrap();
    let mut link = broker.link();
    assert!(matches!(&*link.borrow(), Link::Down(_)));
    server.start_again().await.unwrap();
    link_is(&mut link, |link| *link == Link::Up(1)).await;
    broker
        .publish(&queue("early").into(), numbered(1))
        .await
        .unwrap();

    // An orderly stop is an outage like any other.
    server.stop().await.unwrap();
    link_is(&mut link, |link| matches!(link, Link::Down(_))).await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_short_of_memory_holds_up_publishes_and_nothing_else() {
    let server = RabbitMq::start().await.unwrap();
    let broker = AmqpBroker::connect(&server.url(), "short of memory")
        .await
        .unwrap();
    let queue = queue("short-of-memory");
    broker
        .publish(&queue.clone().into(), numbered(1))
        .await
        .unwrap();
    let mut reader = broker
        .subscribe(&queue, ReadOptions::default())
        .await
        .unwrap();
    let held = soon("a delivery", reader.next()).await.unwrap();

    server
        .ctl(&["set_vm_memory_high_watermark", "absolute", "1MB"])
        .await
        .unwrap();
    let to = queue.clone().into();
    let mut publish = pin!(broker.publish(&to, numbered(2)));
    let rest_works = async {
        assert!(held.ack().await);
        assert!(reader.cancel().await.is_empty());
        broker
            .subscribe(&queue, ReadOptions::default())
            .await
            .unwrap()
    };
    let mut reader = tokio::select! {
        biased;
        early = &mut publish => panic!("the broker is out of memory, and yet: {early:?}"),
        reader = soon("everything but the publish", rest_works) => reader,
    };

    server
        .ctl(&["set_vm_memory_high_watermark", "absolute", "512MB"])
        .await
        .unwrap();
    let answer = soon("an answer", publish).await;
    assert!(
        matches!(answer, Ok(()) | Err(PublishError::Unknown(_))),
        "{answer:?}"
    );
    let delivery = soon("the message that was held up", reader.next())
        .await
        .unwrap();
    assert_eq!(delivery.message.body, "2");
    assert!(delivery.ack().await);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_that_nobody_can_read_leaves_and_the_others_are_read() {
    support::log_to_terminal();
    let server = RabbitMq::start().await.unwrap();
    let broker = AmqpBroker::connect(&server.url(), "poison").await.unwrap();
    let options = ReadOptions {
        prefetch: 256,
        ..ReadOptions::default()
    };
    // Makes the queue.
    let reader = broker.subscribe(&Queue::Submissions, options).await;
    reader.unwrap().cancel().await;
    broker
        .publish(&Queue::Submissions.into(), numbered(1))
        .await
        .unwrap();
    super::poison::publish(server.port(), "callsheet.submissions").await;
    for n in 2..=20 {
        broker
            .publish(&Queue::Submissions.into(), numbered(n))
            .await
            .unwrap();
    }
    // Reads over as many subscriptions as it takes.
    let mut seen = BTreeSet::new();
    let keep_reading = async {
        loop {
            let Ok(mut reader) = broker.subscribe(&Queue::Submissions, options).await else {
                continue;
            };
            while let Some(delivery) = reader.next().await {
                seen.insert(delivery.message.id.clone());
                delivery.ack().await;
            }
        }
    };
    let put_aside = until("what cannot be read to be put aside", RESTART, async || {
        let queues = server
            .ctl(&[
                "list_queues",
                "name",
                "messages",
                "messages_ready",
                "messages_unacknowledged",
                "consumers",
            ])
            .await;
        let queues = queues.unwrap();
        let holds = |name, count| {
            queues
                .lines()
                .any(|line| line.split_whitespace().take(2).eq([name, count]))
        };
        let done =
            holds("callsheet.submissions.rejected", "1") && holds("callsheet.submissions", "0");
        match done {
            true => Ok(()),
            false => Err(queues),
        }
    });
    tokio::select! {
        () = keep_reading => {}
        () = put_aside => {}
    }
    assert_eq!(seen.len(), 20, "the others are read: {seen:?}");
    broker.close().await;
}

/// RabbitMQ 4 drops answers without a word until it counts itself among the running nodes, and takes connections before. This test
/// makes that moment longer; RabbitMQ 3.10, which delivers answers meanwhile, passes it in any case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_are_read_once_their_answers_would_arrive() {
    const THE_MOMENT: &str = "spawn(fun() -> rabbit_boot_state:set(core_started), timer:sleep(3000), \
                              rabbit_boot_state:set(ready) end).";
    support::log_to_terminal();
    let server = RabbitMq::start().await.unwrap();
    let first = AmqpBroker::connect(&server.url(), "first").await.unwrap();
    first.make(&Queue::Submissions).await.unwrap();
    first.close().await;
    let mut submitter = Submitter::connect(&server.url()).await.unwrap();
    submitter.submit_bytes(b"{}", "asked").await.unwrap();

    server.ctl(&["eval", THE_MOMENT]).await.unwrap();
    let broker = AmqpBroker::connect(&server.url(), "answers").await.unwrap();
    let mut reader = broker
        .subscribe(&Queue::Submissions, ReadOptions::default())
        .await
        .unwrap();
    let submission = soon("the submission", reader.next()).await.unwrap();
    let answer = Message {
        correlation_id: submission.message.correlation_id.clone(),
        ..Message::transient(MessageId::generate(), r#"{"mistakes":[]}"#)
    };
    let whoever_asked = Address::Reply(submission.message.reply_to.clone().unwrap());
    broker.publish(&whoever_asked, answer).await.unwrap();
    let (id, _) = submitter.answer().await.unwrap();
    assert_eq!(id, "asked");
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_one_connection_ends_the_other() {
    let server = RabbitMq::start().await.unwrap();
    let broker = AmqpBroker::connect(&server.url(), "halves").await.unwrap();
    let mut link = broker.link();
    let queue = queue("halves");
    let mut reader = broker
        .subscribe(&queue, ReadOptions::default())
        .await
        .unwrap();
    let connections = async || {
        let listed = server
            .ctl(&["list_connections", "pid", "client_properties"])
            .await
            .unwrap();
        let ours = listed.lines().filter(|line| line.contains("halves ("));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    until("both connections to be listed", LISTED, async || {
        let listed = connections().await;
        match listed.len() {
            2 => Ok(()),
            _ => Err(listed.join(", ")),
        }
    })
    .await;
    let listed = connections().await;
    let publishing = listed.iter().find(|line| line.contains("(publish)"));
    let pid = publishing.unwrap().split_whitespace().next().unwrap();
    server
        .ctl(&["close_connection", pid, "by the test"])
        .await
        .unwrap();

    link_is(&mut link, |link| *link == Link::Up(2)).await;
    let end = soon("the end of the subscription", reader.next()).await;
    assert!(end.is_none(), "{end:?}");
    until("two connections to be left", LISTED, async || {
        let now = connections().await;
        match now.len() == 2 && !now.iter().any(|line| listed.contains(line)) {
            true => Ok(()),
            false => Err(now.join(", ")),
        }
    })
    .await;
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_on_which_the_broker_is_silent_is_not_kept_when_the_other_was_lost() {
    let server = RabbitMq::start().await.unwrap();
    let relay = Relay::to(server.address()).await.unwrap();
    let url = format!("amqp://guest:guest@{}/%2f?heartbeat=2", relay.address());
    let broker = AmqpBroker::connect(&url, "silence").await.unwrap();
    let mut link = broker.link();
    let before = relay.open();
    assert_eq!(before.len(), 2);
    relay.silence();
    relay.cut();
    link_is(&mut link, |link| *link == Link::Up(2)).await;
    until("the silent connection to be let go", SOON, async || {
        let open = relay.open();
        match open.iter().any(|it| before.contains(it)) {
            false => Ok(()),
            true => Err(format!("{open:?}, and before {before:?}")),
        }
    })
    .await;
    assert_eq!(relay.open().len(), 2);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_jobs_is_one_that_a_restart_does_not_empty() {
    let url = super::rabbitmq::url().await;
    let broker = AmqpBroker::connect(&url, "kinds").await.unwrap();
    let queue = queue("kinds");
    broker
        .publish(&queue.clone().into(), numbered(1))
        .await
        .unwrap();
    let operator = lapin::Connection::connect(&url, lapin::ConnectionProperties::default());
    let operator = operator.await.unwrap();
    for (kind, is_its_own) in [("quorum", true), ("classic", false)] {
        let channel = operator.create_channel().await.unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
        let again = channel
            .queue_declare(
                queue.name().into(),
                QueueDeclareOptions::durable(),
                arguments,
            )
            .await;
        assert_eq!(again.is_ok(), is_its_own, "{kind}: {again:?}");
    }
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_login_says_what_to_check_and_gives_no_secret_away() {
    let port = super::rabbitmq::port().await;
    for (url, said) in [
        (
            format!("amqp://guest:wr0ng-s3cret@127.0.0.1:{port}/"),
            "ACCESS_REFUSED",
        ),
        (
            format!("amqp://guest:guest@127.0.0.1:{port}/not-there"),
            "NOT_ALLOWED",
        ),
    ] {
        let error = AmqpBroker::connect(&url, "refused").await.unwrap_err();
        assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(said) && text.contains("check user"), "{text}");
        assert!(
            !text.contains("s3cret") && !text.contains("guest:guest"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_is_made_again() {
    let url = super::rabbitmq::url().await;
    let broker = AmqpBroker::connect(&url, "deleted").await.unwrap();
    let queue = queue("deleted");
    let operator = lapin::Connection::connect(&url, lapin::ConnectionProperties::default());
    let operator = operator.await.unwrap().create_channel().await.unwrap();
    let delete = async || {
        let options = QueueDeleteOptions::default();
        operator
            .queue_delete(queue.name().into(), options)
            .await
            .unwrap()
    };
    let subscribe = async || {
        broker
            .subscribe(&queue, ReadOptions::default())
            .await
            .unwrap()
    };

    let mut reader = subscribe().await;
    delete().await;
    assert!(
        soon("the end of the subscription", reader.next())
            .await
            .is_none()
    );
    assert!(soon("the rest", reader.cancel()).await.is_empty());

    // By a publish,
    broker
        .publish(&queue.clone().into(), numbered(1))
        .await
        .unwrap();
    assert_eq!(delete().await, 1);
    // and by a subscription.
    let mut reader = subscribe().await;
    broker
        .publish(&queue.clone().into(), numbered(2))
        .await
        .unwrap();
    let delivery = soon("a delivery", reader.next()).await.unwrap();
    assert_eq!(delivery.message.body, "2");
    assert!(delivery.ack().await);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_its_operator_limits_says_that_it_is_full() {
    let url = super::rabbitmq::url().await;
    let broker = AmqpBroker::connect(&url, "full").await.unwrap();
    let queue = queue("full");
    let operator = lapin::Connection::connect(&url, lapin::ConnectionProperties::default());
    let operator = operator.await.unwrap().create_channel().await.unwrap();
    broker
        .publish(&queue.clone().into(), numbered(1))
        .await
        .unwrap();

    // The usual way is a policy; the same limit as arguments needs no administrator.
    let name: ShortString = queue.name().into();
    operator
        .queue_delete(name.clone(), QueueDeleteOptions::default())
        .await
        .unwrap();
    let mut limits = FieldTable::default();
    limits.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    limits.insert("x-max-length".into(), AMQPValue::LongInt(1));
    limits.insert(
        "x-overflow".into(),
        AMQPValue::LongString("reject-publish".into()),
    );
    operator
        .queue_declare(name.clone(), QueueDeclareOptions::durable(), limits)
        .await
        .unwrap();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    operator
        .queue_bind(name.clone(), JOBS_EXCHANGE.into(), name, bind, none)
        .await
        .unwrap();

    until("the queue to be full", SOON, async || {
        match broker.publish(&queue.clone().into(), numbered(2)).await {
            Err(PublishError::Full) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    broker.close().await;
}
