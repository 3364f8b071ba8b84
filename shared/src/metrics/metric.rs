//! What a metric is.

/// One metric: all its series share this.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name, with the unit at its end.
    pub name: &'static str,
    /// What sort of number it is.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// Which programs tell it.
    pub teller: Teller,
    /// What it means.
    pub help: &'static str,
}

/// What sort of number a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// It only rises, and begins at 0 with the program.
    Counter,
    /// It is as it is now.
    Gauge,
    /// How many values were at most so large.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// Which programs tell a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// The coordinator.
    Coordinator,
    /// Each worker.
    Worker,
    /// All of them.
    Everyone,
}

impl Teller {
    /// Their name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "workers",
            Self::Everyone => "all",
        }
    }
}

impl Metric {
    /// Its row in the table of `docs/metrics.md`.
    pub fn row(&self) -> String {
        let labels: Vec<String> = self
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        format!(
            "| `{}` | {} | {} | {} | {} |",
            self.name,
            self.kind.name(),
            labels.join(", "),
            self.teller.name(),
            self.help
        )
    }
}
