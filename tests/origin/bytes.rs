//! Events and snapshots as bytes: what the tables of spec 5.7 and 5.8 say, there and back, and nothing else.

use proptest::collection::vec;
use proptest::prelude::*;
use tekd::authority::{Grant, Issuer, KeyMaterial, ProviderKey, Scope, Standing};
use tekd::engine::{
    Amended, Authored, Based, Changes, CodesIssued, Configured, DEFAULT_PARAMS, EVENT_VERSION, Event,
    Founded, Input, Params, ParamsChange, ProviderAdded, ProviderKeyRevoked, ProviderStood, Published,
    Released, Reported, ReportedKey, SealKey, State, Told, Withdrawn,
};
use tekd::release::{Fields, Schema};
use tekd::wire::Key;
use tekd::wire::report::{Durability, ReportType, Verdict};

use super::any_event::{KINDS, events};
use super::phone::{Phone, days};
use super::world::{Dice, NOON, World, keys_of_day, seed};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_comes_back_from_its_bytes_and_from_no_others(event in events(), cut in any::<usize>()) {
        let bytes = event.encode();
        prop_assert_eq!(Event::decode(event.kind(), EVENT_VERSION, &bytes), Ok(event.clone()));
        prop_assert!(Event::decode(event.kind(), EVENT_VERSION + 1, &bytes).is_err(), "another version");
        prop_assert!(Event::decode(event.kind(), EVENT_VERSION, &bytes[..cut % bytes.len()]).is_err(), "too short");
        prop_assert!(Event::decode(event.kind(), EVENT_VERSION, &[&bytes[..], &[0]].concat()).is_err(), "too long");
    }

    #[test]
    fn bytes_that_are_read_as_an_event_are_those_it_is_written_as(
        event in events(),
        flips in vec((any::<usize>(), any::<u8>()), 1..4),
        kind in 0..KINDS + 3,
    ) {
        let mut bytes = event.encode();
        for (at, mask) in flips {
            let at = at % bytes.len();
            bytes[at] ^= mask;
        }
        for kind in [event.kind(), kind] {
            if let Ok(read) = Event::decode(kind, EVENT_VERSION, &bytes) {
                prop_assert!(read.encode() == bytes && read.kind() == kind);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_event_or_an_error(kind in 0..KINDS + 3, bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(read) = Event::decode(kind, EVENT_VERSION, &bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

/// Joins parts written in hex.
fn hexes(parts: &[&str]) -> Vec<u8> {
    hex::decode(parts.concat()).unwrap()
}

/// Each event lies so and is read from that.
fn lie(cases: Vec<(u16, Event, Vec<u8>)>) {
    for (kind, event, bytes) in cases {
        assert_eq!((event.kind(), hex::encode(event.encode())), (kind, hex::encode(&bytes)), "{kind}");
        assert_eq!(Event::decode(kind, EVENT_VERSION, &bytes), Ok(event));
    }
}

fn short_key() -> Key {
    Key::from_slice(&[0xaa; 16]).unwrap()
}

const FIELDS: Fields = Fields { start: 0x0102_0304, period: 144, report: 1, risk: 2, onset: -3 };

fn short_hex() -> String {
    ["10", &"aa".repeat(16)].concat()
}

/// One key with its fields, as *keys* of 5.7.2 has it: start, report, risk, onset and embargo differ from
/// what is before the first.
fn reported_key_hex() -> String {
    ["3d", &"aa".repeat(16), "888c9010", "01", "02", "fd", LAG].concat()
}

/// From the end of validity to the end of the embargo, 5 s of Unix time.
const LAG: &str = "b58bc3cb4b";

fn reported_key() -> ReportedKey {
    ReportedKey { key: short_key(), fields: FIELDS, embargo_end: 5 }
}

fn told() -> Told {
    let verdicts = vec![Verdict::Accepted, Verdict::Onset];
    Told {
        content: [0x21; 32],
        verdicts,
        durability: Durability::Mirror,
        incarnation: 300,
        key_epoch: 3,
        signature: [0x22; 64],
    }
}

/// *told* of 5.7.2.
fn told_hex() -> String {
    ["21".repeat(32), "02".to_owned() + "ac02" + "03", "22".repeat(64), "0201".to_owned() + "0109"].concat()
}

#[test]
fn events_of_sets_lie_as_the_tables_say() {
    // spec 5.7.2, 5.7.4, 5.7.6
    let changes = Changes { added: 1, withdrawn: 2, expired: 3, decoys_added: 4, decoys_withdrawn: 5 };
    let released = Released {
        set: 1,
        serial: 7,
        time: 0x65,
        horizon: 9,
        bits: 3,
        admit: 9,
        withdraw: false,
        forced: true,
        decoys_leaving: vec![0x11, 0x12],
        changes,
    };
    let published = Published {
        set: 1,
        serial: 7,
        count: 8,
        root: [0xdd; 32],
        history_digest: [0xee; 32],
        checkpoint: vec![0x77; 3],
        signatures: vec![0x88],
    };
    let head = ["01000000", "07000000", "6500000000000000", "09000000", "03", "02"].concat();
    let counts = ["01000000", "02000000", "03000000", "04000000", "05000000"].concat();
    let params = ["0100", "0e00", "84030000", "201c0000", "0a000000", "80510100", "01"].concat();
    let founded = Founded { service: *b"12345678", incarnation: 2 };
    let seal = SealKey { public: [0x31; 32], id: [0x32; 8], not_before: 3, not_after: 4 };
    let based = Based { gno: 3, seq: 4, chain: [0x33; 32], digest: [0x34; 32] };
    let (threes, fours) = ("0300000000000000", "0400000000000000");
    lie(vec![
        (1, Event::Founded(founded), hexes(&["3132333435363738", "02000000"])),
        (2, Event::Delegated(vec![9, 8]), hexes(&["02000000", "0908"])),
        (3, Event::Configured(Configured { set: 1, params: DEFAULT_PARAMS }), hexes(&["01000000", &params])),
        (4, Event::ManifestIssued { set: 3, bytes: vec![1] }, hexes(&["03000000", "01000000", "01"])),
        (
            8,
            Event::Released(released),
            hexes(&[&head, &counts, "0900000000000000", "02000000", "1100000000000000", "1200000000000000"]),
        ),
        (
            9,
            Event::Published(published),
            hexes(&[
                "01000000",
                "07000000",
                "0800000000000000",
                &"dd".repeat(32),
                &"ee".repeat(32),
                "03000000",
                "777777",
                "01000000",
                "88",
            ]),
        ),
        (
            10,
            Event::Adopted { incarnation: 2, known: vec![vec![0x55]] },
            hexes(&["02000000", "01000000", "01000000", "55"]),
        ),
        (19, Event::SealKeyMade(seal), hexes(&[&"31".repeat(32), &"32".repeat(8), threes, fours])),
        (20, Event::Based(based), hexes(&[threes, fours, &"33".repeat(32), &"34".repeat(32)])),
    ]);
}

#[test]
fn events_of_reports_lie_as_the_tables_say() {
    // spec 5.7.2, 5.7.4
    let long = ReportedKey { key: Key::from_slice(&[0xbb; 32]).unwrap(), embargo_end: 6, ..reported_key() };
    // The same but for its length and a second of embargo.
    let long_hex = ["60", &"bb".repeat(32), "b38bc3cb4b"].concat();
    let report = [0xcc; 16];
    let imported = Reported::unauthored(1, 2, report, vec![reported_key(), long]);
    let authored = Authored {
        secret_hash: [0x24; 32],
        onset_day: Some(0x0102),
        report_type: ReportType::Likely,
        told: told(),
    };
    let grant = Grant::Code { batch: 3, index: 4 };
    let keys = vec![reported_key()];
    let by_phone = Reported { set: 1, provider: 2, report, grant, authored: Some(authored), keys };
    let (set, provider) = ("01000000", "02000000");
    let cc = "cc".repeat(16);
    lie(vec![
        (
            6,
            Event::Reported(imported),
            hexes(&[set, provider, &cc, "00", "00", "02", &reported_key_hex(), &long_hex]),
        ),
        (
            6,
            Event::Reported(by_phone),
            hexes(&[
                set,
                provider,
                &cc,
                "010300000004000000",
                "01",
                &"24".repeat(32),
                "02010000",
                "02",
                &told_hex(),
                "01",
                &reported_key_hex(),
            ]),
        ),
    ]);
}

#[test]
fn events_about_reports_lie_as_the_tables_say() {
    // spec 5.7.2, 5.7.4
    let (set, provider) = ("01000000", "02000000");
    let certificate = Grant::Certificate { signer: [0x26; 8], identity: [0x25; 16], until: 9 };
    let amended = |report_type, grant, provider, keys| {
        Event::Amended(Amended { set: 1, report: 6, report_type, grant, provider, keys, told: told() })
    };
    let changed = amended(Some(ReportType::Negative), certificate, 2, Vec::new());
    let withdrawn = |scope, urgent, reason: &str, told| {
        Event::Withdrawn(Withdrawn { scope, urgent, reason: reason.to_owned(), told })
    };
    let by_operator = |scope| withdrawn(scope, true, "so", None);
    let so = "010200000073";
    lie(vec![
        (
            7,
            by_operator(Scope::Key { set: 1, key: short_key() }),
            hexes(&["00", set, &short_hex(), so, "6f", "00"]),
        ),
        (
            7,
            withdrawn(Scope::Report { report: 6 }, false, "", Some(told())),
            hexes(&["01", "0600000000000000", "00", "00000000", "01", &told_hex()]),
        ),
        (7, by_operator(Scope::Batch { batch: 2 }), hexes(&["02", "02000000", so, "6f", "00"])),
        (
            7,
            by_operator(Scope::Provider { provider: 2, since: 7 }),
            hexes(&["03", provider, "0700000000000000", so, "6f", "00"]),
        ),
        (
            7,
            by_operator(Scope::After { seq: 7, provider: None }),
            hexes(&["04", "0700000000000000", "00000000", so, "6f", "00"]),
        ),
        (
            7,
            by_operator(Scope::After { seq: 7, provider: Some(2) }),
            hexes(&["04", "0700000000000000", provider, so, "6f", "00"]),
        ),
        (
            7,
            by_operator(Scope::Signer { provider: 2, signer: [0x27; 8], since: 7 }),
            hexes(&["05", provider, &"27".repeat(8), "0700000000000000", so, "6f", "00"]),
        ),
        (
            11,
            amended(None, Grant::None, 0, vec![reported_key()]),
            hexes(&[set, "0600000000000000", "00", "00", "00000000", "01", &reported_key_hex(), &told_hex()]),
        ),
        (
            11,
            changed,
            hexes(&[
                set,
                "0600000000000000",
                "05",
                "02",
                &"26".repeat(8),
                &"25".repeat(16),
                "0900000000000000",
                provider,
                "00",
                &told_hex(),
            ]),
        ),
        (12, Event::Reinstated { seq: 6 }, hexes(&["0600000000000000"])),
    ]);
}

#[test]
fn events_of_providers_lie_as_the_tables_say() {
    // spec 5.7.2, 5.7.4
    let four = "04000000";
    let so = ["02000000", "736f"].concat();
    let reason = || "so".to_owned();
    let added = |issuer| Event::ProviderAdded(ProviderAdded { provider: 4, name: "x".to_owned(), issuer });
    let issuer = Some(Issuer { name: "y".to_owned(), audience: "zz".to_owned(), set: 3 });
    let ed25519 = ProviderKey {
        material: KeyMaterial::Ed25519([0x41; 32]),
        key_id: "k".to_owned(),
        not_before: 1,
        not_after: 2,
        revoked: None,
    };
    let es256 = ProviderKey { material: KeyMaterial::Es256([0x42; 33]), revoked: Some(3), ..ed25519.clone() };
    let (ones, twos, threes) = ("0100000000000000", "0200000000000000", "0300000000000000");
    let key_added = |key| Event::ProviderKeyAdded { provider: 4, key };
    let fingerprint = [0x43; 8];
    let stood = |standing, since| {
        Event::ProviderStood(ProviderStood { provider: 4, standing, since, reason: reason() })
    };
    let codes = CodesIssued {
        batch: 5,
        provider: 4,
        set: 1,
        report_type: ReportType::SelfReport,
        onset_day: None,
        nonce: [0x44; 16],
        key_id: [0x45; 8],
        count: 10,
        expires: 2,
    };
    let retroactive = true;
    let key_revoked = |since| {
        Event::ProviderKeyRevoked(ProviderKeyRevoked { provider: 4, fingerprint, since, reason: reason() })
    };
    lie(vec![
        (5, added(None), hexes(&[four, "01000000", "78", "00"])),
        (
            5,
            added(issuer),
            hexes(&[four, "01000000", "78", "01", "01000000", "79", "02000000", "7a7a", "03000000"]),
        ),
        (
            13,
            key_added(ed25519),
            hexes(&[four, "01", &"41".repeat(32), "01000000", "6b", ones, twos, &"00".repeat(8)]),
        ),
        (13, key_added(es256), hexes(&[four, "02", &"42".repeat(33), "01000000", "6b", ones, twos, threes])),
        (14, key_revoked(None), hexes(&[four, &"43".repeat(8), "00", &so])),
        (14, key_revoked(Some(3)), hexes(&[four, &"43".repeat(8), "01", threes, &so])),
        (15, stood(Standing::Suspended, None), hexes(&[four, "01", "00", &so])),
        (15, stood(Standing::Revoked, Some(3)), hexes(&[four, "02", "01", threes, &so])),
        (
            16,
            Event::CodesIssued(codes),
            hexes(&[
                "05000000",
                four,
                "01000000",
                "03",
                "00000000",
                &"44".repeat(16),
                &"45".repeat(8),
                "0a000000",
                twos,
            ]),
        ),
        (
            17,
            Event::BatchRevoked { batch: 5, retroactive, reason: reason() },
            hexes(&["05000000", "01", &so]),
        ),
        (18, Event::CodesVoided { key_id: [0x45; 8] }, hexes(&[&"45".repeat(8)])),
    ]);
}

#[test]
fn a_report_holds_one_to_thirty_keys() {
    let one =
        ReportedKey { key: Key::from_slice(&[1; 16]).unwrap(), fields: Fields::default(), embargo_end: 0 };
    for (n, sound) in [(0, false), (1, true), (30, true), (31, false)] {
        let event = Event::Reported(Reported::unauthored(1, 1, [0; 16], vec![one.clone(); n]));
        assert_eq!(Event::decode(6, EVENT_VERSION, &event.encode()).is_ok(), sound, "{n}");
    }
}

/// A state with a bit of everything.
fn state() -> Vec<u8> {
    let mut world = World::new(NOON, 31);
    let mut dice = Dice::new(31);
    let change = ParamsChange { min_reports: Some(2), ..ParamsChange::default() };
    world.configure(1, change);
    world.create_set(9, Params { schema: Schema::Dp3t, ..DEFAULT_PARAMS });
    let keys = keys_of_day(&mut dice, NOON, 2, 5);
    world.import(1, keys.clone());
    world.tick_to(1, NOON + 900);
    world.withdraw(1, keys[0].key, true).unwrap();
    world.import(1, keys[..2].to_vec());
    world.import(1, keys_of_day(&mut dice, NOON, 1, 2));
    let key = ProviderKey::named_by_fingerprint(KeyMaterial::Ed25519([5; 32]), NOON, NOON + 9);
    let issuer =
        Some(Issuer { name: "one.example".to_owned(), audience: "another.example".to_owned(), set: 1 });
    world.turn(Input::AddProvider { name: "issuer".to_owned(), issuer, key: Some(key) }).unwrap();
    let provider = world.provider("ward");
    let issued = world.codes(provider, 1, 5);
    let phone = Phone::new(&mut dice, 1);
    world.report(&phone.submit(issued.codes[0], days(&mut dice, NOON, 1, 2)));
    world.report(&phone.amend(days(&mut dice, NOON, 3, 1)));
    let changed = Event::Amended(Amended {
        set: 1,
        report: world.set(1).report(&phone.report).unwrap().0,
        report_type: Some(ReportType::Confirmed),
        grant: Grant::Code { batch: issued.batch, index: 4 },
        provider,
        keys: Vec::new(),
        told: told(),
    });
    let other = Phone::new(&mut dice, 1);
    world.report(&other.submit(issued.codes[1], days(&mut dice, NOON, 1, 1)));
    world.report(&other.cancel());
    world.tick_to(1, NOON + 1800);
    world.take_back(Scope::Report { report: world.set(1).report(&phone.report).unwrap().0 }, false).unwrap();
    let certificate = Grant::Certificate { signer: [5; 8], identity: [6; 16], until: NOON };
    let used = Reported { grant: certificate, ..Reported::unauthored(1, 1, [7; 16], Vec::new()) };
    let keys = vec![ReportedKey { key: dice.key(16), fields: Fields::default(), embargo_end: 0 }];
    let mut state = State::from_bytes(&world.origin.state().to_bytes()).unwrap();
    for event in [Event::Reported(Reported { keys, ..used }), changed] {
        state.apply(state.seq() + 1, world.now.unix, &event).unwrap();
    }
    let mut delegation = state.delegation().to_vec();
    delegation[4] += 1;
    state.apply(state.seq() + 1, world.now.unix, &Event::Delegated(delegation)).unwrap();
    assert!(state.delegation_of(1).is_some(), "spec 5.7.10: receipts name it");
    state.to_bytes()
}

#[test]
fn a_snapshot_begins_as_the_table_says() {
    // spec 5.8.1, 5.8.3
    let mut world = World::new(NOON, 32);
    let bytes = world.origin.state().to_bytes();
    let service = world.origin.identity().service_id;
    let seal = world.origin.state().seal_keys()[0].clone();
    let head = [
        &1u16.to_le_bytes()[..],
        &service,
        &1u32.to_le_bytes(),
        &6u64.to_le_bytes(),
        &NOON.to_le_bytes(),
        // No base.
        &[0],
        &1u32.to_le_bytes(),
        &160u32.to_le_bytes(),
        world.origin.state().delegation(),
        // No earlier delegations; no providers; no batch was issued, none is kept; no certificates.
        &[0; 5 * 4],
        &1u32.to_le_bytes(),
        &seal.public,
        &seal.id,
        &NOON.to_le_bytes(),
        &(NOON + 14 * 86_400).to_le_bytes(),
        &1u32.to_le_bytes(),
        &1u32.to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes[..head.len()], head);
    let mut other = bytes.clone();
    other[0] = 2;
    assert!(State::from_bytes(&other).is_err(), "another layout");
    let manifest = world.set(1).manifest().to_vec();
    let set = [
        &[1, 0, 14, 0, 0x84, 3, 0, 0, 0x20, 0x1c, 0, 0, 10, 0, 0, 0, 0x80, 0x51, 1, 0, 1][..],
        &2u32.to_le_bytes(),
        &(manifest.len() as u32).to_le_bytes(),
        &manifest,
        &[0; 16],
        &[0; 8],
        &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0],
        // No serial is known from elsewhere, no incarnation ended.
        &[0; 2 * 4],
        &[0; 5 * 4],
    ]
    .concat();
    assert_eq!(bytes[head.len()..], set, "parameters, manifest, no release, nothing in it");
    // And after a life it still gives the journal's state.
    world.tick_to(1, NOON + 900);
    let live = world.origin.state().to_bytes();
    assert!(world.restart().origin.state().to_bytes() == live);
}

#[test]
fn hostile_snapshots_are_errors_or_states_but_never_a_panic() {
    let bytes = state();
    assert!(State::from_bytes(&bytes).unwrap().to_bytes() == bytes);
    for end in 0..bytes.len() {
        assert!(State::from_bytes(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(State::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    let mut dice = Dice::new(seed());
    let mut read = 0;
    for _ in 0..20_000 {
        let mut hostile = bytes.clone();
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(hostile.len());
            hostile[at] = dice.pick(&[0, 1, 0x7f, 0xff, hostile[at] ^ 1]);
        }
        read += usize::from(State::from_bytes(&hostile).is_ok());
    }
    assert!(read > 100, "{read} of them could be read");
}
