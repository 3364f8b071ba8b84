//! Waiting without sleeping: for a signal, or until a condition holds.

use std::fmt;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longest wait for anything that happens at once on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);

/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// The output of `future`, which must come [`SOON`].
///
/// # Panics
/// If it does not.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(SOON, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {} s for {what}", SOON.as_secs()),
    }
}

/// Asks again and again until the answer is `Ok`. A question that is not answered in time is given up, too.
///
/// # Panics
/// If it is not within `limit`; says what it last saw.
pub async fn until<T, E: fmt::Display>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let ask = async || ask().await.map_err(|other| anyhow::anyhow!("{other}"));
    match try_until(what, limit, ask).await {
        Ok(answer) => answer,
        Err(error) => panic!("{error}"),
    }
}

/// The same without a panic, where something must be taken down in the end.
///
/// # Errors
/// If it is not within `limit`; says what it last saw.
pub async fn try_until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut seen = "no answer".to_owned();
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(other) => seen = format!("{other:#}"),
            }
            sleep(PAUSE).await;
        }
    };
    match timeout(limit, asking).await {
        Ok(answer) => Ok(answer),
        Err(_) => anyhow::bail!("waited {} s for {what}; last seen: {seen}", limit.as_secs()),
    }
}
