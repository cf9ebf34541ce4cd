//! Nothing public tells which keys came from one report: an attacker tries, over two weeks of an epidemic.
//!
//! What a set publishes of a key, its start, period, report type and class of risk, is the author's own: two
//! keys of different types are not of one report, and no server changes that. So there are two epidemics. In
//! the *plain* one reports say no more than their days, and the attacker must not do better than chance. In
//! the *mixed* one they say what apps say: there the attacker must not do better than chance among keys of
//! equal fields, of which there always are enough, so that no guess succeeds more often than one of
//! `min_reports`. What the fields alone give away is printed, for both schemas.
//!
//! Columns: AUC over all pairs of different days, in which the number of keys a day tells something too;
//! among the keys of the partner's day; among those of the partner's fields; how often the best guess is
//! right; the fewest keys of equal fields. Rows: keys that come with a release, what is known of these in
//! the end, keys that leave with a release, and keys that come again under another type, which their first
//! entry links.

#[path = "unlinkable/attack.rs"]
mod attack;
#[path = "unlinkable/epidemic.rs"]
mod epidemic;
#[path = "unlinkable/masks.rs"]
mod masks;
#[path = "unlinkable/world.rs"]
mod world;

use attack::{Findings, Side, Unmasked, link, unmask};
use epidemic::Family;
use tekd::engine::{DEFAULT_PARAMS, ParamsChange};
use tekd::release::Schema;
use world::{Seen, live_through};

/// The seed unless `TEKD_SEED` gives another.
const SEED: u64 = 3;

/// What the end of a key's entries may add to chance (spec 6.4.7): who was withdrawn or typed anew together.
const HINDSIGHT: f64 = 0.06;
/// What the fields of a key may tell of its being a decoy, beyond chance (spec 6.4.7).
const UNMASKED: f64 = 0.04;

/// How often a guess may succeed where the set's defaults hold.
fn one_of_many() -> f64 {
    1.0 / f64::from(DEFAULT_PARAMS.min_reports)
}

fn seed() -> u64 {
    let seed = std::env::var("TEKD_SEED").map_or(SEED, |text| text.parse().expect("a number"));
    println!("TEKD_SEED={seed}");
    seed
}

/// An epidemic and what the attacker found in it.
struct Attacked {
    seen: Seen,
    added: Findings,
    hindsight: Findings,
    withdrawn: Findings,
}

fn attack(name: &str, seed: u64, family: Family, change: ParamsChange) -> Attacked {
    let seen = live_through(seed, family, change);
    let [added, hindsight, withdrawn, returned] =
        [Side::Added, Side::Hindsight, Side::Withdrawn, Side::Returned].map(|side| link(&seen, side, seed));
    let real = seen.entries.iter().filter(|e| e.owner.is_some()).count();
    println!("{name}: {} entries, {real} of reports", seen.entries.len());
    println!(
        "{:14} {:>7} {:>15} {:>15} {:>15} {:>15} {:>6}",
        "keys that", "pairs", "AUC any day", "AUC of a day", "AUC alike", "right guess", "crowd"
    );
    let rows = [("come", &added), ("came", &hindsight), ("leave", &withdrawn), ("come again", &returned)];
    for (what, f) in rows.into_iter().filter(|(_, f)| f.pairs > 0) {
        println!("{what:14} {:7} {} {} {} {} {:6}", f.pairs, f.whole, f.auc, f.alike, f.guess, f.crowd);
    }
    Attacked { seen, added, hindsight, withdrawn }
}

#[test]
fn reports_that_tell_only_their_days_are_not_linked_better_than_by_chance() {
    let seed = seed();
    let found = attack("plain, gaen-minimal", seed, Family::Plain, ParamsChange::default());
    assert!(!found.added.auc.exceeds(0.5), "{}", found.added.auc);
    no_guess_is_good(&found);
}

#[test]
fn among_keys_of_equal_fields_none_is_told_from_another_and_there_always_are_enough() {
    let seed = seed();
    let found = attack("mixed, gaen-minimal", seed, Family::Mixed, ParamsChange::default());
    no_guess_is_good(&found);
    let Unmasked { fields, alike, hindsight } = unmask(&found.seen, seed);
    println!("decoys told apart: AUC {alike} alike, {hindsight} with their end, {fields} by fields");
    assert!((alike.mean - 0.5).abs() <= 3.0 * alike.sigma, "{alike}");
    for told in [&hindsight, &fields] {
        assert!(!told.exceeds(0.5 + UNMASKED), "{told}");
    }
}

#[test]
fn the_full_schema_gives_more_away() {
    let change = ParamsChange { schema: Some(Schema::GaenFull), ..ParamsChange::default() };
    let found = attack("mixed, gaen-full", seed(), Family::Mixed, change);
    assert!(found.added.auc.exceeds(0.5), "risk and onset link keys: {}", found.added.auc);
}

#[test]
fn without_company_the_same_attacker_links_most_reports() {
    let change = ParamsChange { decoys: Some(false), min_reports: Some(1), ..ParamsChange::default() };
    let found = attack("mixed, alone", seed(), Family::Mixed, change);
    for findings in [&found.added, &found.hindsight, &found.withdrawn] {
        assert!(findings.auc.mean > 0.6 && findings.guess.mean > 0.5, "{findings:?}");
    }
}

#[test]
fn only_the_journal_knows_the_decoys() {
    masks::check(seed());
}

fn no_guess_is_good(found: &Attacked) {
    let Attacked { added, hindsight, withdrawn, .. } = found;
    assert!(added.pairs > 10_000 && withdrawn.pairs > 1_000, "there is something to link");
    assert!(!added.alike.exceeds(0.5), "{}", added.alike);
    assert!(!hindsight.alike.exceeds(0.5 + HINDSIGHT), "{}", hindsight.alike);
    let min_reports = DEFAULT_PARAMS.min_reports as usize;
    assert!(added.crowd > min_reports, "{} of {min_reports} look alike", added.crowd);
    for findings in [added, hindsight] {
        assert!(!findings.guess.exceeds(one_of_many()), "{}", findings.guess);
    }
    assert!(!withdrawn.auc.exceeds(0.5), "{}", withdrawn.auc);
    // Where others stay, half of the company stays with them.
    assert!(!withdrawn.guess.exceeds(2.0 * one_of_many()), "{}", withdrawn.guess);
}
