//! Budgets of wrong grants (spec 7.5.3): so many a provider and in all, refilled with time. What is left
//! tells whether to raise an alarm and whether to ask for a puzzle, and how hard a one.
//!
//! A budget bans nobody and refuses nothing: it only sets the price of the next guess. It is no state either
//! and starts full again with the process. Integer arithmetic on seconds the caller brings; a clock that goes
//! back refills nothing and takes nothing away.

use std::collections::BTreeMap;

use super::puzzle::{MAX_PUZZLE_BITS, MIN_PUZZLE_BITS};

/// A budget: wrong grants it takes from full to gone, and how many an hour come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Wrong grants.
    pub size: u64,
    /// Wrong grants an hour.
    pub refill: u64,
}

/// The budget of one provider (spec 7.5.3).
pub const PROVIDER_BUDGET: Budget = Budget { size: 200, refill: 100 };
/// The budget of all providers together, and of grants that tell none (spec 7.5.3).
pub const TOTAL_BUDGET: Budget = Budget { size: 1_000, refill: 600 };
/// Bits of the puzzle when a budget is gone (spec 7.5.3).
pub const FIRST_PUZZLE_BITS: u8 = 20;
/// Most providers counted at one time; wrong grants of further ones count in all.
pub const MAX_COUNTED_PROVIDERS: usize = 4_096;
/// What is spent of a budget is at most so many times its size: then time makes good what any flood did, a
/// provider's within 20 hours, all of it within 17.
const MAX_SPENT: u64 = 10;

/// Seconds of an hour, and parts in which a wrong grant is counted, so that each second refills whole parts.
const HOUR_S: u64 = 3_600;

const _: () = assert!(MIN_PUZZLE_BITS <= FIRST_PUZZLE_BITS && FIRST_PUZZLE_BITS <= MAX_PUZZLE_BITS);
// The hardest puzzle is reached: an overdraft of 2ⁿ sizes asks for n + 1 bits more.
const _: () = assert!(MAX_SPENT > 1 + (1 << (MAX_PUZZLE_BITS - FIRST_PUZZLE_BITS - 1)));
const _: () =
    assert!(PROVIDER_BUDGET.size <= TOTAL_BUDGET.size && PROVIDER_BUDGET.refill <= TOTAL_BUDGET.refill);
// Whatever is spent is made good within a day.
const _: () = assert!(MAX_SPENT * PROVIDER_BUDGET.size <= 24 * PROVIDER_BUDGET.refill);
const _: () = assert!(MAX_SPENT * TOTAL_BUDGET.size <= 24 * TOTAL_BUDGET.refill);

/// How far a budget is spent; of two levels the greater is the graver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than half.
    Calm,
    /// Half: somebody should look.
    Alarm,
    /// All: the next grant needs a puzzle.
    Puzzle {
        /// Zero bits the solution's hash begins with: 20 to 24.
        bits: u8,
    },
}

/// What was spent of one budget.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Spent at `at`, in 3,600ths of a wrong grant.
    spent: u64,
    /// Greatest time seen, in Unix seconds.
    at: u64,
}

impl Tally {
    fn spent(&self, now: u64, budget: Budget) -> u64 {
        self.spent.saturating_sub(budget.refill.saturating_mul(now.saturating_sub(self.at)))
    }

    fn fail(&mut self, now: u64, budget: Budget) {
        let spent = self.spent(now, budget) + HOUR_S;
        *self = Tally { spent: spent.min(MAX_SPENT * budget.size * HOUR_S), at: self.at.max(now) };
    }

    fn level(&self, now: u64, budget: Budget) -> Level {
        let size = budget.size * HOUR_S;
        let spent = self.spent(now, budget);
        match spent.checked_sub(size) {
            Some(overdraft) => Level::Puzzle { bits: bits(overdraft / size) },
            None if spent * 2 >= size => Level::Alarm,
            None => Level::Calm,
        }
    }
}

/// The bits for an overdraft of so many whole sizes: one more for the first and for each doubling of it.
fn bits(overdraft: u64) -> u8 {
    let doublings = overdraft.checked_ilog2().map_or(0, |log| log + 1);
    (u32::from(FIRST_PUZZLE_BITS) + doublings).min(u32::from(MAX_PUZZLE_BITS)) as u8
}

/// What was spent of every budget.
#[derive(Debug, Default)]
pub struct Budgets {
    total: Tally,
    // bounded: at most MAX_COUNTED_PROVIDERS; full budgets are dropped, beyond that only the total counts.
    providers: BTreeMap<u32, Tally>,
    uncounted: u64,
}

impl Budgets {
    /// Every budget full.
    pub fn new() -> Budgets {
        Budgets::default()
    }

    /// Counts one wrong grant at `now` (Unix seconds), against its provider too where one can be told. The
    /// caller names providers that are registered, not what strangers write.
    pub fn fail(&mut self, now: u64, provider: Option<u32>) {
        self.total.fail(now, TOTAL_BUDGET);
        let Some(provider) = provider else { return };
        if !self.providers.contains_key(&provider) {
            self.providers.retain(|_, tally| tally.spent(now, PROVIDER_BUDGET) > 0);
            if self.providers.len() >= MAX_COUNTED_PROVIDERS {
                self.uncounted += 1;
                return;
            }
        }
        self.providers.entry(provider).or_default().fail(now, PROVIDER_BUDGET);
    }

    /// How far the budget of all is spent, or the provider's where that is graver.
    pub fn level(&self, now: u64, provider: Option<u32>) -> Level {
        let tally = provider.and_then(|provider| self.providers.get(&provider));
        let own = tally.map_or(Level::Calm, |tally| tally.level(now, PROVIDER_BUDGET));
        own.max(self.total.level(now, TOTAL_BUDGET))
    }

    /// The budgets that are not calm: that of all (`None`) first, then providers by number.
    pub fn alarms(&self, now: u64) -> impl Iterator<Item = (Option<u32>, Level)> {
        let total = (None, self.total.level(now, TOTAL_BUDGET));
        let own =
            self.providers.iter().map(move |(&id, tally)| (Some(id), tally.level(now, PROVIDER_BUDGET)));
        std::iter::once(total).chain(own).filter(|&(_, level)| level > Level::Calm)
    }

    /// Wrong grants that counted in all and not against their provider, because too many others did.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_700_000_000;

    fn failed(times: u64, provider: Option<u32>) -> Budgets {
        let mut budgets = Budgets::new();
        (0..times).for_each(|_| budgets.fail(NOW, provider));
        budgets
    }

    #[test]
    fn half_of_a_budget_raises_an_alarm_and_all_of_it_asks_for_a_puzzle() {
        // spec 7.5.3
        let level = |times, provider| failed(times, provider).level(NOW, provider);
        assert_eq!(level(0, Some(7)), Level::Calm);
        assert_eq!(level(99, Some(7)), Level::Calm);
        assert_eq!(level(100, Some(7)), Level::Alarm);
        assert_eq!(level(199, Some(7)), Level::Alarm);
        assert_eq!(level(200, Some(7)), Level::Puzzle { bits: 20 });
        assert_eq!(level(499, None), Level::Calm);
        assert_eq!(level(500, None), Level::Alarm);
        assert_eq!(level(999, None), Level::Alarm);
        assert_eq!(level(1_000, None), Level::Puzzle { bits: 20 });
    }

    #[test]
    fn each_doubling_of_the_overdraft_asks_for_one_bit_more_up_to_24() {
        // spec 7.5.3
        let bits = |times| match failed(times, None).level(NOW, None) {
            Level::Puzzle { bits } => bits,
            calm => panic!("{calm:?} after {times}"),
        };
        let sizes = [(1_000, 20), (2_000, 21), (3_000, 22), (5_000, 23), (9_000, 24)];
        for (times, expected) in sizes {
            assert_eq!(bits(times), expected, "{times}");
            assert_eq!(bits(times + 999), expected, "{}", times + 999);
        }
        assert_eq!((bits(4_999), bits(8_999), bits(40_000)), (22, 23, 24));
    }

    #[test]
    fn a_budget_is_refilled_by_the_hour() {
        // spec 7.5.3
        let budgets = failed(200, Some(7));
        assert_eq!(budgets.level(NOW, Some(7)), Level::Puzzle { bits: 20 });
        assert_eq!(budgets.level(NOW + 1, Some(7)), Level::Alarm);
        assert_eq!(budgets.level(NOW + 3_600, Some(7)), Level::Alarm);
        assert_eq!(budgets.level(NOW + 3_601, Some(7)), Level::Calm);
        let mut total = failed(1_000, None);
        (0..600).for_each(|_| total.fail(NOW + 3_600, None));
        assert_eq!(total.level(NOW + 3_600, None), Level::Puzzle { bits: 20 });
        assert_eq!(total.level(NOW + 3_601, None), Level::Alarm);
    }

    #[test]
    fn any_flood_is_made_good_within_a_day() {
        let budgets = failed(100_000, Some(7));
        assert_eq!(budgets.level(NOW, Some(7)), Level::Puzzle { bits: 24 });
        assert_eq!(budgets.level(NOW + 86_400, Some(7)), Level::Calm);
        assert_eq!(budgets.alarms(NOW + 86_400).count(), 0);
        assert_eq!(budgets.level(u64::MAX, Some(7)), Level::Calm);
    }

    #[test]
    fn a_provider_pays_for_its_own_and_everybody_for_the_sum() {
        let mut budgets = failed(200, Some(7));
        assert_eq!(budgets.level(NOW, Some(7)), Level::Puzzle { bits: 20 });
        assert_eq!(budgets.level(NOW, Some(8)), Level::Calm);
        assert_eq!(budgets.level(NOW, None), Level::Calm);
        (0..300).for_each(|_| budgets.fail(NOW, None));
        assert_eq!(budgets.level(NOW, Some(8)), Level::Alarm);
        (0..100).for_each(|_| budgets.fail(NOW, Some(3)));
        let alarms: Vec<_> = budgets.alarms(NOW).collect();
        let puzzle = Level::Puzzle { bits: 20 };
        assert_eq!(alarms, [(None, Level::Alarm), (Some(3), Level::Alarm), (Some(7), puzzle)]);
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let mut budgets = failed(200, Some(7));
        assert_eq!(budgets.level(0, Some(7)), Level::Puzzle { bits: 20 });
        budgets.fail(0, Some(7));
        assert_eq!(budgets.level(NOW, Some(7)), Level::Puzzle { bits: 20 });
        assert_eq!(budgets.level(NOW + 36, Some(7)), Level::Puzzle { bits: 20 }, "201 less one");
        assert_eq!(budgets.level(NOW + 37, Some(7)), Level::Alarm);
    }

    #[test]
    fn providers_beyond_the_bound_count_in_all_until_others_are_full_again() {
        let mut budgets = Budgets::new();
        (0..MAX_COUNTED_PROVIDERS as u32).for_each(|id| budgets.fail(NOW, Some(id)));
        let late = Some(u32::MAX);
        (0..200).for_each(|_| budgets.fail(NOW, late));
        assert_eq!((budgets.providers.len(), budgets.uncounted()), (MAX_COUNTED_PROVIDERS, 200));
        assert_eq!(budgets.total.spent, (MAX_COUNTED_PROVIDERS as u64 + 200) * HOUR_S);
        // One wrong grant of a provider is made good in 36 seconds.
        budgets.fail(NOW + 35, late);
        assert_eq!((budgets.providers.len(), budgets.uncounted()), (MAX_COUNTED_PROVIDERS, 201));
        budgets.fail(NOW + 36, late);
        assert_eq!((budgets.providers.len(), budgets.uncounted()), (1, 201));
    }

    proptest! {
        #[test]
        fn spending_is_what_a_sum_over_the_seconds_says(
            steps in prop::collection::vec((0u64..2_000, 0u64..300), 1..60),
        ) {
            let mut budgets = Budgets::new();
            let (mut now, mut spent) = (NOW, 0u64);
            for (wait, times) in steps {
                for _ in 0..wait {
                    now += 1;
                    spent = spent.saturating_sub(TOTAL_BUDGET.refill);
                }
                for _ in 0..times {
                    budgets.fail(now, None);
                    spent = (spent + HOUR_S).min(MAX_SPENT * TOTAL_BUDGET.size * HOUR_S);
                }
                prop_assert_eq!(budgets.total.spent(now, TOTAL_BUDGET), spent);
            }
        }

        #[test]
        fn a_provider_never_makes_a_level_less_grave(
            fails in prop::collection::vec((0u64..100, 0u32..3), 0..600),
        ) {
            let mut budgets = Budgets::new();
            for (later, provider) in fails {
                budgets.fail(NOW + later, Some(provider));
                prop_assert!(budgets.level(NOW + later, Some(provider)) >= budgets.level(NOW + later, None));
            }
        }
    }
}
