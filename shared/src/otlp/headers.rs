//! What a collector wants to be shown beside an address, from the variables that all exporters of OpenTelemetry know.
//! `opentelemetry-otlp` reads them for traces; metrics are pushed by ourselves.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::telemetry::TelemetryError;

/// The variables, the first of them before the other.
const VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_HEADERS",
];

/// The headers of pushed metrics by the environment.
///
/// # Errors
/// If they are none; without what is in them.
pub(super) fn of_metrics() -> Result<HeaderMap, TelemetryError> {
    for variable in VARIABLES {
        if let Ok(text) = std::env::var(variable) {
            return read(&text).ok_or_else(|| {
                let wanted =
                    "NAME=VALUE, more of them after commas, and %XX for what a header cannot hold";
                TelemetryError::Exporter(format!("the variable {variable} is not {wanted}"))
            });
        }
    }
    Ok(HeaderMap::new())
}

/// Headers as `NAME=VALUE,…`, percent-encoded
/// (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/#specifying-headers-via-environment-variables>).
fn read(text: &str) -> Option<HeaderMap> {
    let words = text.split(',').map(str::trim);
    let pairs = words.filter(|word| !word.is_empty()).map(|word| {
        let (name, value) = word.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
        Some((name, value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_all_exporters_do() {
        let read = |text: &str| {
            let headers = read(text)?;
            let pairs = headers.iter().map(|(name, value)| {
                assert!(value.is_sensitive());
                format!("{name}: {}", value.to_str().unwrap())
            });
            Some(pairs.collect::<Vec<_>>())
        };
        let told = |headers: &[&str]| Some(headers.iter().map(ToString::to_string).collect());
        assert_eq!(read(""), told(&[]));
        assert_eq!(read("X-Api-Key=a=b"), told(&["x-api-key: a=b"]));
        assert_eq!(
            read(" authorization=Bearer%20word , team = films,"),
            told(&["authorization: Bearer word", "team: films"])
        );
        for wrong in ["word", "a b=c", "=c", "a=b%0Ac", "a=%FF"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
