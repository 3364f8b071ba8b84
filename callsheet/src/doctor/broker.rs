//! RabbitMQ: whether it lets us in, what is declared there, whether this user may do what it must.

use std::collections::BTreeMap;

use shared::broker::amqp::inspect::{InspectError, Inspection, OLDEST, inspect, is_too_old};
use shared::broker::rights::Rights;
use shared::failure::chain;
use shared::settings::{Secret, SettingsError};

use super::{Check, Host, Verdict, given_by_environment};

/// The broker that stands in the defaults: nobody has named one.
const USUAL: &str = "amqp://guest:guest@127.0.0.1:5672/%2f";

/// How a service is given its broker.
const VARIABLES: [&str; 2] = ["CALLSHEET__BROKER__URL_FILE", "CALLSHEET__BROKER__URL"];

/// Looks at the broker, as such a host needs it. One that nobody named and that is not there is no fault, unless the host's coordinator
/// is elsewhere: everything can run in one process without one.
pub(crate) async fn broker(url: Result<Secret, SettingsError>, host: Host) -> Vec<Check> {
    let url = match url {
        Ok(url) => url,
        Err(error) => return vec![Check::new("broker", Verdict::Bad, chain(&error))],
    };
    match inspect(url.expose(), host.roles()).await {
        Ok(seen) => told(&seen, host),
        Err(error) => vec![not_seen(&error, url.expose() == USUAL, host)],
    }
}

fn not_seen(error: &InspectError, is_usual: bool, host: Host) -> Check {
    let hint = || given_by_environment(&VARIABLES);
    let hint: Vec<_> = is_usual.then(hint).into_iter().collect();
    match error {
        InspectError::Unreachable { .. } if is_usual && host.has_coordinator() => {
            let told = "none is named (broker.url), and none is on this machine; only programs on several machines need one";
            Check::new("broker", Verdict::Note, told)
        }
        InspectError::Unreachable { .. } if is_usual => {
            let told = "none is named (broker.url), and none is on this machine, whose workers need the one of their coordinator";
            Check::new("broker", Verdict::Bad, told).with(hint)
        }
        InspectError::Unreachable { .. } => {
            let told = format!("{} (broker.url); is it running?", chain(error));
            Check::new("broker", Verdict::Bad, told)
        }
        InspectError::Connect(_) if is_usual => {
            let told = format!("none is named (broker.url), and {}", chain(error));
            Check::new("broker", Verdict::Bad, told).with(hint)
        }
        InspectError::Connect(_) => Check::new("broker", Verdict::Bad, chain(error)),
    }
}

fn told(seen: &Inspection, host: Host) -> Vec<Check> {
    vec![version(seen), queues(seen), permissions(seen, host)]
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

fn permissions(seen: &Inspection, host: Host) -> Check {
    let what = "broker permissions";
    let who = host.roles().iter().map(|role| format!("a {role}"));
    let who = who.collect::<Vec<_>>().join(" and ");
    if seen.lacks.is_empty() {
        let told = format!("this user may do what {who} must");
        return Check::new(what, Verdict::Well, told);
    }
    let told = format!(
        "this user may not do all that {who} must; is it the user of that role? `callsheet secrets` makes one for each, and \
         `rabbitmqctl set_permissions` gives a user its patterns"
    );
    // What is missing of the same pattern for the same end, in one line.
    let mut missing = BTreeMap::<_, Vec<&str>>::new();
    for lack in &seen.lacks {
        let names = missing.entry((lack.what_for, lack.pattern)).or_default();
        names.push(&lack.name);
    }
    let missing = missing.into_iter().map(|((what_for, pattern), names)| {
        let names = names.join(", ");
        format!("{what_for}, its {pattern} pattern must match {names}")
    });
    let patterns = host.roles().iter().map(|role| {
        let Rights {
            configure,
            write,
            read,
        } = role.rights();
        format!("the patterns of a {role}: configure {configure}, write {write}, read {read}")
    });
    Check::new(what, Verdict::Bad, told).with(missing.chain(patterns).collect())
}

#[cfg(test)]
mod tests {
    use shared::broker::amqp::ConnectError;
    use shared::broker::amqp::inspect::{Lack, Pattern};

    use super::*;

    #[tokio::test]
    async fn a_broker_that_was_named_must_be_there_and_its_password_is_not_told() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let url = format!("amqp://anna:s3cret@127.0.0.1:{port}/%2f");
        let checks = broker(Ok(Secret::new(url)), Host::All).await;
        assert_eq!((checks.len(), checks[0].verdict), (1, Verdict::Bad));
        let told = &checks[0].told;
        assert!(
            told.contains("cannot be reached") && told.contains("broker.url"),
            "{told}"
        );
        let wrong = broker(Ok(Secret::new("http://anna:s3cret@x")), Host::All).await;
        assert_eq!(wrong[0].verdict, Verdict::Bad);
        assert!(!told.contains("s3cret") && !wrong[0].told.contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_with_a_broker_is_told_apart() {
        let well = Inspection {
            version: Some("3.10.8".to_owned()),
            ..Inspection::default()
        };
        let verdicts = |seen: &Inspection| {
            let checks = told(seen, Host::Worker);
            checks.iter().map(|it| it.verdict).collect::<Vec<_>>()
        };
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
        let lack = |what_for, pattern, name: &str| Lack {
            what_for,
            pattern,
            name: name.to_owned(),
        };
        let powerless = Inspection {
            lacks: vec![
                lack("to take jobs", Pattern::Read, "callsheet.job.story.x"),
                lack("to take jobs", Pattern::Read, "callsheet.job.scene.x"),
                lack("to report", Pattern::Write, "callsheet.coordinator"),
            ],
            ..well
        };
        let check = permissions(&powerless, Host::Worker);
        assert_eq!(check.verdict, Verdict::Bad);
        assert!(check.told.contains("callsheet secrets"), "{}", check.told);
        assert_eq!(
            check.more[..2],
            [
                "to report, its write pattern must match callsheet.coordinator",
                "to take jobs, its read pattern must match callsheet.job.story.x, callsheet.job.scene.x",
            ]
        );
        assert!(
            check.more[2].contains(r"read ^callsheet\.(job\..*|"),
            "{:?}",
            check.more
        );
    }

    #[test]
    fn where_nobody_names_a_broker_it_is_told_how_services_are_given_one() {
        let away = InspectError::Unreachable {
            target: "127.0.0.1:5672".to_owned(),
            reason: "refused".to_owned(),
        };
        let closed = InspectError::Connect(ConnectError::Refused {
            target: "127.0.0.1:5672".to_owned(),
            reason: "no such user".to_owned(),
        });
        let alone = not_seen(&away, true, Host::All);
        assert_eq!((alone.verdict, alone.more.len()), (Verdict::Note, 0));
        for check in [
            not_seen(&away, true, Host::Worker),
            not_seen(&closed, true, Host::All),
        ] {
            assert_eq!(check.verdict, Verdict::Bad);
            assert!(check.told.starts_with("none is named"), "{}", check.told);
            assert!(check.more[0].contains(VARIABLES[0]), "{:?}", check.more);
        }
        // Whoever has named one knows how.
        assert_eq!(not_seen(&closed, false, Host::All).more.len(), 0);
    }
}
