//! A server's metrics, read: sums, counts and buckets of its histograms between two moments.

use std::collections::BTreeMap;

/// One reading of a page of metrics.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scrape {
    samples: BTreeMap<String, f64>,
}

/// What a histogram took in between two readings.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Taken {
    /// How many values.
    pub(crate) count: f64,
    /// Their sum.
    pub(crate) sum: f64,
    /// (upper bound, values at most that), bounds rising, without the last, which has no bound.
    buckets: Vec<(f64, f64)>,
}

impl Scrape {
    /// Reads a page.
    pub(crate) fn read(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Scrape { samples: samples.collect() }
    }

    fn value(&self, name: &str) -> f64 {
        self.samples.get(name).copied().unwrap_or(0.0)
    }

    /// The sum of all samples whose names begin with `prefix`.
    pub(crate) fn sum(&self, prefix: &str) -> f64 {
        self.samples.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
    }

    /// What histogram `name` took in since `earlier`.
    pub(crate) fn since(&self, earlier: &Scrape, name: &str) -> Taken {
        let difference = |sample: &str| self.value(sample) - earlier.value(sample);
        let prefix = format!("{name}_bucket{{le=\"");
        let bounds = self.samples.keys().filter_map(|sample| {
            let bound: f64 = sample.strip_prefix(&prefix)?.strip_suffix("\"}")?.parse().ok()?;
            Some((bound, difference(sample))).filter(|_| bound.is_finite())
        });
        let mut buckets: Vec<(f64, f64)> = bounds.collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Taken {
            count: difference(&format!("{name}_count")),
            sum: difference(&format!("{name}_sum")),
            buckets,
        }
    }
}

impl Taken {
    /// Mean of the values; 0 without any.
    pub(crate) fn mean(&self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    /// The least bound that `part` of the values, 0 to 1, do not exceed; infinite if they exceed all.
    pub(crate) fn at_most(&self, part: f64) -> f64 {
        let wanted = self.count * part;
        self.buckets.iter().find(|(_, below)| *below >= wanted).map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(counts: [u64; 3], sum: f64) -> Scrape {
        let [a, b, all] = counts;
        Scrape::read(&format!(
            "# TYPE t histogram\nt_bucket{{le=\"0.5\"}} {a}\nt_bucket{{le=\"10\"}} {b}\nt_bucket{{le=\"+Inf\"}} {all}\n\
             t_sum {sum}\nt_count {all}\n"
        ))
    }

    #[test]
    fn what_came_between_two_readings_is_what_counts() {
        let taken = page([1000, 1099, 1100], 90.0).since(&page([1000, 1000, 1000], 40.0), "t");
        assert_eq!((taken.count, taken.sum, taken.mean()), (100.0, 50.0, 0.5));
        assert_eq!((taken.at_most(0.99), taken.at_most(0.999)), (10.0, f64::INFINITY));
        let nothing = Scrape::default().since(&Scrape::default(), "t");
        assert_eq!((nothing.mean(), nothing.at_most(0.99)), (0.0, f64::INFINITY));
    }
}
