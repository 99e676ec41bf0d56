//! What a crawl found.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What a crawl found; times in seconds.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) pages: u64,
    pub(crate) bytes: usize,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) latencies: Vec<f64>,
    pub(crate) elapsed: f64,
    pub(crate) cpu: f64,
}

/// The report as JSON has it; latencies in milliseconds.
#[derive(Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) pages: u64,
    pub(crate) bytes: usize,
    pub(crate) errors: &'a BTreeMap<String, u64>,
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) pages_per_second: f64,
    pub(crate) latency_ms: Percentiles,
}

#[derive(Serialize)]
pub(crate) struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    pub(crate) max: f64,
}

impl Report {
    /// Pages per second.
    pub(crate) fn rate(&self) -> f64 {
        self.pages as f64 / self.elapsed
    }

    /// The latencies, in milliseconds, that half of the pages stayed within, and so on.
    pub(crate) fn percentiles(&self) -> Percentiles {
        let mut ordered = self.latencies.clone();
        ordered.sort_by(f64::total_cmp);
        let within = |share: f64| {
            let index = (share * ordered.len() as f64) as usize;
            let latency = ordered.get(index).or(ordered.last());
            1e3 * latency.copied().unwrap_or(0.0)
        };
        Percentiles {
            p50: within(0.5),
            p90: within(0.9),
            p99: within(0.99),
            max: within(1.0),
        }
    }

    pub(crate) fn summary(&self) -> Summary<'_> {
        let round = |value: f64, digits| {
            let scale = 10f64.powi(digits);
            (value * scale).round() / scale
        };
        let Percentiles { p50, p90, p99, max } = self.percentiles();
        let [p50, p90, p99, max] = [p50, p90, p99, max].map(|it| round(it, 3));
        Summary {
            pages: self.pages,
            bytes: self.bytes,
            errors: &self.errors,
            seconds: round(self.elapsed, 4),
            cpu_seconds: round(self.cpu, 4),
            pages_per_second: round(self.rate(), 1),
            latency_ms: Percentiles { p50, p90, p99, max },
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.errors.values().sum();
        let kinds = self
            .errors
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        let errors = if total == 0 {
            String::new()
        } else {
            format!(" ({kinds})")
        };
        let Percentiles { p50, p90, p99, max } = self.percentiles();
        writeln!(f, "pages       {}", self.pages)?;
        writeln!(f, "bytes       {}", self.bytes)?;
        writeln!(f, "errors      {total}{errors}")?;
        writeln!(
            f,
            "seconds     {:.2}, of which CPU {:.2}",
            self.elapsed, self.cpu
        )?;
        writeln!(f, "pages/s     {:.0}", self.rate())?;
        write!(
            f,
            "latency/ms  p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1}"
        )
    }
}
