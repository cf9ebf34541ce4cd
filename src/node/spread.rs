//! How values are spread over fixed bounds: what a page of metrics says of times and sizes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::service::metrics::{Histogram, MetricsText};

/// Parts of a sum in one unit of its values: sums are kept in whole millionths.
const PARTS: f64 = 1e6;

/// Values by the first bound that is not below them; the last count is of those above all bounds.
#[derive(Debug)]
pub(crate) struct Spread<const N: usize> {
    bounds: &'static [f64; N],
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Spread<N> {
    /// Without values.
    pub(crate) fn new(bounds: &'static [f64; N]) -> Self {
        Self {
            bounds,
            counts: [const { AtomicU64::new(0) }; N],
            above: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// One more value.
    pub(crate) fn add(&self, value: f64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        place.map_or(&self.above, |at| &self.counts[at]).fetch_add(1, Relaxed);
        self.sum.fetch_add((value * PARTS) as u64, Relaxed);
    }

    /// Adds it to a page as a histogram.
    pub(crate) fn write(&self, page: &mut MetricsText, name: &'static str, help: &'static str) {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let buckets: Vec<(f64, u64)> = self.bounds.iter().copied().zip(counts).collect();
        let (above, sum) = (self.above.load(Relaxed), self.sum.load(Relaxed) as f64 / PARTS);
        page.histogram(name, help, &[], Histogram { buckets: &buckets, above, sum });
    }
}
