//! Generations written, damaged, opened and searched.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::layout::{Contents, Layout};
use super::order::OrderCheck;
use super::*;
use crate::store::{Disk, Fault, MemoryDisk, MemoryMode, OperationKind, RealDisk};

fn meta(key_len: u8, entry_len: u8, bits: u8) -> GenerationMeta {
    GenerationMeta {
        service: *b"service!",
        set: 7,
        schema: 1,
        key_len,
        entry_len,
        version: 1 << 32 | 5,
        time: 1_790_000_000,
        horizon: 2_980_000,
        bits,
    }
}

fn entry(meta: &GenerationMeta, key: &[u8], add: u32, del: u32) -> Vec<u8> {
    let mut entry = key.to_vec();
    entry.resize(usize::from(meta.entry_len) - 8, add as u8 ^ 0x5a);
    entry.extend(add.to_le_bytes());
    entry.extend(del.to_le_bytes());
    entry
}

fn nodes(bits: u8) -> Vec<u8> {
    (0..nodes_len(bits)).map(|i| (i * 31 + i / 32) as u8).collect()
}

/// Distinct keys over the whole range of prefixes, some of them with withdrawn entries before the live one.
fn sample(meta: &GenerationMeta, keys: u32) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for i in 0..keys {
        let mut key = (u64::from(i) * (u64::MAX / u64::from(keys))).to_be_bytes().to_vec();
        key.resize(usize::from(meta.key_len), i as u8);
        for add in 0..i % 3 {
            entries.push(entry(meta, &key, add + 1, add + 2));
        }
        entries.push(entry(meta, &key, 9, if i % 7 == 6 { 10 } else { LIVE }));
    }
    entries
}

fn write(
    disk: &dyn Disk,
    dir: &Path,
    meta: &GenerationMeta,
    entries: &[Vec<u8>],
    spare: u64,
) -> Result<Generation, GenerationError> {
    let mut builder = GenerationBuilder::create(disk, dir, meta.clone(), entries.len() as u64 + spare)?;
    for entry in entries {
        builder.push(entry)?;
    }
    builder.finish(&nodes(meta.bits), MemoryMode::Copy)
}

#[test]
fn a_file_whose_entries_went_ahead_is_the_one_written_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for keys in [0, 1, 100] {
        let meta = meta(16, 32, 5);
        let entries = sample(&meta, keys);
        let generation = Generation::in_memory(meta.clone(), entries.concat(), nodes(5)).unwrap();
        std::fs::write(dir.path().join(format!("{}{TEMPORARY_SUFFIX}", file_name(meta.version))), [7; 9])
            .unwrap();
        let ahead = EntriesAhead::write(&RealDisk, dir.path(), meta.version, &entries.concat()).unwrap();
        let path = dir.path().join(file_name(meta.version));
        assert_eq!(path.exists(), keys > 0, "it has its name only once it is whole");
        ahead.complete(&generation).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), generation.bytes());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn what_is_written_is_what_is_opened_in_both_modes_and_what_memory_holds() {
    for (key_len, entry_len) in [(16, 32), (16, 36), (16, 48), (32, 48)] {
        for (keys, spare) in [(0, 0), (0, 5000), (1, 0), (4, 0), (100, 0), (100, 10_000), (5000, 3)] {
            let dir = tempfile::tempdir().unwrap();
            let dir = dir.path().join("sets/7");
            let meta = meta(key_len, entry_len, 5);
            let entries = sample(&meta, keys);
            let written = write(&RealDisk, &dir, &meta, &entries, spare).unwrap();
            assert_eq!(written.path(), dir.join("gen-0000000100000005.tekd"));
            let memory = Generation::in_memory(meta.clone(), entries.concat(), nodes(5)).unwrap();
            assert_eq!(memory.bytes(), std::fs::read(written.path()).unwrap());
            for mode in [MemoryMode::Copy, MemoryMode::Map] {
                let opened = Generation::open(&RealDisk, written.path(), mode).unwrap();
                assert_eq!(opened.mode(), mode);
                assert_eq!(opened.bytes(), memory.bytes());
                assert_eq!(opened.meta(), &meta);
                assert_eq!(opened.len(), entries.len());
                assert_eq!(opened.live(), entries.iter().filter(|entry| is_live(entry)).count() as u64);
                assert!(opened.iter().eq(entries.iter().map(Vec::as_slice)));
                assert_eq!(opened.root(), opened.node(0, 0).unwrap());
            }
        }
    }
}

#[test]
fn every_flipped_byte_every_truncation_and_every_addition_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let meta = meta(16, 36, 2);
    // 37 entries of 36 bytes: both gaps between sections exist.
    let path = write(&RealDisk, dir.path(), &meta, &sample(&meta, 19), 0).unwrap().path().to_path_buf();
    let good = std::fs::read(&path).unwrap();
    let mut sections = Vec::new();
    let mut refuse = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        for mode in [MemoryMode::Copy, MemoryMode::Map] {
            match Generation::open(&RealDisk, &path, mode) {
                Err(GenerationError::Damaged { section, path: named, .. }) => {
                    assert_eq!(named, path);
                    if !sections.contains(&section) {
                        sections.push(section);
                    }
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    };
    for position in 0..good.len() {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        refuse(&bytes, &format!("byte {position} flipped"));
    }
    for len in (0..good.len()).step_by(97) {
        refuse(&good[..len], &format!("cut to {len}"));
    }
    refuse(&[&good[..], &[0]].concat(), "one byte more");
    for section in
        [Section::Header, Section::Entries, Section::Index, Section::Nodes, Section::Padding, Section::File]
    {
        assert!(sections.contains(&section), "no damage was found in {section}");
    }
    std::fs::write(&path, &good).unwrap();
    Generation::open(&RealDisk, &path, MemoryMode::Copy).unwrap();
}

/// Writes `bytes` with all checksums made right again, as a wrong writer would.
fn reseal(bytes: &mut [u8]) {
    let at = |bytes: &[u8], offset: usize| {
        u64::from_le_bytes(bytes[offset..offset + 8].try_into().unwrap()) as usize
    };
    for (section, digest) in [(72, 160), (88, 192), (104, 224)] {
        let (start, len) = (at(bytes, section), at(bytes, section + 8));
        let sum = table::sha256(&bytes[start..start + len]);
        bytes[digest..digest + 32].copy_from_slice(&sum);
    }
    let crc = crc32c::crc32c(&bytes[..4092]);
    bytes[4092..4096].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn right_checksums_over_wrong_contents_are_refused_too() {
    let dir = tempfile::tempdir().unwrap();
    let meta = meta(16, 32, 2);
    let path = write(&RealDisk, dir.path(), &meta, &sample(&meta, 40), 0).unwrap().path().to_path_buf();
    let good = std::fs::read(&path).unwrap();
    let section_of = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        reseal(&mut bytes);
        std::fs::write(&path, &bytes).unwrap();
        match Generation::open(&RealDisk, &path, MemoryMode::Copy) {
            Err(GenerationError::Damaged { section, .. }) => section,
            other => panic!("{other:?}"),
        }
    };
    let index = u64::from_le_bytes(good[88..96].try_into().unwrap()) as usize;
    assert_eq!(section_of(&|bytes| bytes.copy_within(4096..4128, 4128)), Section::Entries);
    assert_eq!(section_of(&|bytes| bytes[index + 4] += 1), Section::Index);
    assert_eq!(section_of(&|bytes| bytes[index..index + 4].fill(0xff)), Section::Index);
    assert_eq!(section_of(&|bytes| bytes[64] ^= 1), Section::Header);
    assert_eq!(section_of(&|bytes| bytes[128] ^= 1), Section::Nodes);
    assert_eq!(section_of(&|bytes| bytes[52] = 1), Section::Header);
    assert_eq!(section_of(&|bytes| bytes[300] = 1), Section::Header);
    assert_eq!(section_of(&|bytes| bytes[48] = 17), Section::Header);
    assert_eq!(section_of(&|bytes| bytes[50] = 29), Section::Header);
    assert_eq!(section_of(&|bytes| bytes[56..64].fill(0xff)), Section::Header);

    let mut bytes = good.clone();
    bytes[8] = 2;
    reseal(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let newer = Generation::open(&RealDisk, &path, MemoryMode::Copy).unwrap_err();
    assert!(matches!(newer, GenerationError::Newer { format: 2, .. }), "{newer}");
}

#[test]
fn entries_out_of_order_are_refused_by_file_and_memory_alike() {
    let meta = meta(16, 32, 0);
    let (low, high) = ([1; 16], [2; 16]);
    let live = |key: &[u8], add| entry(&meta, key, add, LIVE);
    let gone = |key: &[u8], add| entry(&meta, key, add, add + 1);
    let cases = [
        (vec![live(&high, 1), live(&low, 1)], OrderError::NotAscending),
        (vec![live(&low, 1), live(&low, 1)], OrderError::NotAscending),
        (vec![gone(&low, 2), gone(&low, 2)], OrderError::NotAscending),
        (vec![gone(&low, 3), live(&low, 2)], OrderError::NotAscending),
        (vec![live(&low, 1), live(&low, 2)], OrderError::AfterLive),
        (vec![live(&low, 1), gone(&low, 2)], OrderError::AfterLive),
        (vec![live(&low, 1), vec![0; 31]], OrderError::Length { got: 31, want: 32 }),
    ];
    for (entries, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        let on_disk = write(&RealDisk, dir.path(), &meta, &entries, 0).unwrap_err();
        let in_memory = Generation::in_memory(meta.clone(), entries.concat(), nodes(0)).unwrap_err();
        for error in [on_disk, in_memory] {
            match error {
                GenerationError::Order { position: 1, source } => assert_eq!(source, expected),
                other => panic!("{other:?} instead of {expected:?}"),
            }
        }
        assert_eq!(generations(&RealDisk, dir.path()).unwrap(), []);
    }
}

#[test]
fn impossible_shapes_counts_and_nodes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (key_len, entry_len) in [(0, 32), (20, 32), (16, 16), (16, 40), (32, 32), (32, 36), (16, 255)] {
        let error = write(&RealDisk, dir.path(), &meta(key_len, entry_len, 0), &[], 0).unwrap_err();
        assert!(matches!(error, GenerationError::Shape(_)), "{error}");
    }
    let error = write(&RealDisk, dir.path(), &meta(16, 32, 29), &[], 0).unwrap_err();
    assert!(matches!(error, GenerationError::Bits { bits: 29 }), "{error}");

    let meta = meta(16, 32, 3);
    let mut builder = GenerationBuilder::create(&RealDisk, dir.path(), meta.clone(), 1).unwrap();
    builder.push(&entry(&meta, &[1; 16], 1, LIVE)).unwrap();
    let error = builder.push(&entry(&meta, &[2; 16], 1, LIVE)).unwrap_err();
    assert!(matches!(error, GenerationError::TooMany { limit: 1 }), "{error}");
    let error = builder.finish(&nodes(2), MemoryMode::Copy).unwrap_err();
    assert!(matches!(error, GenerationError::Nodes { got: 224, need: 480, bits: 3 }), "{error}");
}

#[test]
fn an_interrupted_attempt_is_replaced_and_leaves_the_old_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let meta = meta(16, 32, 1);
    let old = write(&RealDisk, dir.path(), &meta, &sample(&meta, 3), 0).unwrap();
    let mut builder = GenerationBuilder::create(&RealDisk, dir.path(), meta.clone(), 9).unwrap();
    builder.push(&entry(&meta, &[1; 16], 1, LIVE)).unwrap();
    drop(builder);
    assert_eq!(Generation::open(&RealDisk, old.path(), MemoryMode::Map).unwrap().len(), old.len());
    let new = write(&RealDisk, dir.path(), &meta, &sample(&meta, 8), 0).unwrap();
    assert_eq!(RealDisk.list(dir.path()).unwrap(), [new.path()]);
    assert_eq!(Generation::open(&RealDisk, new.path(), MemoryMode::Map).unwrap().bytes(), new.bytes());
}

#[test]
fn a_power_cut_at_any_moment_leaves_only_names_that_verify() {
    let dir = Path::new("/sets/7");
    let meta = meta(16, 32, 1);
    let (small, large) = (sample(&meta, 3), sample(&meta, 60));
    let whole =
        |entries: &[Vec<u8>]| Generation::in_memory(meta.clone(), entries.concat(), nodes(1)).unwrap();
    let (old, new) = (whole(&small), whole(&large));
    let mut finished = false;
    let mut cut = 0;
    while !finished {
        let disk = MemoryDisk::new();
        write(&disk, dir, &meta, &small, 0).unwrap();
        disk.freeze_after(cut);
        finished = write(&disk, dir, &meta, &large, 0).is_ok();
        for seed in 0..20 {
            let image = disk.crash(seed);
            let found = generations(&image, dir).unwrap();
            assert_eq!(found.len(), 1, "cut {cut}, seed {seed}");
            let left = Generation::open(&image, &found[0].1, MemoryMode::Map).unwrap();
            let allowed = [old.bytes(), new.bytes()];
            assert!(allowed[usize::from(finished)..].contains(&left.bytes()), "cut {cut}, seed {seed}");
            retire_older(&image, dir, 1).unwrap();
            assert_eq!(image.list(dir).unwrap().len(), 1, "cut {cut}, seed {seed}");
        }
        cut += 1;
    }
    assert!(cut > 8, "the power was cut only {cut} times");
}

#[test]
fn a_failing_disk_fails_the_writer_and_keeps_the_old_file() {
    let dir = Path::new("/sets/7");
    let meta = meta(16, 32, 1);
    let faults = [
        (OperationKind::Create, 1),
        (OperationKind::Write, 1),
        (OperationKind::Write, 2),
        (OperationKind::Write, 6),
        (OperationKind::Sync, 1),
        (OperationKind::Rename, 1),
    ];
    for (kind, nth) in faults {
        let disk = MemoryDisk::new();
        let old = write(&disk, dir, &meta, &sample(&meta, 3), 0).unwrap();
        disk.fail(kind, nth, Fault::Enospc);
        let error = write(&disk, dir, &meta, &sample(&meta, 60), 0).unwrap_err();
        assert!(matches!(error, GenerationError::Io { .. }), "{kind:?}: {error}");
        let left = Generation::open(&disk, old.path(), MemoryMode::Copy).unwrap();
        assert_eq!(left.bytes(), old.bytes(), "{kind:?}");
        write(&disk, dir, &meta, &sample(&meta, 60), 0).unwrap();
    }
}

#[test]
fn nodes_are_addressed_level_by_level_and_others_do_not_exist() {
    let generation = Generation::in_memory(meta(16, 32, 3), Vec::new(), nodes(3)).unwrap();
    let hashes: Vec<_> = nodes(3).chunks(32).map(<[u8]>::to_vec).collect();
    let mut position = 0;
    for level in 0..=3 {
        for index in 0..1 << level {
            assert_eq!(generation.node(level, index).unwrap()[..], hashes[position]);
            position += 1;
        }
        assert_eq!(generation.node(level, 1 << level), None);
    }
    assert_eq!(position, hashes.len());
    assert_eq!(generation.node(4, 0), None);
    assert_eq!(generation.node(255, u32::MAX), None);
}

/// The digest is of a file put together from clauses 5.6.2–5.6.7 by another program.
#[test]
fn the_bytes_are_those_of_the_clauses() {
    let mut entries = Vec::new();
    let mut add = |i: u8, add: u32, del: u32| {
        entries.extend([i * 28; 16]);
        entries.extend(0..8u8);
        entries.extend(add.to_le_bytes());
        entries.extend(del.to_le_bytes());
    };
    for i in 0..9 {
        if i % 4 == 1 {
            add(i, 1, 2);
        }
        add(i, 3, if i % 3 == 0 { 4 } else { LIVE });
    }
    let generation = Generation::in_memory(meta(16, 32, 1), entries, (0..96).collect()).unwrap();
    let digest = "82e0089fc53879e5a573004d126766d11ae952252aede2215be93a519f5466db";
    assert_eq!(hex::encode(table::sha256(generation.bytes())), digest);
}

#[test]
fn the_index_has_two_to_four_thirds_of_an_entry_a_slot() {
    let expected =
        [(0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (1 << 20, 20), (1 << 26, 26), (ENTRIES_MAX, 26)];
    for (entries, bits) in expected {
        assert_eq!(index_bits(entries), bits, "{entries}");
    }
}

/// The file of these entries with another index.
fn file_with_index(meta: &GenerationMeta, entries: &[u8], nodes: &[u8], index_bits: u8) -> Vec<u8> {
    let shape = meta.shape().unwrap();
    let count = entries.len() / shape.entry_len();
    let layout = Layout::with_index(shape, count as u64, meta.bits, index_bits);
    let mut order = OrderCheck::new(shape, layout.index_bits);
    let mut index = Vec::new();
    for (position, entry) in (0u32..).zip(entries.chunks_exact(shape.entry_len())) {
        index.extend(order.step(entry).unwrap().flat_map(|_| position.to_le_bytes()));
    }
    index.extend(order.rest().flat_map(|_| (count as u32).to_le_bytes()));
    let contents = Contents {
        entries: count as u64,
        live: order.live(),
        root: table::root(nodes),
        entries_sha256: table::sha256(entries),
        index_sha256: table::sha256(&index),
        nodes_sha256: table::sha256(nodes),
    };
    let mut file = vec![0; layout.file_len()];
    file[..HEADER_LEN].copy_from_slice(&layout::encode(meta, &contents, &layout));
    file[layout.entries.clone()].copy_from_slice(entries);
    file[layout.index.clone()].copy_from_slice(&index);
    file[layout.nodes.clone()].copy_from_slice(nodes);
    file
}

#[test]
fn a_file_with_another_index_is_read_and_finds_the_same() {
    // spec 5.6.6
    let counts = [0, 1, 3, 4, 5, 8, 1000];
    for (count, index_bits) in counts.into_iter().flat_map(|count| [0, 1, 3, 9, 11].map(|bits| (count, bits)))
    {
        let meta = meta(16, 32, 1);
        let key = |i: u64| [i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes(); 2].concat();
        let mut keys: Vec<Vec<u8>> = (0..count).map(key).collect();
        keys.sort();
        let entries: Vec<u8> = keys.iter().flat_map(|key| entry(&meta, key, 1, LIVE)).collect();
        let nodes: Vec<u8> = (0..96).collect();
        let (disk, path) = (MemoryDisk::new(), Path::new("/sets/other.tekd"));
        disk.create_dir(Path::new("/sets")).unwrap();
        let file = disk.create(path).unwrap();
        file.write_all_at(&file_with_index(&meta, &entries, &nodes, index_bits), 0).unwrap();
        file.sync().unwrap();
        disk.sync_dir(Path::new("/sets")).unwrap();
        let read = Generation::open(&disk, path, MemoryMode::Copy).unwrap();
        assert_eq!(read.entry_bytes(), entries);
        assert!(keys.iter().enumerate().all(|(at, key)| read.find_live(key) == Some(at)), "{count}");
        assert_eq!(read.find_live(&[0xff; 16]), None);
    }
}

#[test]
fn an_index_larger_than_any_is_damage() {
    let meta = meta(16, 32, 1);
    let zero = [0; DIGEST_LEN];
    let (root, entries_sha256, index_sha256, nodes_sha256) = (zero, zero, zero, zero);
    let contents = Contents { entries: 0, live: 0, root, entries_sha256, index_sha256, nodes_sha256 };
    let layout = Layout::with_index(meta.shape().unwrap(), 0, meta.bits, INDEX_BITS_MAX + 1);
    let header = layout::encode(&meta, &contents, &layout);
    let error = layout::decode(&header, Path::new("large.tekd")).unwrap_err().to_string();
    assert_eq!(error, "large.tekd: header damaged: more index bits than a generation may have");
}

/// Keys in clusters: few leading patterns, a middle that varies little, so that slots are empty, short or
/// very long.
fn key(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let lead = prop_oneof![
        3 => Just(vec![0x00, 0x00, 0x00, 0x00]),
        3 => Just(vec![0xab, 0xcd, 0xef, 0x01]),
        1 => Just(vec![0xff, 0xff, 0xff, 0xff]),
        3 => vec(any::<u8>(), 4),
    ];
    (lead, vec(0u8..3, 2), any::<bool>()).prop_map(move |(mut key, tail, end)| {
        key.resize(len - 2, if end { 0xff } else { 0 });
        key.extend(tail);
        key
    })
}

/// For each key the serials of its entries and whether the last is live.
type Model = BTreeMap<Vec<u8>, (Vec<u32>, bool)>;

fn model(len: usize) -> impl Strategy<Value = Model> {
    let serials = prop_oneof![
        6 => 1usize..3,
        1 => 17usize..40,
    ];
    let serials = serials.prop_map(|n| (0..n as u32).map(|i| i * 3 + 1).collect::<Vec<_>>());
    let size = prop_oneof![Just(0..1usize), Just(1..2), Just(2..300)];
    size.prop_flat_map(move |size| {
        proptest::collection::btree_map(key(len), (serials.clone(), any::<bool>()), size)
    })
}

fn entries_of(meta: &GenerationMeta, model: &Model) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for (key, (serials, live)) in model {
        for (i, add) in serials.iter().enumerate() {
            let last = i + 1 == serials.len();
            entries.push(entry(meta, key, *add, if last && *live { LIVE } else { add + 2 }));
        }
    }
    entries
}

fn check_keys(generation: &Generation, model: &Model, asked: &[Vec<u8>]) -> Result<(), TestCaseError> {
    for key in model.keys().chain(asked) {
        let known = model.get(key);
        let found = generation.find_live(key);
        prop_assert_eq!(found.is_some(), known.is_some_and(|(_, live)| *live));
        if let Some(position) = found {
            prop_assert_eq!(generation.key(position), &key[..]);
            prop_assert!(is_live(generation.entry(position)));
        }
        prop_assert!(generation.is_found(key, found));
        let other = if found.is_some() { None } else { generation.range(key).next() };
        prop_assert!(found == other || !generation.is_found(key, other));
        generation.foresee_slot(key);
        generation.foresee_entries(key);
        let all: Vec<u32> =
            generation.find_all(key).map(|position| add_serial(generation.entry(position))).collect();
        prop_assert_eq!(&all[..], known.map_or(&[][..], |(serials, _)| serials));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn keys_and_buckets_are_found_as_a_naive_map_finds_them(
        wide in any::<bool>(),
        model in model(16),
        asked in vec(key(16), 0..20),
        buckets in vec((any::<u32>(), 0u8..=32), 0..40),
    ) {
        // The same keys as 16 bytes, or widened to 32.
        let (key_len, entry_len) = if wide { (32, 48) } else { (16, 32) };
        let widen = |key: &Vec<u8>| {
            let mut key = key.clone();
            key.resize(usize::from(key_len), 1);
            key
        };
        let model: Model = model.iter().map(|(key, value)| (widen(key), value.clone())).collect();
        let asked: Vec<_> = asked.iter().map(widen).collect();
        let meta = meta(key_len, entry_len, 0);
        let entries = entries_of(&meta, &model);
        let generation = Generation::in_memory(meta, entries.concat(), nodes(0)).unwrap();
        check_keys(&generation, &model, &asked)?;
        prop_assert_eq!(generation.find_live(&[0; 15]), None);
        prop_assert_eq!(generation.find_live(&[]), None);

        let prefix_of = |key: &[u8], bits: u8| {
            (u64::from(u32::from_be_bytes(key[..4].try_into().unwrap())) >> (32 - bits)) as u32
        };
        let random = buckets.iter().map(|(prefix, bits)| ((u64::from(*prefix) >> (32 - bits)) as u32, *bits));
        let aimed = model.keys().zip(0..=32).map(|(key, bits)| (prefix_of(key, bits), bits));
        for (prefix, bits) in random.chain(aimed) {
            let expected: Vec<_> =
                entries.iter().filter(|entry| prefix_of(entry, bits) == prefix).cloned().collect();
            let range = generation.bucket(prefix, bits);
            prop_assert_eq!(generation.entries(range), &expected.concat()[..], "{}/{}", prefix, bits);
            generation.foresee_bucket_slots(prefix, bits);
            generation.foresee_bucket_entries(prefix, bits);
            prop_assert!(generation.bucket_entries(prefix, bits).eq(expected.iter().map(Vec::as_slice)));
        }
        prop_assert!(generation.bucket(1, 0).is_empty());
        prop_assert!(generation.bucket(u32::MAX, 31).is_empty());
        for (prefix, bits) in [(u32::MAX, 31), (u32::MAX, 32), (0, 0), (1, 0), (7, u8::MAX)] {
            generation.foresee_bucket_slots(prefix, bits);
            generation.foresee_bucket_entries(prefix, bits);
        }
    }

    #[test]
    fn any_damage_to_any_byte_is_refused(
        model in model(16), position in any::<proptest::sample::Index>(), change in 1u8..=255,
    ) {
        let meta = meta(16, 32, 2);
        let entries = entries_of(&meta, &model).concat();
        let generation = Generation::in_memory(meta.clone(), entries, nodes(2)).unwrap();
        let mut bytes = generation.bytes().to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file_name(meta.version));
        std::fs::write(&path, &bytes).unwrap();
        prop_assert!(Generation::open(&RealDisk, &path, MemoryMode::Copy).is_err(), "byte {}", position);
    }
}
