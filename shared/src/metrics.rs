//! Metrics: what is counted, and how it is told: on a page for Prometheus, or pushed to a collector.
//!
//! Every metric of every program stands in the [`catalogue`], with its labels and its meaning; `docs/metrics.md` is made from it.
//! What is counted as it happens is an atomic number in a [`Registry`]; what can be read off (queues, cards) is set on a [`Page`]
//! when somebody asks, and costs nothing before. No label ever holds the id of a film, a job or a run: there are as many series
//! as there are profiles, cards and reasons, and no more.

pub mod catalogue;
mod metric;
mod page;
pub mod push;
mod registry;

pub use self::metric::{Kind, Metric, Teller};
pub use self::page::Page;
pub use self::registry::{Counter, Histogram, Registry};

/// How a page is called in HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
