//! The token that commands show to the coordinator.

use std::time::Duration;

use shared::settings::Secret;
use tokio::time::timeout;

use super::{Check, Verdict};
use crate::client::{Client, ClientError};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Shows the token to the coordinator at that URL. One that is away, or cannot be spoken to, is told of elsewhere.
pub(crate) async fn token(url: &str, token: Option<&Secret>) -> Option<Check> {
    let token = token?;
    let bad = |told: String| Some(Check::new("token", Verdict::Bad, told));
    let client = match Client::new(url, Some(token)) {
        Ok(client) => client,
        Err(error @ ClientError::Token(_)) => return bad(error.to_string()),
        Err(_) => return None,
    };
    let status = match timeout(PATIENCE, client.films(1, None)).await.ok()? {
        Ok(_) => 200,
        Err(ClientError::Refused(problem)) => problem.status,
        Err(_) => return None,
    };
    match status {
        200 => {
            let told = format!("{url} knows it");
            Some(Check::new("token", Verdict::Well, told))
        }
        401 => bad(format!(
            "{url} does not know the one that is given here (--token-file, CALLSHEET_TOKEN_FILE, CALLSHEET_TOKEN, client.token, \
             access.operate_token): give its token-submit or token-operate, and start a coordinator anew that was given others since"
        )),
        403 => bad(format!(
            "{url} takes the one that is given here from workers only: commands need its token-submit or token-operate"
        )),
        _ => None,
    }
}
