//! Whose word a claim stands on: a grant that is revoked after the fact takes back what it was given for, be
//! it a key or a change of type, and nothing that another grant was given for.

use std::collections::BTreeSet;

use tekd::authority::Scope;
use tekd::client::{Author, ReportAnswer, ReportDraft};
use tekd::engine::{ClaimCount, Input, IssuedCodes, PresentedKey};
use tekd::release::LIVE;
use tekd::wire::Key;
use tekd::wire::report::{GRANT_CODE, Outcome, ReportState, ReportType};

use super::world::{MORNING, World, sent};

/// A report that one provider made likely and another made something else, with a key of its own.
struct Changed {
    world: World,
    author: Author,
    providers: [u32; 2],
    codes: [IssuedCodes; 2],
    keys: Vec<PresentedKey>,
    more: Vec<PresentedKey>,
}

/// Amends under a code of its own.
fn change(world: &mut World, author: &Author, codes: &IssuedCodes, keys: &[PresentedKey]) -> ReportAnswer {
    let (code, keys) = (codes.codes[0].to_text(), sent(keys));
    let draft = ReportDraft { grant: Some((GRANT_CODE, code.as_bytes())), keys: &keys, ..Default::default() };
    let now = world.now();
    world.client().amend(now, author, &draft).expect("an answer")
}

fn amend(changed: &mut Changed) -> Outcome {
    let (now, keys) = (changed.world.now(), changed.world.dice.days(MORNING, 8, 1));
    super::world::amend(&mut changed.world.client(), now, &changed.author, &keys).outcome
}

fn changed_to(seed: u64, to: ReportType) -> Changed {
    let mut world = World::new(seed);
    let providers = [world.provider("one"), world.provider("two")];
    let codes = [world.codes(providers[0], 1, ReportType::Likely), world.codes(providers[1], 1, to)];
    let keys = world.dice.days(MORNING, 1, 3);
    let more = if to == ReportType::Negative { Vec::new() } else { world.dice.days(MORNING, 5, 1) };
    let author = world.report(codes[0].codes[0], &keys);
    world.next_release();
    let answer = change(&mut world, &author, &codes[1], &more);
    assert_eq!(answer.outcome, Outcome::Done);
    world.next_release();
    Changed { world, author, providers, codes, keys, more }
}

impl Changed {
    /// What the public is told of a key now.
    fn says(&self, key: &PresentedKey) -> Option<ReportType> {
        let entries = self.world.entries(&key.key);
        let (fields, ..) = entries.last().filter(|(_, _, del)| *del == LIVE)?;
        ReportType::from_number(fields.report)
    }

    fn says_all(&self, says: Option<ReportType>) {
        self.keys.iter().for_each(|key| assert_eq!(self.says(key), says));
    }

    fn live(&self) -> BTreeSet<Key> {
        self.world.reported_live()
    }
}

fn keys_of(keys: &[PresentedKey]) -> BTreeSet<Key> {
    keys.iter().map(|k| k.key).collect()
}

#[test]
fn a_grant_that_changed_a_report_takes_back_its_change_and_its_key_and_no_more() {
    use ReportType::{Confirmed, Likely};
    type Revoke = fn(&Changed) -> tekd::engine::WithdrawCount;
    let ways: [Revoke; 3] = [
        |c| c.world.revoke_batch(c.codes[1].batch),
        |c| c.world.revoke_provider(c.providers[1], MORNING),
        |c| {
            let seq = c.world.seq(&c.author);
            c.world.take_back(Scope::After { seq, provider: None })
        },
    ];
    for revoke in ways {
        let mut c = changed_to(51, Confirmed);
        let all: BTreeSet<Key> = keys_of(&c.keys).union(&keys_of(&c.more)).copied().collect();
        assert_eq!(c.live(), all);
        c.says_all(Some(Confirmed));
        let count = revoke(&c);
        assert_eq!(count.claims, ClaimCount { reports: 1, keys: 1, live: 1, changes: 1, returning: 0 });
        c.world.next_release();
        assert_eq!(c.live(), keys_of(&c.keys), "its key left, those of the first grant stay");
        c.says_all(Some(Likely));
        let entries = c.world.entries(&c.keys[0].key);
        assert_eq!(entries.len(), 3, "each change is a new entry: {entries:?}");
        let seq = count.seq.expect("it was done");
        c.world.counted(Input::Reinstate { seq });
        c.world.next_release();
        assert_eq!(c.live(), all);
        c.says_all(Some(Confirmed));
    }
}

#[test]
fn the_first_grant_takes_back_its_keys_whatever_another_said_of_them() {
    let mut c = changed_to(52, ReportType::Confirmed);
    let count = c.world.revoke_provider(c.providers[0], 0);
    assert_eq!(count.claims, ClaimCount { reports: 1, keys: 3, live: 3, changes: 0, returning: 0 });
    c.world.next_release();
    assert_eq!(c.live(), keys_of(&c.more));
    assert_eq!(c.says(&c.more[0]), Some(ReportType::Confirmed));
}

#[test]
fn a_negative_that_is_revoked_after_the_fact_brings_the_keys_back() {
    let mut c = changed_to(53, ReportType::Negative);
    assert_eq!(c.live(), BTreeSet::new());
    let count = c.world.revoke_batch(c.codes[1].batch);
    assert_eq!(count.claims, ClaimCount { reports: 1, keys: 0, live: 0, changes: 1, returning: 3 });
    c.world.next_release();
    assert_eq!(c.live(), keys_of(&c.keys));
    c.says_all(Some(ReportType::Likely));
    let now = c.world.now();
    let status = c.world.client().report_status(now, &c.author).expect("an answer");
    assert_eq!(status.state, Some(ReportState::Released));
}

#[test]
fn what_its_author_or_an_operator_took_back_does_not_come_back_with_a_revoked_negative() {
    let mut c = changed_to(54, ReportType::Negative);
    let now = c.world.now();
    let cancelled = c.world.client().cancel(now, &c.author).expect("an answer");
    assert_eq!(cancelled.outcome, Outcome::Done, "a negative is no cancellation yet");
    c.world.revoke_batch(c.codes[1].batch);
    c.world.next_release();
    assert_eq!(c.live(), BTreeSet::new());

    let mut c = changed_to(55, ReportType::Negative);
    assert_eq!(c.world.revoke_provider(c.providers[0], 0).claims.keys, 3, "they might come back else");
    c.world.revoke_batch(c.codes[1].batch);
    c.world.next_release();
    assert_eq!(c.live(), BTreeSet::new());
}

#[test]
fn a_report_grows_while_the_newest_grant_it_stands_on_holds() {
    use tekd::authority::Standing::Suspended;
    let stand = |c: &Changed, provider| {
        let (since, reason, dry_run) = (None, "asked".to_owned(), false);
        let standing = Suspended;
        c.world.counted(Input::SetStanding { provider, standing, since, reason, dry_run });
    };
    let mut c = changed_to(56, ReportType::Confirmed);
    stand(&c, c.providers[0]);
    assert_eq!(amend(&mut c), Outcome::Done, "another provider vouches for it now");
    stand(&c, c.providers[1]);
    assert_eq!(amend(&mut c), Outcome::Suspended);

    let mut c = changed_to(57, ReportType::Confirmed);
    assert_eq!(amend(&mut c), Outcome::Done);
    let count = c.world.revoke_batch(c.codes[1].batch);
    assert_eq!(
        count.claims,
        ClaimCount { reports: 1, keys: 2, live: 1, changes: 1, returning: 0 },
        "what came after it too"
    );
    assert_eq!(amend(&mut c), Outcome::Done, "it stands on its first grant again");
    stand(&c, c.providers[0]);
    assert_eq!(amend(&mut c), Outcome::Suspended);
}

#[test]
fn a_rollback_makes_nothing_public_that_was_not() {
    let mut c = changed_to(58, ReportType::Negative);
    let seq = c.world.seq(&c.author);
    let after = Scope::After { seq, provider: None };
    let reason = || "fraud".to_owned();
    let refused = c.world.core().origin.turn(Input::Withdraw {
        scope: after,
        urgent: false,
        reason: reason(),
        dry_run: false,
    });
    assert!(refused.is_err(), "the negative stays: nothing is left to take back");
    c.world.next_release();
    assert_eq!(c.live(), BTreeSet::new());
}

#[test]
fn undoing_one_withdrawal_brings_nothing_back_that_another_covered() {
    let mut c = changed_to(59, ReportType::Confirmed);
    let first = c.world.revoke_batch(c.codes[0].batch).seq.expect("it was done");
    let second = c.world.revoke_provider(c.providers[0], 0);
    assert_eq!(second.claims, ClaimCount::default(), "nothing more leaves by it");
    let second = second.seq.expect("it was done");
    c.world.next_release();
    for (seq, back) in [(first, 0), (second, 3)] {
        assert_eq!(c.world.counted(Input::Reinstate { seq }).claims.keys, back);
        c.world.next_release();
        assert_eq!(c.live().len() as u64, 1 + back, "the key of the other grant was never covered");
    }
}

#[test]
fn a_negative_is_kept_for_when_an_operators_mistake_is_undone() {
    let mut c = changed_to(60, ReportType::Negative);
    let one = c.world.codes(c.providers[0], 1, ReportType::Likely);
    let keys = c.world.dice.days(MORNING, 1, 2);
    let author = c.world.report(one.codes[0], &keys);
    c.world.next_release();
    let mistake = c.world.revoke_batch(one.batch).seq.expect("it was done");
    let negative = c.world.codes(c.providers[1], 1, ReportType::Negative);
    let confirmed = c.world.codes(c.providers[1], 1, ReportType::Confirmed);
    assert_eq!(change(&mut c.world, &author, &confirmed, &[]).outcome, Outcome::Withdrawn);
    assert_eq!(change(&mut c.world, &author, &negative, &[]).outcome, Outcome::Done);
    c.world.counted(Input::Reinstate { seq: mistake });
    c.world.next_release();
    assert_eq!(c.live(), BTreeSet::new());
}
