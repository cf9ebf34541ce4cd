//! Keys that several reports hold: each takes back its own claim and nobody else's.

use tekd::authority::Scope;
use tekd::client::Author;
use tekd::engine::{IssuedCodes, PresentedKey};
use tekd::release::LIVE;
use tekd::wire::report::{Outcome, ReportState, ReportType};

use super::world::{MORNING, World};

/// How a report goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Cancel,
    Report,
    Batch,
    Provider,
}

const WAYS: [Way; 4] = [Way::Cancel, Way::Report, Way::Batch, Way::Provider];

/// A report with all it came by.
struct Mine {
    author: Author,
    codes: IssuedCodes,
    provider: u32,
    key: PresentedKey,
}

fn made(world: &mut World, name: &str, report_type: ReportType, key: PresentedKey) -> Mine {
    let provider = world.provider(name);
    let codes = world.codes(provider, 1, report_type);
    let author = world.report(codes.codes[0], std::slice::from_ref(&key));
    Mine { author, codes, provider, key }
}

fn take_back(world: &mut World, mine: &Mine, way: Way) {
    let keys = match way {
        Way::Cancel => {
            let (mut client, now) = (world.client(), world.now());
            let answer = client.cancel(now, &mine.author).expect("an answer");
            assert_eq!(answer.state, Some(ReportState::Withdrawn));
            u64::from(answer.outcome == Outcome::Done)
        }
        Way::Report => {
            let report = world.seq(&mine.author);
            world.take_back(Scope::Report { report }).claims.keys
        }
        Way::Batch => world.revoke_batch(mine.codes.batch).claims.keys,
        Way::Provider => world.revoke_provider(mine.provider, 0).claims.keys,
    };
    assert_eq!(keys, 1, "its own claim, by {way:?}");
}

fn is_live(world: &World, key: &PresentedKey) -> bool {
    world.reported_live().contains(&key.key)
}

/// Two reports of one key, both out; the second may say something else about it.
fn two_reports(seed: u64, same: bool) -> (World, [Mine; 2]) {
    let mut world = World::new(seed);
    let key = world.dice.key(MORNING, 3, 1);
    let other = if same { key.clone() } else { PresentedKey { risk: 8, ..key.clone() } };
    let type_of_other = if same { ReportType::Confirmed } else { ReportType::Likely };
    let first = made(&mut world, "one", ReportType::Confirmed, key);
    let second = made(&mut world, "two", type_of_other, other);
    world.next_release();
    (world, [first, second])
}

#[test]
fn a_key_of_two_reports_stays_until_both_are_gone() {
    for same in [true, false] {
        let (world, mine) = two_reports(41, same);
        assert!(is_live(&world, &mine[0].key));
        for (one, other) in [(0, 1), (1, 0)] {
            for (way, then) in WAYS.iter().flat_map(|way| WAYS.map(|then| (*way, then))) {
                let mut world = world.fork();
                let (goes, stays) = (&mine[one], &mine[other]);
                let before = world.entries(&goes.key.key);
                take_back(&mut world, goes, way);
                world.next_release();
                assert!(is_live(&world, &goes.key), "{same} {one} {way:?} {then:?}");
                says_what_the_survivor_says(&world, stays, &before);
                take_back(&mut world, stays, then);
                world.next_release();
                assert!(!is_live(&world, &goes.key), "{same} {one} {way:?} {then:?}");
                let entries = world.entries(&goes.key.key);
                assert!(entries.iter().all(|(_, _, del)| *del != LIVE), "{entries:?}");
            }
        }
    }
}

/// Whoever is left decides what stands in the entry: as it was if that is the same, else revised in a new
/// one.
fn says_what_the_survivor_says(world: &World, stays: &Mine, before: &[(tekd::release::Fields, u32, u32)]) {
    let entries = world.entries(&stays.key.key);
    let (fields, _, del) = *entries.last().expect("an entry");
    assert_eq!(del, LIVE);
    let core = world.core();
    let schema = core.set().params().schema;
    let (_, record) = core.set().report(&stays.author.report).expect("it is remembered");
    let report_type = record.authored.as_ref().expect("a phone made it").report_type;
    let period = u16::try_from(stays.key.period).expect("a day");
    let (start, risk, report) = (stays.key.start, stays.key.risk, report_type.number());
    let said = schema.coarsen(tekd::release::Fields { start, period, report, risk, onset: 0 });
    assert_eq!(fields, said);
    let was = before.last().expect("it was out").0;
    assert_eq!(entries.len(), before.len() + usize::from(was != said), "{before:?} {entries:?}");
}

#[test]
fn a_claim_on_a_key_that_is_public_never_lets_anybody_remove_it() {
    let mut world = World::new(42);
    let keys = world.dice.days(MORNING, 1, 3);
    let provider = world.provider("one");
    let codes = world.codes(provider, 1, ReportType::Confirmed);
    let owner = world.report(codes.codes[0], &keys);
    world.next_release();
    let out = world.reported_live();
    assert_eq!(out.len(), 3);
    for (i, way) in WAYS.into_iter().enumerate() {
        // Whoever synced knows the key, and claims it with a code of somebody careless.
        let claim = made(&mut world, &format!("careless {i}"), ReportType::Confirmed, keys[1].clone());
        if i % 2 == 0 {
            world.next_release();
        }
        take_back(&mut world, &claim, way);
        for _ in 0..2 {
            world.next_release();
            assert_eq!(world.reported_live(), out, "{way:?}");
        }
    }
    assert_eq!(world.entries(&keys[1].key).len(), 1, "nobody even saw that somebody tried");
    let now = world.now();
    let status = world.client().report_status(now, &owner).expect("an answer");
    assert_eq!((status.state, status.counts.live), (Some(ReportState::Released), 3));
}
