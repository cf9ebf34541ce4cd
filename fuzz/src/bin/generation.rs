//! Generation files with damage of all kinds, sealed again or not: the input edits a real one.
//!
//! Beside not panicking: memory stays within a multiple of the file, and in what was opened every
//! key is found where a search from the start finds it, and buckets cover the set.

#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tekd::release::Schema;
use tekd::store::generation::{Generation, add_serial, is_live};
use tekd::store::{Disk, MemoryDisk, MemoryMode};
use tekd_fuzz::edits::{self, Reader};
use tekd_fuzz::{bounded, seal, world};

const FILE: &str = "/g/gen-0000000100000003.tekd";

/// Bits of the first byte; the two above choose the schema of the file that is edited.
const SEAL: u8 = 1;
const RAW: u8 = 2;

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    let mut reader = Reader::new(input);
    let control = reader.byte();
    let schema = Schema::ALL[usize::from(control >> 2) % Schema::ALL.len()];
    let mut files = [real()[usize::from(schema.number()) - 1].clone()];
    if control & RAW == 0 {
        edits::apply(&mut reader, &mut files);
    } else {
        files[0] = reader.rest().to_vec();
    }
    if control & SEAL != 0 {
        seal::generation(&mut files[0]);
    }
    let disk = MemoryDisk::new();
    let path = Path::new(FILE);
    disk.create_dir(path.parent().expect("a file in a directory")).expect("a new disk");
    disk.create(path).and_then(|file| file.write_all_at(&files[0], 0)).expect("a disk without faults");
    // The bytes themselves are mapped, not allocated.
    let opened = bounded::within(64 << 10, || Generation::open(&disk, path, MemoryMode::Copy));
    match opened {
        Ok(generation) => search(&generation),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn search(generation: &Generation) {
    let shape = generation.shape();
    let entries: Vec<&[u8]> = generation.iter().collect();
    assert_eq!(entries.iter().filter(|entry| is_live(entry)).count() as u64, generation.live());
    for (at, entry) in entries.iter().enumerate() {
        let key = shape.key(entry);
        let all = generation.find_all(key);
        assert!(all.contains(&at) && entries[all.clone()].iter().all(|other| shape.key(other) == key));
        let live = all.clone().find(|position| is_live(entries[*position]));
        assert_eq!(generation.find_live(key), live);
        let mut other = key.to_vec();
        other[shape.key_len() - 1] ^= 1;
        if generation.find_all(&other).is_empty() {
            assert_eq!(generation.find_live(&other), None);
        }
        if let Some(next) = entries.get(at + 1).filter(|next| shape.key(next) == key) {
            assert!(add_serial(entry) < add_serial(next));
        }
    }
    for bits in 0..=6 {
        let mut covered = 0;
        for prefix in 0..1 << bits {
            let bucket = generation.bucket(prefix, bits);
            assert_eq!(bucket.start, covered, "buckets follow one another");
            covered = bucket.end;
        }
        assert_eq!(covered, entries.len());
    }
    let bits = generation.meta().bits;
    assert_eq!(generation.node(0, 0), Some(generation.root()));
    assert!(generation.node(bits, (1 << bits) - 1).is_some() && generation.node(bits + 1, 0).is_none());
}

/// A file of each schema.
fn real() -> &'static [Vec<u8>; 3] {
    static FILES: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    FILES.get_or_init(|| Schema::ALL.map(|schema| world::generation(world::SHORT, schema).bytes().to_vec()))
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for schema in 0..3 {
        let control = SEAL | schema << 2;
        let edit = |control: u8, edit: Vec<u8>| [&[control][..], &edit].concat();
        seeds.push(vec![control]);
        seeds.push(edit(control, edits::overwriting(0, 56, &[49])));
        seeds.push(edit(control, edits::overwriting(0, 4096, &[0xff; 16])));
        seeds.push(edit(control, edits::overwriting(0, 4096 + 32 * 5 - 4, &[3, 0, 0, 0])));
        seeds.push(edit(control & !SEAL, edits::overwriting(0, 5000, &[1])));
        seeds.push(edit(control, edits::resizing(0, 4096)));
    }
    seeds
}
