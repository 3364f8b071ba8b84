//! All metrics of a program at one time: for somebody who asks for them, or to be pushed.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounterVec, Opts, TextEncoder};

use super::{Kind, Metric, catalogue, push};
use crate::trace;

/// All metrics of a program. What can be read off is set on it.
#[derive(Debug)]
pub struct Page {
    program: String,
    families: Vec<MetricFamily>,
    gauges: BTreeMap<&'static str, GaugeVec>,
}

impl Page {
    pub(super) fn new(families: Vec<MetricFamily>) -> Self {
        Self {
            program: String::new(),
            families,
            gauges: BTreeMap::new(),
        }
    }

    /// What every program tells of itself.
    pub fn about(&mut self, program: &str, is_connected: bool) {
        program.clone_into(&mut self.program);
        let version = env!("CARGO_PKG_VERSION");
        self.set(&catalogue::BUILD_INFO, &[program, version], 1.0);
        self.set(&catalogue::BROKER_CONNECTED, &[], truth(is_connected));
        self.count(&catalogue::SPANS_EXPORTED, trace::exported());
        self.count(&catalogue::SPANS_DROPPED, trace::dropped());
        self.count(&catalogue::PUSHES_FAILED, push::failed());
    }

    /// It is so now. `labels` are the values of the metric's labels, in its order.
    ///
    /// # Panics
    /// If the metric is no gauge, or has other labels.
    pub fn set(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        let new = || {
            GaugeVec::new(Opts::new(metric.name, metric.help), metric.labels)
                .expect("the names in the catalogue are good")
        };
        let gauge = self.gauges.entry(metric.name).or_insert_with(new);
        gauge.with_label_values(labels).set(value);
    }

    /// The same, for what several things share a series in.
    ///
    /// # Panics
    /// If the metric is no gauge, or has other labels.
    pub fn add(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        let before = self
            .gauges
            .get(metric.name)
            .map_or(0.0, |gauge| gauge.with_label_values(labels).get());
        self.set(metric, labels, before + value);
    }

    /// The same, for the largest of several things that share a series.
    ///
    /// # Panics
    /// If the metric is no gauge, or has other labels.
    pub fn raise(&mut self, metric: &Metric, labels: &[&str], value: f64) {
        let before = self
            .gauges
            .get(metric.name)
            .map_or(0.0, |gauge| gauge.with_label_values(labels).get());
        self.set(metric, labels, before.max(value));
    }

    fn count(&mut self, metric: &Metric, value: u64) {
        let counter = IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels)
            .expect("the names in the catalogue are good");
        counter.with_label_values::<&str>(&[]).inc_by(value);
        self.families.extend(counter.collect());
    }

    /// The page as Prometheus reads it.
    ///
    /// # Panics
    /// Never: what is on it was checked when it was set.
    pub fn text(self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.families())
            .expect("each family has a series and a name")
    }

    /// What is on it, in the order of names.
    pub(crate) fn families(self) -> Vec<MetricFamily> {
        let mut families = self.families;
        families.extend(self.gauges.values().flat_map(GaugeVec::collect));
        families.sort_by(|one, other| one.name().cmp(other.name()));
        families
    }

    /// The program that it is about.
    pub fn program(&self) -> &str {
        &self.program
    }
}

/// A truth as a number.
pub(super) fn truth(it: bool) -> f64 {
    f64::from(u8::from(it))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Registry;

    #[test]
    fn a_page_holds_what_was_counted_and_what_was_read_off() {
        let registry = Registry::default();
        let attempts = registry.counter(&catalogue::ATTEMPTS);
        let runs = registry.histogram(&catalogue::RUN_SECONDS);
        attempts.add(&["scene", "animatic", "failed", "stalled"]);
        attempts.add(&["scene", "animatic", "failed", "stalled"]);
        runs.observe(
            &["scene", "animatic", "none", "succeeded"],
            Duration::from_millis(1_500),
        );
        let mut page = registry.page();
        page.about("coordinator", true);
        page.set(&catalogue::JOBS_QUEUED, &["scene", "animatic"], 3.0);
        page.add(&catalogue::JOBS_RUNNING, &["scene", "other"], 1.0);
        page.add(&catalogue::JOBS_RUNNING, &["scene", "other"], 2.0);
        let text = page.text();
        for line in [
            r#"callsheet_attempts_total{failure="stalled",kind="scene",outcome="failed",profile="animatic"} 2"#,
            r#"callsheet_jobs_queued{kind="scene",profile="animatic"} 3"#,
            r#"callsheet_jobs_running{kind="scene",profile="other"} 3"#,
            "callsheet_broker_connected 1",
            "callsheet_spans_dropped_total 0",
            "# TYPE callsheet_run_seconds histogram",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
        assert!(
            text.contains(r#"outcome="succeeded",profile="animatic",le="2.5"} 1"#),
            "{text}"
        );
        let again = registry.page().text();
        assert!(
            !again.contains("callsheet_jobs_queued"),
            "what is read off is gone with its page"
        );
    }
}
