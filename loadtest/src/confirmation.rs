//! What rounds of confirmed reports found, in numbers and in words.

use std::time::Duration;

use serde::Serialize;

use crate::median::Spread;

/// What one round found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Round {
    /// Confirmed reports a second.
    pub confirmed: f64,
    /// Events of a group meanwhile, mean.
    pub group: f64,
    /// Synced groups of that size a second.
    pub synced_groups: f64,
    /// Reports a second whose public-key operations one core does.
    pub public_key: f64,
    /// Confirmed to the lesser of synced groups × group and public-key operations.
    pub ratio: f64,
    /// The rate of the open loop.
    pub half_rate: f64,
    /// Confirmed reports a second then: less if the load did not get the processor in time.
    pub half_confirmed: f64,
    /// Of 99 in 100 receipts at that rate, milliseconds at most, by the server's buckets.
    pub receipt_p99_ms: f64,
    /// A synced write of the size and at the pace of groups at that rate, from when it was due, while nothing
    /// is asked of the server: median, milliseconds.
    pub write_ms: f64,
    /// 99 in 100 of such writes, milliseconds at most.
    pub write_p99_ms: f64,
    /// Receipt time in writes of the median time.
    pub receipt_writes: f64,
    /// The longest time for which a thread that only spins stood still then, milliseconds.
    pub pause_ms: f64,
}

/// What all rounds found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Confirmation {
    /// Median over the rounds, each number by itself.
    pub median: Round,
    /// Least and most of the ratio.
    pub ratio_min: f64,
    /// Least and most of the ratio.
    pub ratio_max: f64,
    /// Each round.
    pub rounds: Vec<Round>,
    /// Connections of the closed loop.
    pub connections: u32,
    /// Keys in a report.
    pub keys: u8,
    /// Length of each run, seconds.
    pub seconds: f64,
    /// Reports that were sent, in all rounds.
    pub sent: u64,
    /// Receipts that verify.
    pub answered: u64,
    /// Reports without an answer.
    pub lost: u64,
    /// Reports that were refused, or whose receipt does not verify.
    pub wrong: u64,
    /// Reports that were asked to come back later.
    pub refused: u64,
}

impl Confirmation {
    /// Puts rounds together; `counts` are sent, answered, lost, wrong and refused reports of all of them.
    pub(crate) fn of(
        rounds: Vec<Round>,
        connections: u32,
        keys: u8,
        length: Duration,
        counts: [u64; 5],
    ) -> Self {
        let [sent, answered, lost, wrong, refused] = counts;
        let ratios = Spread::of(rounds.iter().map(|round| round.ratio)).expect("there is a round");
        let (ratio_min, ratio_max, seconds) = (ratios.min, ratios.max, length.as_secs_f64());
        let median = median(&rounds);
        Confirmation {
            median,
            ratio_min,
            ratio_max,
            rounds,
            connections,
            keys,
            seconds,
            sent,
            answered,
            lost,
            wrong,
            refused,
        }
    }
}

/// Each number's median by itself.
fn median(rounds: &[Round]) -> Round {
    let of =
        |what: fn(&Round) -> f64| Spread::of(rounds.iter().map(what)).map_or(0.0, |spread| spread.median);
    Round {
        confirmed: of(|round| round.confirmed),
        group: of(|round| round.group),
        synced_groups: of(|round| round.synced_groups),
        public_key: of(|round| round.public_key),
        ratio: of(|round| round.ratio),
        half_rate: of(|round| round.half_rate),
        half_confirmed: of(|round| round.half_confirmed),
        receipt_p99_ms: of(|round| round.receipt_p99_ms),
        write_ms: of(|round| round.write_ms),
        write_p99_ms: of(|round| round.write_p99_ms),
        receipt_writes: of(|round| round.receipt_writes),
        pause_ms: of(|round| round.pause_ms),
    }
}

impl std::fmt::Display for Confirmation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Confirmation { median: m, sent, answered, lost, wrong, refused, .. } = self;
        writeln!(
            f,
            "{} rounds, {} connections, {} keys a report; medians:",
            self.rounds.len(),
            self.connections,
            self.keys
        )?;
        writeln!(f, "{:>9.0} reports confirmed a second, {:.1} events in a group", m.confirmed, m.group)?;
        writeln!(
            f,
            "{:>9.0} events synced a second: {:.0} groups of that size",
            m.synced_groups * m.group,
            m.synced_groups
        )?;
        writeln!(f, "{:>9.0} reports a second whose public-key operations one core does", m.public_key)?;
        writeln!(
            f,
            "{:>9.2} of the lesser of the two ({:.2} to {:.2})",
            m.ratio, self.ratio_min, self.ratio_max
        )?;
        writeln!(
            f,
            "{:>9.1} ms from admission to receipt for 99 in 100, at {:.0} of {:.0} reports a second: {:.1} synced writes of {:.2} ms, of which alone 99 in 100 take {:.2} ms",
            m.receipt_p99_ms, m.half_confirmed, m.half_rate, m.receipt_writes, m.write_ms, m.write_p99_ms
        )?;
        let pause_ms = self.rounds.iter().map(|round| round.pause_ms).fold(0.0, f64::max);
        writeln!(
            f,
            "{pause_ms:>9.1} ms a thread that only spins stood still at most, with nothing asked of the server"
        )?;
        write!(
            f,
            "{sent} sent: {answered} confirmed, {lost} lost, {wrong} wrong, {refused} asked to come back"
        )
    }
}
