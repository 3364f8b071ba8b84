//! What a program tells Prometheus.

use std::fmt;

/// A page of metrics.
#[derive(Debug)]
pub(crate) struct Page(pub(crate) String);

impl Page {
    /// The sum of what is told of a metric under whatever labels; 0 if there is none.
    ///
    /// # Panics
    /// If something of it is no whole number.
    pub(crate) fn sum(&self, metric: &str) -> usize {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(metric)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            is_it.then(|| value.parse::<usize>().unwrap())
        });
        values.sum()
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
