//! What is counted as it happens.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use super::page::Page;
use super::{Kind, Metric};

/// The counters of one program. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Registry(prometheus::Registry);

/// Counts something. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Counter(IntCounterVec);

/// Sorts durations by how long they are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Histogram(HistogramVec);

impl Registry {
    /// A counter that begins at 0.
    ///
    /// # Panics
    /// If the metric is none, or is counted here already.
    pub fn counter(&self, metric: &Metric) -> Counter {
        assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let counter = IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels)
            .expect("the names in the catalogue are good");
        if metric.labels.is_empty() {
            // There is one series, and it is 0, which is worth knowing.
            counter.with_label_values::<&str>(&[]);
        }
        self.0
            .register(Box::new(counter.clone()))
            .expect("each metric is registered once");
        Counter(counter)
    }

    /// A histogram without a value.
    ///
    /// # Panics
    /// If the metric is none, or is counted here already.
    pub fn histogram(&self, metric: &Metric) -> Histogram {
        let Kind::Histogram(buckets) = metric.kind else {
            panic!("{} is no histogram", metric.name);
        };
        let options = HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
        let histogram =
            HistogramVec::new(options, metric.labels).expect("the names in the catalogue are good");
        self.0
            .register(Box::new(histogram.clone()))
            .expect("each metric is registered once");
        Histogram(histogram)
    }

    /// A page with what was counted so far.
    pub fn page(&self) -> Page {
        Page::new(self.0.gather())
    }
}

impl Counter {
    /// Shows 0 until something is counted: what rises from nothing is not seen to rise.
    pub fn begin(&self, labels: &[&str]) {
        self.0.with_label_values(labels);
    }

    /// One more. `labels` are the values of the metric's labels, in its order.
    pub fn add(&self, labels: &[&str]) {
        self.0.with_label_values(labels).inc();
    }
}

impl Histogram {
    /// It took so long. `labels` are the values of the metric's labels, in its order.
    pub fn observe(&self, labels: &[&str], took: Duration) {
        self.0.with_label_values(labels).observe(took.as_secs_f64());
    }
}
