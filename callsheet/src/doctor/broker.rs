//! RabbitMQ: whether it lets us in, what is declared there, what this user may do.

use shared::broker::amqp::inspect::{InspectError, Inspection, OLDEST, inspect, is_too_old};
use shared::failure::chain;
use shared::settings::{Secret, SettingsError};

use super::{Check, Verdict};

/// The broker that stands in the defaults: nobody has named one.
const USUAL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";

/// Looks at the broker. One that nobody named and that is not there is no fault: everything can run in one process without one.
pub(crate) async fn broker(url: Result<Secret, SettingsError>) -> Vec<Check> {
    let url = match url {
        Ok(url) => url,
        Err(error) => return vec![Check::new("broker", Verdict::Bad, chain(&error))],
    };
    let check = match inspect(url.expose()).await {
        Ok(seen) => return told(&seen),
        Err(InspectError::Unreachable { .. }) if url.expose() == USUAL => {
            let told = "none is named (broker.url), and none is on this machine; only programs on several machines need one";
            Check::new("broker", Verdict::Note, told)
        }
        Err(error @ InspectError::Unreachable { .. }) => {
            let told = format!("{} (broker.url); is it running?", chain(&error));
            Check::new("broker", Verdict::Bad, told)
        }
        Err(error @ InspectError::Connect(_)) => Check::new("broker", Verdict::Bad, chain(&error)),
    };
    vec![check]
}

fn told(seen: &Inspection) -> Vec<Check> {
    vec![version(seen), queues(seen), permissions(seen)]
}

fn version(seen: &Inspection) -> Check {
    match &seen.version {
        None => Check::new("broker", Verdict::Well, "it lets us in"),
        Some(version) if is_too_old(version) => {
            let (major, minor) = OLDEST;
            let told =
                format!("RabbitMQ {version} is too old; update it to {major}.{minor} or later");
            Check::new("broker", Verdict::Bad, told)
        }
        Some(version) => Check::new(
            "broker",
            Verdict::Well,
            format!("RabbitMQ {version}; it lets us in"),
        ),
    }
}

fn queues(seen: &Inspection) -> Check {
    let what = "broker queues";
    if !seen.different.is_empty() {
        let told = "some are there with other properties than they must have; delete them once they are empty";
        return Check::new(what, Verdict::Bad, told).with(seen.different.clone());
    }
    match seen.absent.is_empty() {
        true => Check::new(what, Verdict::Well, "all are there"),
        false => Check::new(
            what,
            Verdict::Note,
            "some are not there yet; the coordinator makes them when it starts",
        )
        .with(vec![seen.absent.join(", ")]),
    }
}

fn permissions(seen: &Inspection) -> Check {
    let what = "broker permissions";
    let listed = |names: &[String]| names.join(", ");
    match (seen.writable.is_empty(), seen.forbidden.is_empty()) {
        (true, true) => Check::new(
            what,
            Verdict::Note,
            "not known: the exchanges are not there yet",
        ),
        (true, false) => {
            let told = format!(
                "this user may write to none of {}; give it the permissions of its role at the broker (rabbitmqctl \
                 set_permissions)",
                listed(&seen.forbidden)
            );
            Check::new(what, Verdict::Bad, told)
        }
        (false, _) => {
            let told = format!("this user may write to {}", listed(&seen.writable));
            let more = match seen.forbidden.is_empty() {
                true => Vec::new(),
                false => vec![format!(
                    "and not to {}, which another role does",
                    listed(&seen.forbidden)
                )],
            };
            Check::new(what, Verdict::Well, told).with(more)
        }
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
        let url = format!("amqp://anna:s3cret@127.0.0.1:{port}/%2f");
        let checks = broker(Ok(Secret::new(url))).await;
        assert_eq!((checks.len(), checks[0].verdict), (1, Verdict::Bad));
        let told = &checks[0].told;
        assert!(
            told.contains("cannot be reached") && told.contains("broker.url"),
            "{told}"
        );
        let wrong = broker(Ok(Secret::new("http://anna:s3cret@x"))).await;
        assert_eq!(wrong[0].verdict, Verdict::Bad);
        assert!(!told.contains("s3cret") && !wrong[0].told.contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_with_a_broker_is_told_apart() {
        let well = Inspection {
            version: Some("3.10.8".to_owned()),
            writable: vec!["callsheet".to_owned()],
            ..Inspection::default()
        };
        let verdicts =
            |seen: &Inspection| told(seen).iter().map(|it| it.verdict).collect::<Vec<_>>();
        assert_eq!(verdicts(&well), [Verdict::Well; 3]);
        let old = Inspection {
            version: Some("3.8.0".to_owned()),
            ..well.clone()
        };
        assert_eq!(verdicts(&old)[0], Verdict::Bad);
        let different = Inspection {
            different: vec!["queue x: inequivalent".to_owned()],
            ..well.clone()
        };
        assert_eq!(verdicts(&different)[1], Verdict::Bad);
        let forbidden = Inspection {
            forbidden: well.writable.clone(),
            writable: Vec::new(),
            ..well
        };
        assert_eq!(verdicts(&forbidden)[2], Verdict::Bad);
    }
}
