//! Snapshots of the private state, and events of the journal, from their bytes.
//!
//! Beside not panicking: memory stays within a multiple of the input; a state that was read is
//! written and read again as it was; an event that was read has these bytes and no other.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tekd::authority::{Grant, Issuer, KeyMaterial, ProviderKey, Scope, Standing};
use tekd::engine::{
    Amended, Authored, Changes, CodesIssued, Configured, DEFAULT_PARAMS, EVENT_VERSION, Event, Founded,
    ProviderAdded, ProviderStood, Released, Reported, ReportedKey, SealKey, State, Told, Withdrawn,
};
use tekd::release::Schema;
use tekd::store::journal::Head;
use tekd::store::{Disk, MemoryDisk, snapshot};
use tekd::wire::Key;
use tekd::wire::report::{Durability, ReportType, Verdict};
use tekd_fuzz::{bounded, seal, world};

const DIR: &str = "/s";
const LOG: [u8; 16] = [7; 16];

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    let most = (64 << 10) + 64 * input.len();
    if let Ok(state) = bounded::within(most, || State::from_bytes(input)) {
        let written = state.to_bytes();
        let again = State::from_bytes(&written).expect("its own bytes");
        assert_eq!(again.to_bytes(), written);
    }
    if let Some((kind, payload)) = input.split_first() {
        if let Ok(event) = bounded::within(most, || Event::decode(u16::from(*kind), EVENT_VERSION, payload)) {
            assert_eq!(event.kind(), u16::from(*kind));
            assert_eq!(event.encode(), payload);
        }
    }
    file(input);
});

/// The input as a snapshot file, sealed by the lowest bit of its last byte.
fn file(input: &[u8]) {
    let mut bytes = input.to_vec();
    if bytes.last().is_some_and(|last| last & 1 == 1) {
        seal::snapshot(&mut bytes);
    }
    let (disk, dir) = (MemoryDisk::new(), Path::new(DIR));
    disk.create_dir(dir).expect("a new disk");
    let path = dir.join(format!("snapshot-{:020}.tekd", 5));
    disk.create(&path).and_then(|file| file.write_all_at(&bytes, 0)).expect("a disk without faults");
    let found = bounded::within((64 << 10) + 4 * input.len(), || snapshot::newest_valid(&disk, dir, &LOG));
    let found = found.expect("a disk without faults");
    assert_eq!(found.snapshot.is_some(), found.skipped.is_empty());
}

fn seeds() -> Vec<Vec<u8>> {
    let events = events();
    let mut state = State::new();
    let mut seeds = Vec::new();
    for (seq, event) in (1..).zip(&events) {
        seeds.push([&[event.kind() as u8][..], &event.encode()].concat());
        if state.apply(seq, world::TIME + seq, event).is_err() {
            break;
        }
        seeds.push(state.to_bytes());
    }
    let (disk, dir) = (MemoryDisk::new(), Path::new(DIR));
    let head = Head { incarnation: 1, gno: 5, seq: 9, chain: [1; 32] };
    snapshot::write(&disk, dir, &LOG, &head, &[5; 100]).expect("a disk without faults");
    let files = disk.list(dir).expect("a disk without faults");
    seeds.push(tekd::store::read_file(&disk, &files[0], 1 << 20).expect("a disk without faults"));
    seeds
}

/// What a phone was told.
fn told(content: u8) -> Told {
    let verdicts = vec![Verdict::Accepted, Verdict::Expired];
    let (incarnation, key_epoch, signature) = (1, 300, [5; 64]);
    Told { content: [content; 32], verdicts, durability: Durability::Disk, incarnation, key_epoch, signature }
}

/// A provider with a key and a batch of codes.
fn provider(set: u32) -> Vec<Event> {
    let name = "one".to_owned();
    let issuer = Some(Issuer { name: "issuer".to_owned(), audience: "audience".to_owned(), set });
    let material = KeyMaterial::Ed25519([4; 32]);
    let key = ProviderKey::named_by_fingerprint(material, 1, u64::MAX);
    let codes = CodesIssued {
        batch: 1,
        provider: 1,
        set,
        report_type: ReportType::Likely,
        onset_day: Some(20_000),
        nonce: [7; 16],
        key_id: [8; 8],
        count: 10,
        expires: world::TIME + 3600,
    };
    vec![
        Event::ProviderAdded(ProviderAdded { provider: 1, name, issuer }),
        Event::ProviderKeyAdded { provider: 1, key },
        Event::CodesIssued(codes),
    ]
}

/// A short life of a set.
fn events() -> Vec<Event> {
    let (schema, set) = (Schema::GaenMinimal, world::SHORT);
    let keys = (0..5).map(|number| ReportedKey {
        key: Key::from_slice(&world::key(schema, number)).expect("a key"),
        fields: world::fields(schema, number),
        embargo_end: world::TIME,
    });
    let keys: Vec<ReportedKey> = keys.collect();
    let (key, more) = (keys[1].key, keys[4].clone());
    let authored =
        Authored { secret_hash: [9; 32], onset_day: None, report_type: ReportType::Likely, told: told(1) };
    let report = Reported {
        set,
        provider: 1,
        report: [3; 16],
        grant: Grant::Code { batch: 1, index: 2 },
        authored: Some(authored),
        keys: keys[..4].to_vec(),
    };
    let certificate = Grant::Certificate { signer: [9; 8], identity: [10; 16], until: world::TIME + 9 };
    let amended = Amended {
        set,
        report: 9,
        report_type: Some(ReportType::Confirmed),
        grant: certificate,
        provider: 1,
        keys: vec![more],
        told: told(2),
    };
    let released = Released {
        set,
        serial: 1,
        time: world::TIME + 100,
        horizon: world::HORIZON,
        bits: 0,
        admit: world::TIME + 100,
        withdraw: true,
        forced: false,
        decoys_leaving: Vec::new(),
        changes: Changes { added: 5, ..Changes::default() },
    };
    let reason = || "a test".to_owned();
    let withdrawn = |scope, told| Event::Withdrawn(Withdrawn { scope, urgent: true, reason: reason(), told });
    let stood = ProviderStood { provider: 1, standing: Standing::Revoked, since: Some(0), reason: reason() };
    let seal = SealKey { public: [11; 32], id: [12; 8], not_before: 1, not_after: u64::MAX };
    let founding = vec![
        Event::Founded(Founded { service: world::SERVICE, incarnation: 1 }),
        Event::Delegated(world::delegation()),
        Event::Configured(Configured { set, params: DEFAULT_PARAMS }),
        Event::SealKeyMade(seal),
        Event::ManifestIssued { set, bytes: world::manifest(set, schema) },
    ];
    let life = vec![
        Event::Reported(report),
        Event::Amended(amended),
        Event::Reported(Reported::unauthored(set, 0, [4; 16], keys)),
        Event::Released(released),
        withdrawn(Scope::Key { set, key }, None),
        Event::Reinstated { seq: 13 },
        withdrawn(Scope::Report { report: 9 }, Some(told(3))),
        Event::BatchRevoked { batch: 1, retroactive: true, reason: reason() },
        Event::ProviderStood(stood),
    ];
    [founding, provider(set), life].concat()
}
