//! The coordinator that commands speak to, and its clock.

use std::time::Duration;

use reqwest::header::DATE;
use shared::time::Timestamp;
use shared::{http, tls};
use url::Url;

use super::{Check, Verdict};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks that differ by more make times in logs and traces useless, and retries come early or late.
const SKEW_MAX: Duration = Duration::from_secs(5);

/// Asks the coordinator at that URL whether it is ready, and what time it is. One that no key names need not run.
pub(crate) async fn coordinator(url: &str, named_by: Option<&str>) -> Vec<Check> {
    let what = "coordinator";
    let unknown = |told: &str| Check::new("clock", Verdict::Note, told);
    let asked = ask(url, named_by.is_none()).await;
    let (status, said, date) = match asked {
        Ok(answer) => answer,
        Err(away) if named_by.is_none() && !away.is_there => {
            let told = format!("none runs at {url}; `callsheet film` needs none");
            let alone = unknown("there is no other clock to compare this one with");
            return vec![Check::new(what, Verdict::Note, told), alone];
        }
        Err(Away { why, is_there }) => {
            let told = match is_there {
                true => format!("{url} is there, and cannot be trusted with anything: {why}"),
                false => format!(
                    "{url} does not answer: {why}; is it running, and is that its address ({})?",
                    named_by.unwrap_or("coordinator.listen")
                ),
            };
            let alone = unknown("the coordinator did not say what time it is");
            return vec![Check::new(what, Verdict::Bad, told), alone];
        }
    };
    let ready = match status {
        200 => Check::new(what, Verdict::Well, format!("{url} is ready")),
        503 => Check::new(what, Verdict::Bad, format!("{url} is not ready: {said}")),
        other => {
            let told = format!("{url} answered {other}; is that a coordinator?");
            Check::new(what, Verdict::Bad, told)
        }
    };
    let clock = date.map_or_else(
        || unknown("the coordinator did not say what time it is"),
        |theirs| clock(theirs, Timestamp::now()),
    );
    vec![ready, clock]
}

fn clock(theirs: Timestamp, ours: Timestamp) -> Check {
    let skew = theirs.since(ours).max(ours.since(theirs));
    match skew <= SKEW_MAX {
        // A date in HTTP has no fractions.
        true => Check::new(
            "clock",
            Verdict::Well,
            "the same here and at the coordinator, to some seconds",
        ),
        false => {
            let told = format!(
                "this clock is {} s {} the coordinator's; have both set theirs by NTP",
                skew.as_secs(),
                if ours < theirs { "behind" } else { "ahead of" }
            );
            Check::new("clock", Verdict::Bad, told)
        }
    }
}

/// Why there was no answer.
struct Away {
    why: String,
    /// Somebody is there, and cannot be spoken to.
    is_there: bool,
}

impl From<reqwest::Error> for Away {
    fn from(error: reqwest::Error) -> Self {
        let trouble = tls::trouble(&error);
        Self {
            is_there: trouble.is_some(),
            why: trouble.unwrap_or(shared::failure::chain(&error)),
        }
    }
}

impl From<url::ParseError> for Away {
    fn from(error: url::ParseError) -> Self {
        Self {
            why: error.to_string(),
            is_there: false,
        }
    }
}

/// Status, what was said and the time there.
type Answer = (u16, String, Option<Timestamp>);

async fn ask(url: &str, listens_here: bool) -> Result<Answer, Away> {
    let base = Url::parse(url)?;
    let at = base.join("readyz")?;
    // Where it listens itself no certificate need say: the address is this machine's, and nothing is shown to it.
    let is_near = listens_here && http::is_loopback(&base);
    let http = http::client_of(&base)
        .timeout(PATIENCE)
        .tls_danger_accept_invalid_certs(is_near)
        .build()?;
    let answer = http.get(at).send().await?;
    let date = answer.headers().get(DATE);
    let date = date.and_then(|date| Timestamp::from_http_date(date.to_str().ok()?));
    let status = answer.status().as_u16();
    let body = answer.text().await?;
    let problem: Option<serde_json::Value> = serde_json::from_str(&body).ok();
    let detail = problem.and_then(|it| Some(it.get("detail")?.as_str()?.to_owned()));
    Ok((status, detail.unwrap_or(body), date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_some_seconds_and_not_by_more() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        assert_eq!(clock(at(100), at(104)).verdict, Verdict::Well);
        let ahead = clock(at(100), at(200));
        assert_eq!(ahead.verdict, Verdict::Bad);
        assert!(ahead.told.contains("100 s ahead of"), "{}", ahead.told);
        let behind = clock(at(3_700), at(100));
        assert!(behind.told.contains("3600 s behind"), "{}", behind.told);
    }

    #[tokio::test]
    async fn a_coordinator_that_was_named_must_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let named = coordinator(&url, Some("artifacts.url")).await;
        assert_eq!(named[0].verdict, Verdict::Bad);
        assert!(named[0].told.contains("(artifacts.url)"), "{named:?}");
        let usual = coordinator(&url, None).await;
        assert_eq!(usual[0].verdict, Verdict::Note);
    }
}
