//! Events and snapshots as bytes: what the tables of spec 5.7 and 5.8 say, there and back, and nothing else.

use proptest::collection::vec;
use proptest::prelude::*;
use tekd::engine::{
    Changes, Configured, DEFAULT_PARAMS, Event, Founded, KeyWithdrawn, Params, ParamsChange, ProviderAdded,
    Published, Released, Reported, ReportedKey, State,
};
use tekd::release::{Fields, Schema};
use tekd::wire::Key;

use super::world::{Dice, NOON, World, keys_of_day, seed};

const KINDS: u16 = 9;

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 32)].prop_map(|b| Key::from_slice(&b).unwrap())
}

fn fields() -> impl Strategy<Value = Fields> {
    (any::<u32>(), any::<u16>(), any::<u8>(), any::<u8>(), any::<i8>())
        .prop_map(|(start, period, report, risk, onset)| Fields { start, period, report, risk, onset })
}

fn params() -> impl Strategy<Value = Params> {
    (prop::sample::select(Schema::ALL.to_vec()), any::<(u16, u32, u32, u32, u32, bool)>()).prop_map(
        |(schema, (retention_days, interval_s, embargo_s, min_reports, max_wait_s, decoys))| Params {
            schema,
            retention_days,
            interval_s,
            embargo_s,
            min_reports,
            max_wait_s,
            decoys,
        },
    )
}

fn reported() -> impl Strategy<Value = Event> {
    let one = (key(), fields(), any::<u64>());
    let one = one.prop_map(|(key, fields, embargo_end)| ReportedKey { key, fields, embargo_end });
    (any::<(u32, u32, [u8; 16])>(), vec(one, 1..31))
        .prop_map(|((set, provider, report), keys)| Event::Reported(Reported { set, provider, report, keys }))
}

fn released() -> impl Strategy<Value = Event> {
    let head = any::<(u32, u32, u64, u32, u8, bool, bool, bool)>();
    (head, any::<[u32; 5]>(), vec(any::<u64>(), 0..9)).prop_map(|(head, c, decoys_leaving)| {
        let (set, serial, time, horizon, bits, admit, withdraw, forced) = head;
        let [added, withdrawn, expired, decoys_added, decoys_withdrawn] = c;
        let changes = Changes { added, withdrawn, expired, decoys_added, decoys_withdrawn };
        Event::Released(Released {
            set,
            serial,
            time,
            horizon,
            bits,
            admit,
            withdraw,
            forced,
            decoys_leaving,
            changes,
        })
    })
}

fn events() -> impl Strategy<Value = Event> {
    let blob = || vec(any::<u8>(), 0..99);
    let text = || ".{0,40}";
    prop_oneof![
        any::<([u8; 8], u32)>()
            .prop_map(|(service, incarnation)| Event::Founded(Founded { service, incarnation })),
        any::<u32>().prop_map(|incarnation| Event::Adopted { incarnation }),
        blob().prop_map(Event::Delegated),
        (any::<u32>(), params()).prop_map(|(set, params)| Event::Configured(Configured { set, params })),
        (any::<u32>(), blob()).prop_map(|(set, bytes)| Event::ManifestIssued { set, bytes }),
        (any::<u32>(), text(), any::<Option<[u8; 32]>>())
            .prop_map(|(provider, name, key)| Event::ProviderAdded(ProviderAdded { provider, name, key })),
        reported(),
        (any::<u32>(), key(), any::<bool>(), text()).prop_map(|(set, key, urgent, reason)| {
            Event::KeyWithdrawn(KeyWithdrawn { set, key, urgent, reason })
        }),
        released(),
        (any::<(u32, u32, u64, [u8; 32], [u8; 32])>(), blob(), blob()).prop_map(
            |((set, serial, count, root, history_digest), checkpoint, signatures)| {
                Event::Published(Published {
                    set,
                    serial,
                    count,
                    root,
                    history_digest,
                    checkpoint,
                    signatures,
                })
            }
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_comes_back_from_its_bytes_and_from_no_others(event in events(), cut in any::<usize>()) {
        let bytes = event.encode();
        prop_assert_eq!(Event::decode(event.kind(), 0, &bytes), Ok(event.clone()));
        prop_assert!(Event::decode(event.kind(), 1, &bytes).is_err(), "another version");
        prop_assert!(Event::decode(event.kind(), 0, &bytes[..cut % bytes.len()]).is_err(), "too short");
        prop_assert!(Event::decode(event.kind(), 0, &[&bytes[..], &[0]].concat()).is_err(), "too long");
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
            if let Ok(read) = Event::decode(kind, 0, &bytes) {
                prop_assert!(read.encode() == bytes && read.kind() == kind);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_event_or_an_error(kind in 0..KINDS + 3, bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(read) = Event::decode(kind, 0, &bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }
}

/// Joins parts written in hex.
fn hexes(parts: &[&str]) -> Vec<u8> {
    hex::decode(parts.concat()).unwrap()
}

/// A report of a short and a long key, a release, and its publication.
fn longer_events(key: Key, long: Key, fields: Fields) -> (Reported, Released, Published) {
    let reported = Reported {
        set: 1,
        provider: 2,
        report: [0xcc; 16],
        keys: vec![
            ReportedKey { key, fields, embargo_end: 5 },
            ReportedKey { key: long, fields, embargo_end: 6 },
        ],
    };
    let changes = Changes { added: 1, withdrawn: 2, expired: 3, decoys_added: 4, decoys_withdrawn: 5 };
    let released = Released {
        set: 1,
        serial: 7,
        time: 0x65,
        horizon: 9,
        bits: 3,
        admit: true,
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
    (reported, released, published)
}

#[test]
fn events_lie_as_the_tables_say() {
    // spec 5.7.3, 5.7.4, 5.7.6
    let key = Key::from_slice(&[0xaa; 16]).unwrap();
    let long = Key::from_slice(&[0xbb; 32]).unwrap();
    let fields = Fields { start: 0x0102_0304, period: 144, report: 1, risk: 2, onset: -3 };
    let key_hex = ["10", &"aa".repeat(16)].concat();
    let long_hex = ["20", &"bb".repeat(32)].concat();
    let fields_hex = "04030201900001".to_owned() + "02fd";
    let (reported, released, published) = longer_events(key, long, fields);
    let withdrawn = KeyWithdrawn { set: 1, key, urgent: true, reason: "so".to_owned() };
    let provider = |key| ProviderAdded { provider: 4, name: "x".to_owned(), key };
    let cases: [(u16, Event, Vec<u8>); 11] = [
        (10, Event::Adopted { incarnation: 2 }, hexes(&["02000000"])),
        (
            1,
            Event::Founded(Founded { service: *b"12345678", incarnation: 2 }),
            hexes(&["3132333435363738", "02000000"]),
        ),
        (2, Event::Delegated(vec![9, 8]), hexes(&["02000000", "0908"])),
        (
            3,
            Event::Configured(Configured { set: 1, params: DEFAULT_PARAMS }),
            hexes(&["01000000", "0100", "0e00", "84030000", "201c0000", "0a000000", "80510100", "01"]),
        ),
        (4, Event::ManifestIssued { set: 3, bytes: vec![1] }, hexes(&["03000000", "01000000", "01"])),
        (5, Event::ProviderAdded(provider(None)), hexes(&["04000000", "01000000", "78", "00"])),
        (
            5,
            Event::ProviderAdded(provider(Some([0xab; 32]))),
            hexes(&["04000000", "01000000", "78", "01", &"ab".repeat(32)]),
        ),
        (
            6,
            Event::Reported(reported),
            hexes(&[
                "01000000",
                "02000000",
                &"cc".repeat(16),
                "02000000",
                &key_hex,
                &fields_hex,
                "0500000000000000",
                &long_hex,
                &fields_hex,
                "0600000000000000",
            ]),
        ),
        (7, Event::KeyWithdrawn(withdrawn), hexes(&["01000000", &key_hex, "01", "02000000", "736f"])),
        (
            8,
            Event::Released(released),
            hexes(&[
                "01000000",
                "07000000",
                "6500000000000000",
                "09000000",
                "03",
                "05",
                "01000000",
                "02000000",
                "03000000",
                "04000000",
                "05000000",
                "02000000",
                "1100000000000000",
                "1200000000000000",
            ]),
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
    ];
    for (kind, event, bytes) in cases {
        assert_eq!((event.kind(), hex::encode(event.encode())), (kind, hex::encode(&bytes)));
        assert_eq!(Event::decode(kind, 0, &bytes), Ok(event));
    }
}

#[test]
fn a_report_holds_one_to_thirty_keys() {
    let one =
        ReportedKey { key: Key::from_slice(&[1; 16]).unwrap(), fields: Fields::default(), embargo_end: 0 };
    for (n, sound) in [(0, false), (1, true), (30, true), (31, false)] {
        let event =
            Event::Reported(Reported { set: 1, provider: 1, report: [0; 16], keys: vec![one.clone(); n] });
        assert_eq!(Event::decode(6, 0, &event.encode()).is_ok(), sound, "{n}");
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
    world.origin.state().to_bytes()
}

#[test]
fn a_snapshot_begins_as_the_table_says() {
    // spec 5.8.1
    let mut world = World::new(NOON, 32);
    let bytes = world.origin.state().to_bytes();
    let service = world.origin.identity().service_id;
    let head = [
        &0u16.to_le_bytes()[..],
        &service,
        &1u32.to_le_bytes(),
        &4u64.to_le_bytes(),
        &NOON.to_le_bytes(),
        &1u32.to_le_bytes(),
        &160u32.to_le_bytes(),
        world.origin.state().delegation(),
        &0u32.to_le_bytes(),
        &1u32.to_le_bytes(),
        &1u32.to_le_bytes(),
    ]
    .concat();
    assert_eq!(bytes[..head.len()], head);
    let mut other = bytes.clone();
    other[0] = 1;
    assert!(State::from_bytes(&other).is_err(), "another layout");
    let manifest = world.set(1).manifest().to_vec();
    let set = [
        &[1, 0, 14, 0, 0x84, 3, 0, 0, 0x20, 0x1c, 0, 0, 10, 0, 0, 0, 0x80, 0x51, 1, 0, 1][..],
        &1u32.to_le_bytes(),
        &(manifest.len() as u32).to_le_bytes(),
        &manifest,
        &[0; 16],
        &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0],
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
