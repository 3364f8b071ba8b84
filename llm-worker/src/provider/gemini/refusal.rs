//! What the Gemini API's refusals mean: above all, which quota is used up.

use std::time::Duration;

use serde_json::Value;

use super::super::{ProviderError, Quota, Reply};

/// Longest wait that is believed.
const WAIT_MAX: Duration = Duration::from_secs(48 * 3600);

/// What an answer means that is no stream.
pub(super) fn refusal(reply: &Reply) -> ProviderError {
    let message = reply.message();
    let error = reply.json().unwrap_or_default()["error"].take();
    let status = error["status"].as_str().unwrap_or_default();
    match reply.status {
        400 if is_of_key(&error) => ProviderError::Unauthorized(message),
        // Region or billing: it is for the owner of the key to put right.
        400 if status == "FAILED_PRECONDITION" => ProviderError::Unauthorized(message),
        400 => ProviderError::BadRequest(message),
        401 | 403 => ProviderError::Unauthorized(message),
        404 => ProviderError::UnknownModel(message),
        429 => quota(&error, message),
        503 => ProviderError::Busy {
            message,
            retry_after: reply.retry_after,
        },
        500..=599 => ProviderError::Failed(message),
        _ => ProviderError::WrongServer(message),
    }
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error["details"].as_array().into_iter().flatten()
}

fn is_of_key(error: &Value) -> bool {
    details(error).any(|detail| detail["reason"] == "API_KEY_INVALID")
        || error["message"]
            .as_str()
            .is_some_and(|message| message.to_lowercase().contains("api key"))
}

/// Details come in any order and may be missing; several quotas may be used up at once, and the longest wait counts.
fn quota(error: &Value, message: String) -> ProviderError {
    let violations = || {
        details(error)
            .flat_map(|detail| detail["violations"].as_array())
            .flatten()
    };
    let of = |word: &str| {
        violations().any(|violation| {
            violation["quotaId"]
                .as_str()
                .is_some_and(|id| id.contains(word))
        })
    };
    let whole = error["message"].as_str().unwrap_or_default();
    let is_zero =
        |violation: &Value| violation["quotaValue"] == "0" || violation["quotaValue"] == 0;
    let quota = if whole.contains("limit: 0") || violations().any(is_zero) {
        Quota::None
    } else if of("PerDay") {
        Quota::PerDay
    } else {
        Quota::PerMinute
    };
    let retry_after = details(error)
        .find_map(|detail| detail["retryDelay"].as_str())
        .and_then(span)
        .or_else(|| {
            let (_, rest) = whole.split_once("retry in ")?;
            span(rest.split_whitespace().next()?.trim_end_matches('.'))
        });
    ProviderError::Quota {
        quota,
        message,
        retry_after,
    }
}

/// A span as `10s`, `10.68s` or `10h17m5.7s`.
fn span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    for (unit, worth) in [('h', 3600.0), ('m', 60.0), ('s', 1.0)] {
        if let Some((count, after)) = rest.split_once(unit) {
            seconds += count.parse::<f64>().ok()? * worth;
            rest = after;
        }
    }
    let span = Duration::try_from_secs_f64(seconds).ok()?;
    (rest.is_empty() && !text.is_empty()).then(|| span.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: u16, error: &Value) -> ProviderError {
        refusal(&Reply {
            status,
            body: json!({ "error": error }).to_string(),
            retry_after: None,
        })
    }

    #[test]
    fn spans_are_read_and_nonsense_is_not() {
        for (text, expected) in [
            ("10s", Some(10.0)),
            ("10.68s", Some(10.68)),
            ("10h17m5.7s", Some(37_025.7)),
            ("999999999h", Some(WAIT_MAX.as_secs_f64())),
            ("soon", None),
            ("-3s", None),
            ("", None),
        ] {
            assert_eq!(
                span(text).map(|span| span.as_secs_f64()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn the_quota_that_lasts_longest_is_told_whatever_the_order_of_the_details() {
        let violation = |id: &str, value: &str| json!({"@type": "QuotaFailure", "violations": [{"quotaId": id, "quotaValue": value}]});
        let minute = violation("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", "5");
        let day = violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "20");
        let none = violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "0");
        let retry = json!({"@type": "RetryInfo", "retryDelay": "7s"});
        for (details, expected, wait) in [
            (json!([retry, minute]), Quota::PerMinute, 7.0),
            (json!([minute, day, retry]), Quota::PerDay, 7.0),
            (json!([day]), Quota::PerDay, 10.5),
            (json!([none]), Quota::None, 10.5),
            (Value::Null, Quota::PerMinute, 10.5),
        ] {
            let error = json!({"message": "Quota! Please retry in 10.5s.", "details": details});
            match of(429, &error) {
                ProviderError::Quota {
                    quota, retry_after, ..
                } => {
                    assert_eq!(quota, expected, "{details}");
                    assert_eq!(retry_after.unwrap().as_secs_f64(), wait, "{details}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(
            of(429, &json!({"message": "x: limit: 0"})),
            ProviderError::Quota {
                quota: Quota::None,
                ..
            }
        ));
    }

    #[test]
    fn a_bad_key_is_told_from_a_bad_request() {
        let key = json!({"message": "no", "details": [{"reason": "API_KEY_INVALID"}]});
        assert!(matches!(of(400, &key), ProviderError::Unauthorized(_)));
        let request = json!({"message": "Invalid JSON payload", "status": "INVALID_ARGUMENT"});
        assert!(matches!(of(400, &request), ProviderError::BadRequest(_)));
        let billing = json!({"message": "enable billing", "status": "FAILED_PRECONDITION"});
        assert!(matches!(of(400, &billing), ProviderError::Unauthorized(_)));
        assert!(matches!(of(404, &request), ProviderError::UnknownModel(_)));
        assert!(matches!(of(504, &request), ProviderError::Failed(_)));
    }
}
