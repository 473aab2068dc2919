//! Medians over the runs of a measurement.

use super::load::Sample;

/// The median. Zero if there are no values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The median of a figure over the runs.
pub fn median_of(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(of))
}

/// The ratios of the rates of two series of runs. Each run of the first is divided by the run of the second that
/// followed it or preceded it.
pub fn ratios<'a>(of: impl IntoIterator<Item = &'a f64>, to: impl IntoIterator<Item = &'a f64>) -> Vec<f64> {
    of.into_iter().zip(to).map(|(of, to)| of / to.max(0.001)).collect()
}

pub fn rates(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.per_second).collect()
}

/// A figure of a run divided by its purchases or reads, for one of them.
pub fn for_each(sample: &Sample, figure: f64) -> f64 {
    figure / sample.done.max(1.0)
}

/// Millions of bytes.
pub fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

#[cfg(test)]
#[path = "stats_tests.rs"]
mod tests;
