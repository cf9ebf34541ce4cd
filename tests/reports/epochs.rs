//! The online key is replaced between an answer and its repetition: the receipt stays the same, and whoever
//! gets it can still prove it.

use tekd::authority::Code;
use tekd::client::{Author, ReportAnswer, ReportDraft};
use tekd::engine::{MAX_EARLIER_DELEGATIONS, PresentedKey, Seeded, State};
use tekd::release::{Delegation, ReceiptBundle, SUCCESSION_S};
use tekd::wire::report::{GRANT_CODE, Outcome, ReportType, RequestKind};

use super::world::{DAY_S, MORNING, World, amend, is_sealed, sent, submit};

/// `tekctl keys rotate-online`.
fn rotate(world: &World) {
    let (now, mut random) = (world.now(), Seeded::new(world.now()));
    let next = world.core().origin.origin().next_online(now, &mut random).expect("keys can be kept");
    world.turn(next.expect("the root key is here"));
}

/// What an author asks, word for word the same each time.
struct Asked {
    kind: RequestKind,
    author: Author,
    code: Code,
    keys: Vec<PresentedKey>,
}

impl Asked {
    fn ask(&self, world: &mut World) -> ReportAnswer {
        let (mut client, now) = (world.client(), world.now());
        match self.kind {
            RequestKind::Submit => submit(&mut client, now, &self.author, self.code, &self.keys),
            RequestKind::Amend => amend(&mut client, now, &self.author, &self.keys),
            _ => client.cancel(now, &self.author).expect("an answer"),
        }
    }

    /// Asks, and no answer arrives.
    fn lose(&self, world: &mut World) {
        let mut client = world.client_through(|core, question| {
            let answer = core.answer(question);
            answer.filter(|_| !is_sealed(question))
        });
        let (code, keys, now) = (self.code.to_text(), sent(&self.keys), MORNING);
        let grant = (GRANT_CODE, code.as_bytes());
        let draft = ReportDraft { grant: Some(grant), keys: &keys, ..Default::default() };
        let more = ReportDraft { grant: None, ..draft };
        let lost = match self.kind {
            RequestKind::Submit => client.submit(now, &self.author, &draft),
            RequestKind::Amend => client.amend(now, &self.author, &more),
            _ => client.cancel(now, &self.author),
        };
        assert!(lost.is_err(), "nothing is known then");
    }
}

/// The receipt holds on the spot and as it is kept, and is of that epoch.
#[track_caller]
fn held(world: &World, answer: &ReportAnswer, epoch: u32) -> Vec<u8> {
    assert_eq!(answer.outcome, Outcome::Done);
    let kept = answer.receipt.as_ref().expect("a receipt").to_bytes();
    let bundle = ReceiptBundle::from_bytes(&kept).expect("a kept receipt");
    assert_eq!(bundle.verify(&world.trust), Ok(()), "offline");
    assert_eq!((bundle.receipt.key_epoch(), bundle.delegation.epoch()), (epoch, epoch));
    kept
}

#[test]
fn who_repeats_after_the_online_key_was_replaced_gets_the_same_receipt_and_can_prove_it() {
    // spec 7.3.2, 7.7.2
    for kind in [RequestKind::Submit, RequestKind::Amend, RequestKind::Cancel] {
        let mut world = World::new(41);
        let provider = world.provider("clinic");
        let codes = world.codes(provider, 2, ReportType::Confirmed).codes;
        let keys = world.dice.days(MORNING, 1, 3);
        let author = match kind {
            RequestKind::Submit => world.dice.author(),
            _ => {
                let before = world.dice.days(MORNING, 4, 2);
                world.report(codes[0], &before)
            }
        };
        let asked = Asked { kind, author, code: codes[0], keys };
        asked.lose(&mut world);
        let stored = world.now();
        world.clock.advance(5);
        rotate(&world);
        // The newest release is still signed by the key before.
        let told = asked.ask(&mut world);
        let kept = held(&world, &told, 1);
        assert_eq!(told.receipt.expect("just seen").receipt.time(), stored, "{kind:?}");
        // Who reports now has a receipt of the new key, before any release that shows its delegation.
        let (fresh, keys) = (world.dice.author(), world.dice.days(MORNING, 1, 2));
        let fresh = Asked { kind: RequestKind::Submit, author: fresh, code: codes[1], keys };
        let first = fresh.ask(&mut world);
        let fresh_kept = held(&world, &first, 2);
        world.next_release();
        rotate(&world);
        world.next_release();
        world.core().crash(3);
        let again = asked.ask(&mut world);
        assert_eq!(held(&world, &again, 1), kept, "{kind:?}: two keys later and after a restart");
        let again = fresh.ask(&mut world);
        assert_eq!(held(&world, &again, 2), fresh_kept);
        // An older delegation beside a receipt brings no older checkpoint back.
        let (mut client, now) = (world.client(), world.now());
        submit(&mut client, now, &fresh.author, fresh.code, &fresh.keys);
        assert_eq!(client.newest().expect("one was needed to seal").key_epoch(), 3);
        // From the snapshot it is the same state.
        let core = world.core();
        let state = core.origin.origin().state();
        let read = State::from_bytes(&state.to_bytes()).expect("a snapshot");
        assert!(read.to_bytes() == state.to_bytes());
        let epochs = [0, 1, 2, 3, 4].map(|epoch| read.delegation_of(epoch).is_some());
        assert_eq!(epochs, [false, true, true, true, false]);
    }
}

#[test]
fn a_delegation_begins_soon_enough_that_no_honest_receipt_is_called_late() {
    // spec 7.7.4
    let mut world = World::new(43);
    let provider = world.provider("clinic");
    let codes = world.codes(provider, 1, ReportType::Confirmed).codes;
    let (author, keys) = (world.dice.author(), world.dice.days(MORNING, 1, 1));
    let asked = Asked { kind: RequestKind::Submit, author, code: codes[0], keys };
    let receipt = asked.ask(&mut world).receipt.expect("a receipt");
    rotate(&world);
    let newest = world.core().origin.origin().state().delegation().to_vec();
    let newest = Delegation::parse(&newest[..80]).expect("a delegation");
    assert_eq!((newest.epoch(), receipt.precedes(&newest)), (2, Ok(())));
    assert!(receipt.receipt.time() + SUCCESSION_S / 2 <= newest.not_before() + SUCCESSION_S);
}

#[test]
fn a_delegation_is_kept_while_a_receipt_names_it_and_then_forgotten() {
    // spec 5.7.10
    let mut world = World::new(42);
    let kept = |world: &World| -> Vec<u32> {
        let core = world.core();
        (1..100).filter(|epoch| core.origin.origin().state().delegation_of(*epoch).is_some()).collect()
    };
    rotate(&world);
    assert_eq!(kept(&world), [2], "no receipt was of epoch 1");
    let provider = world.provider("clinic");
    let code = world.codes(provider, 1, ReportType::Confirmed).codes[0];
    let keys = world.dice.days(MORNING, 1, 1);
    world.report(code, &keys);
    rotate(&world);
    rotate(&world);
    assert_eq!(kept(&world), [2, 4], "epoch 3 signed no receipt");
    world.clock.advance(20 * DAY_S);
    world.core().origin.tick().expect("one release");
    world.next_release();
    assert_eq!(world.core().set().reports().filter(|(_, r)| r.warrant.provider == provider).count(), 0);
    rotate(&world);
    assert_eq!(kept(&world), [5], "the report is forgotten");
    // bounded: the oldest go first.
    let provider = world.provider("another clinic");
    let count = MAX_EARLIER_DELEGATIONS as u32 + 3;
    for code in world.codes(provider, count, ReportType::Confirmed).codes {
        let now = world.now();
        let keys = world.dice.days(now, 1, 1);
        world.report(code, &keys);
        rotate(&world);
    }
    let newest = 5 + count;
    assert_eq!(kept(&world), (newest - count + 3..=newest).collect::<Vec<_>>());
}
