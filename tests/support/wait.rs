//! Waiting without sleeping: for a signal, or until a condition holds.

use std::fmt;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Longest wait for anything that happens at once on an idle machine.
pub const SOON: Duration = Duration::from_secs(20);

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
    let mut seen = "no answer".to_owned();
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(other) => seen = other.to_string(),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    match timeout(limit, asking).await {
        Ok(answer) => answer,
        Err(_) => panic!("waited {} s for {what}; last seen: {seen}", limit.as_secs()),
    }
}
