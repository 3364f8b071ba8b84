//! Metrics as OTLP's messages, made from the same families that the page for Prometheus is written from.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::proto::{self, MetricFamily, MetricType};

use crate::telemetry::Service;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// When values were taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    /// Since when counters count.
    pub(super) since: SystemTime,
    /// When they were looked at.
    pub(super) at: SystemTime,
}

impl Taken {
    /// Both in nanoseconds since 1970. A clock that was set back makes no time before the start.
    fn nanos(self) -> (u64, u64) {
        let nanos = |time: SystemTime| {
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        };
        let since = nanos(self.since);
        (since, nanos(self.at).max(since))
    }
}

/// The request that pushes them.
pub(super) fn request(
    families: &[MetricFamily],
    service: &Service,
    taken: Taken,
) -> ExportMetricsServiceRequest {
    let about = service.attributes();
    let attributes = about.map(|(key, value)| attribute(key, &value)).into();
    let scope = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "callsheet".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: families
            .iter()
            .filter_map(|family| metric(family, taken.nanos()))
            .collect(),
        ..ScopeMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes,
                ..Resource::default()
            }),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        }],
    }
}

/// One metric; `None` for sorts that the catalogue does not have.
fn metric(family: &MetricFamily, times: (u64, u64)) -> Option<Metric> {
    let series = family.get_metric().iter();
    let data = match family.get_field_type() {
        MetricType::COUNTER => Data::Sum(Sum {
            data_points: series
                .map(|it| number(it, it.get_counter().get_value(), times))
                .collect(),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        MetricType::GAUGE => Data::Gauge(Gauge {
            // It is as it is at one time.
            data_points: series
                .map(|it| number(it, it.get_gauge().get_value(), (0, times.1)))
                .collect(),
        }),
        MetricType::HISTOGRAM => Data::Histogram(Histogram {
            data_points: series.map(|it| histogram(it, times)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
        MetricType::SUMMARY | MetricType::UNTYPED => return None,
    };
    Some(Metric {
        name: family.name().to_owned(),
        description: family.help().to_owned(),
        unit: unit(family.name()).to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn number(series: &proto::Metric, value: f64, (since, at): (u64, u64)) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: since,
        time_unix_nano: at,
        value: Some(AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// Prometheus counts in each bucket what is in those before it, too; OTLP does not, and has one more bucket for what is above
/// all bounds.
fn histogram(series: &proto::Metric, (since, at): (u64, u64)) -> HistogramDataPoint {
    let told = series.get_histogram();
    let bounds: Vec<f64> = told
        .get_bucket()
        .iter()
        .map(proto::Bucket::upper_bound)
        .collect();
    let up_to = told
        .get_bucket()
        .iter()
        .map(proto::Bucket::cumulative_count);
    let counts = up_to
        .chain([told.get_sample_count()])
        .scan(0, |before, up_to: u64| {
            let here = up_to.saturating_sub(*before);
            *before = up_to;
            Some(here)
        });
    HistogramDataPoint {
        attributes: attributes(series),
        start_time_unix_nano: since,
        time_unix_nano: at,
        count: told.get_sample_count(),
        sum: Some(told.get_sample_sum()),
        bucket_counts: counts.collect(),
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

/// The unit that a name ends with, as UCUM writes it.
fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total");
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "",
    }
}

fn attributes(series: &proto::Metric) -> Vec<KeyValue> {
    let labels = series.get_label().iter();
    labels
        .map(|label| attribute(label.name(), label.value()))
        .collect()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Registry, catalogue};
    use crate::settings::TelemetrySettings;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// What is pushed of a worker that ran three jobs, looked at 100 seconds after 1970.
    fn pushed(taken: Taken) -> (Vec<KeyValue>, Vec<Metric>) {
        let registry = Registry::default();
        let loads = registry.counter(&catalogue::MODEL_LOADS);
        let runs = registry.histogram(&catalogue::RUN_SECONDS);
        loads.add(&["wan", "GPU-1"]);
        loads.add(&["wan", "GPU-1"]);
        for took in [0.1, 0.3, 4_000.0] {
            let labels = ["scene", "wan", "GPU-1", "succeeded"];
            runs.observe(&labels, Duration::from_secs_f64(took));
        }
        let mut page = registry.page();
        page.set(&catalogue::CARD_FREE, &["GPU-1"], 7.0);
        page.set(&catalogue::SLOTS, &[], 2.0);
        let service = Service::new("video-worker", "painter", &TelemetrySettings::default());
        let request = request(&page.families(), &service, taken);
        let [resource] = <[_; 1]>::try_from(request.resource_metrics).unwrap();
        let [scope] = <[_; 1]>::try_from(resource.scope_metrics).unwrap();
        assert_eq!(scope.scope.unwrap().name, "callsheet");
        (resource.resource.unwrap().attributes, scope.metrics)
    }

    const TAKEN: Taken = Taken {
        since: UNIX_EPOCH,
        at: UNIX_EPOCH,
    };

    fn named(metrics: &[Metric], name: &str) -> Metric {
        let found = metrics.iter().find(|metric| metric.name == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {metrics:#?}"))
            .clone()
    }

    #[test]
    fn who_tells_them_stands_with_them() {
        let (about, _) = pushed(TAKEN);
        for (key, value) in [
            ("service.name", "callsheet-video-worker"),
            ("service.namespace", "callsheet"),
            ("service.instance.id", "painter"),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(about.contains(&attribute(key, value)), "{key} in {about:?}");
        }
    }

    #[test]
    fn a_counter_counts_since_the_start() {
        let (_, metrics) = pushed(Taken {
            since: at(40),
            at: at(100),
        });
        let loads = named(&metrics, "callsheet_model_loads_total");
        assert_eq!(loads.unit, "");
        assert_eq!(loads.description, catalogue::MODEL_LOADS.help);
        let Some(Data::Sum(sum)) = loads.data else {
            panic!("{loads:?}")
        };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality, CUMULATIVE);
        let [point] = &sum.data_points[..] else {
            panic!("{sum:?}")
        };
        assert_eq!(
            point.attributes,
            [attribute("device", "GPU-1"), attribute("profile", "wan")]
        );
        assert_eq!(point.start_time_unix_nano, 40_000_000_000);
        assert_eq!(point.time_unix_nano, 100_000_000_000);
        assert_eq!(point.value, Some(AsDouble(2.0)));
    }

    #[test]
    fn a_gauge_is_as_it_is_at_one_time() {
        let (_, metrics) = pushed(Taken {
            since: at(40),
            at: at(100),
        });
        let free = named(&metrics, "callsheet_card_free_bytes");
        assert_eq!(free.unit, "By");
        let Some(Data::Gauge(gauge)) = free.data else {
            panic!("{free:?}")
        };
        let [point] = &gauge.data_points[..] else {
            panic!("{gauge:?}")
        };
        assert_eq!(point.start_time_unix_nano, 0);
        assert_eq!(point.time_unix_nano, 100_000_000_000);
        assert_eq!(point.value, Some(AsDouble(7.0)));
    }

    #[test]
    fn each_bucket_of_a_histogram_counts_its_own() {
        let (_, metrics) = pushed(Taken {
            since: at(40),
            at: at(100),
        });
        let runs = named(&metrics, "callsheet_run_seconds");
        assert_eq!(runs.unit, "s");
        let Some(Data::Histogram(histogram)) = runs.data else {
            panic!("{runs:?}")
        };
        assert_eq!(histogram.aggregation_temporality, CUMULATIVE);
        let [point] = &histogram.data_points[..] else {
            panic!("{histogram:?}")
        };
        let bounds = &point.explicit_bounds;
        assert_eq!(
            (bounds[0], bounds[1], bounds.last()),
            (0.1, 0.5, Some(&3_600.0))
        );
        assert_eq!(point.bucket_counts.len(), bounds.len() + 1);
        let mut counts = vec![0; bounds.len() + 1];
        // A value on a bound is below it; one above all bounds has the last bucket.
        (counts[0], counts[1], counts[bounds.len()]) = (1, 1, 1);
        assert_eq!(point.bucket_counts, counts);
        assert_eq!((point.count, point.sum), (3, Some(4_000.4)));
        assert_eq!(point.start_time_unix_nano, 40_000_000_000);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_time_before_the_start() {
        let taken = Taken {
            since: at(40),
            at: at(10),
        };
        assert_eq!(taken.nanos(), (40_000_000_000, 40_000_000_000));
    }

    #[test]
    fn units_are_read_off_the_names() {
        let units = catalogue::ALL.iter().map(|it| (it.name, unit(it.name)));
        for (name, unit) in units {
            let expected = match name {
                _ if name.contains("_seconds") => "s",
                _ if name.contains("_bytes") => "By",
                _ => "",
            };
            assert_eq!(unit, expected, "{name}");
        }
    }
}
