//! RabbitMQ.

use shared::broker::amqp::AmqpBroker;
use shared::broker::{Broker, Link};
use shared::failure::chain;
use shared::settings::{Secret, SettingsError};

use super::{Check, Verdict};

/// The broker that stands in the defaults: nobody has named one.
const USUAL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";

/// Looks whether the broker lets us in. One that nobody named and that is not there is no fault: everything can run in one
/// process without one.
pub(crate) async fn broker(url: Result<Secret, SettingsError>) -> Check {
    let url = match url {
        Ok(url) => url,
        Err(error) => return Check::new("broker", Verdict::Bad, chain(&error)),
    };
    let bad = |told: String| match url.expose() == USUAL {
        true => {
            let told = "none is named (broker.url), and none is on this machine; only programs on several machines need one";
            Check::new("broker", Verdict::Note, told)
        }
        false => Check::new("broker", Verdict::Bad, told),
    };
    let broker = match AmqpBroker::connect(url.expose(), "callsheet doctor").await {
        Ok(broker) => broker,
        Err(error) => return bad(chain(&error)),
    };
    let link = broker.link().borrow().clone();
    broker.close().await;
    match link {
        Link::Up(_) => Check::new("broker", Verdict::Well, "it lets us in"),
        Link::Down(reason) => bad(format!("cannot be reached (broker.url): {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broker_that_was_named_must_be_there_and_its_password_is_not_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let check = broker(Ok(Secret::new(format!(
            "amqp://anna:s3cret@127.0.0.1:{port}/%2f"
        ))))
        .await;
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(
            check.told.starts_with("cannot be reached (broker.url): "),
            "{}",
            check.told
        );
        let wrong = broker(Ok(Secret::new("http://anna:s3cret@x"))).await;
        assert_eq!(wrong.verdict, Verdict::Bad);
        assert!(!check.told.contains("s3cret") && !wrong.told.contains("s3cret"));
    }
}
