//! Who reports what and when: two weeks of an epidemic as apps send it, drawn from a seed.

use std::collections::BTreeSet;

use tekd::engine::{PresentedKey, Random, Seeded};
use tekd::wire::Key;
use tekd::wire::report::ReportType;

/// 00:00 UTC of a day in 2026: the first day of the epidemic.
pub(crate) const BEGIN: u64 = 1_790_294_400;
const _: () = assert!(BEGIN.is_multiple_of(DAY_S));
pub(crate) const DAY_S: u64 = 86_400;
pub(crate) const DAYS: u64 = 14;
pub(crate) const REPORTS: usize = 2_000;
pub(crate) const PROVIDERS: usize = 5;
const HOUR_S: u64 = 3_600;
const INTERVALS: u32 = 144;

/// The provider that errs, when it is found out, and since when it did.
pub(crate) const ERRING: usize = 3;
pub(crate) const ERRED_SINCE: u64 = BEGIN + 9 * DAY_S + 9 * HOUR_S;
pub(crate) const FOUND_OUT: u64 = BEGIN + 9 * DAY_S + 21 * HOUR_S;

/// What the reports of an app family say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Confirmed tests only; no risk is told.
    Plain,
    /// All report types; the risk of many follows from their onset of symptoms, others have a curve over the
    /// age of a key, others tell none.
    Mixed,
}

/// What becomes of a report later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Stays,
    /// Its author cancels it after so many seconds.
    Cancelled(u64),
    /// An operator withdraws it after so many seconds.
    Withdrawn(u64),
    /// Its author sends the key of the day of the report, a day later.
    Continued,
    /// A test comes: it gets another type.
    Revised(ReportType, u64),
}

/// One report.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) at: u64,
    pub(crate) provider: usize,
    pub(crate) report_type: ReportType,
    pub(crate) onset_day: Option<u32>,
    pub(crate) keys: Vec<PresentedKey>,
    pub(crate) last: PresentedKey,
    pub(crate) fate: Fate,
}

/// Draws from a seed.
pub(crate) struct Dice(pub(crate) Seeded);

impl Dice {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    /// A number of `range`, both ends included.
    pub(crate) fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(usize::try_from(most - least + 1).expect("a small range")) as u64
    }

    pub(crate) fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

/// How the risk of a key is found.
#[derive(Clone, Copy)]
enum Curve {
    /// From the days between the key and the onset of symptoms.
    Onset(u32),
    /// From the days between the key and the report.
    Age(u32),
    None,
}

impl Curve {
    fn risk(self, day: u32) -> u8 {
        match self {
            Curve::Onset(onset) => match i64::from(day) - i64::from(onset) {
                -2 | 4 => 5,
                -1 | 3 => 6,
                0..=2 => 8,
                -3 | 5 => 3,
                6 => 2,
                _ => 1,
            },
            Curve::Age(today) => [5, 6, 8, 8, 8, 5, 3].get((today - day) as usize).copied().unwrap_or(1),
            Curve::None => 0,
        }
    }
}

/// All reports, in the order of their arrival.
pub(crate) fn outbreak(dice: &mut Dice, family: Family) -> Vec<Person> {
    let mut times: Vec<u64> = (0..REPORTS).map(|_| arrival(dice)).collect();
    times.sort_unstable();
    times.into_iter().map(|at| person(dice, family, at)).collect()
}

/// By day, mostly: a third as many report in the eight hours of the night.
fn arrival(dice: &mut Dice) -> u64 {
    loop {
        let at = dice.within(BEGIN, BEGIN + DAYS * DAY_S - 1);
        let hour = at % DAY_S / HOUR_S;
        if (7..23).contains(&hour) || dice.percent(33) {
            return at;
        }
    }
}

pub(crate) fn person(dice: &mut Dice, family: Family, at: u64) -> Person {
    let today = u32::try_from(at / DAY_S).expect("this century");
    let report_type = match dice.below(100) {
        _ if family == Family::Plain => ReportType::Confirmed,
        0..80 => ReportType::Confirmed,
        80..93 => ReportType::Likely,
        _ => ReportType::SelfReport,
    };
    let curve = match dice.below(10) {
        _ if family == Family::Plain => Curve::None,
        0..5 => Curve::Onset(today - u32::try_from(dice.within(0, 8)).expect("few days")),
        5..8 => Curve::Age(today),
        _ => Curve::None,
    };
    let onset_day = if let Curve::Onset(day) = curve { Some(day) } else { None };
    let mut key = |day: u32, period: u32| PresentedKey {
        key: Key::from_slice(&dice.bytes::<16>()).expect("16 bytes"),
        start: day * INTERVALS,
        period,
        risk: curve.risk(day),
    };
    let last = key(today, INTERVALS);
    let all: Vec<PresentedKey> = (1..=14).map(|ago| key(today - ago, INTERVALS)).collect();
    let days = if dice.percent(60) { dice.within(10, 14) } else { dice.within(1, 9) };
    let mut keys = all[..usize::try_from(days).expect("few days")].to_vec();
    let elapsed = u32::try_from(at % DAY_S / 600).expect("an interval of a day");
    match dice.below(100) {
        // The phone ends its key with the report.
        0..25 if elapsed > 0 => keys.push(PresentedKey { period: elapsed, ..last.clone() }),
        // The key goes on until the end of the day.
        25..40 => keys.push(last.clone()),
        _ => {}
    }
    let fate = fate(dice, report_type, keys.iter().any(|k| k.start == last.start));
    Person { at, provider: dice.below(PROVIDERS), report_type, onset_day, keys, last, fate }
}

fn fate(dice: &mut Dice, report_type: ReportType, whole: bool) -> Fate {
    let after = dice.within(HOUR_S, 5 * DAY_S);
    match dice.below(100) {
        0..4 => Fate::Cancelled(after),
        4..8 => Fate::Withdrawn(after),
        8..16 if !whole => Fate::Continued,
        16..40 if report_type == ReportType::Likely => Fate::Revised(ReportType::Confirmed, after),
        16..30 if report_type == ReportType::SelfReport => Fate::Revised(ReportType::Likely, after),
        _ => Fate::Stays,
    }
}

/// What happens, in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Submit(usize),
    Cancel(usize),
    Withdraw(usize),
    Continue(usize),
    Revise(usize),
    /// Everything that the erring provider authorised since it erred.
    RollBack,
}

/// The order of everything that happens.
pub(crate) fn course(people: &[Person]) -> BTreeSet<(u64, Step)> {
    let mut steps = BTreeSet::from([(FOUND_OUT, Step::RollBack)]);
    for (i, person) in people.iter().enumerate() {
        steps.insert((person.at, Step::Submit(i)));
        let next = match person.fate {
            Fate::Stays => continue,
            Fate::Cancelled(after) => (person.at + after, Step::Cancel(i)),
            Fate::Withdrawn(after) => (person.at + after, Step::Withdraw(i)),
            Fate::Continued => (person.at + DAY_S, Step::Continue(i)),
            Fate::Revised(_, after) => (person.at + after, Step::Revise(i)),
        };
        steps.insert(next);
    }
    steps
}
