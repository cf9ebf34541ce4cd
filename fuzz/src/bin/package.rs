//! Export packages: the input as a ZIP, and as members that the target packs.
//!
//! Beside not panicking: memory stays within a multiple of the input, and keys that were read and
//! can be written are read again as they were.

#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use tekd::gaen::{EXPORT_HEADER, Package, PackageMeta, verify, write_package};
use tekd_fuzz::bounded;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Memory that reading may take beyond a multiple of the input: the state of the decompressor.
const FIXED: usize = 4 << 20;
/// A message of two bytes becomes a structure; deflate makes a thousand bytes of one.
const PER_BYTE: usize = 128;
const INFLATED: usize = 1100 * PER_BYTE;

/// A public key of no package.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8\n\
    D54WK84zV2sxXs7LtkBoN79R9Q==\n-----END PUBLIC KEY-----\n";

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    read(input, FIXED + INFLATED * input.len());
    let (export, signature) = members(input);
    let bare = pack(&[("export.bin", export), ("export.sig", signature)]);
    read(&bare, FIXED + PER_BYTE * bare.len());
    let headed = [&EXPORT_HEADER[..], export].concat();
    let packed = pack(&[("export.bin", &headed), ("export.sig", signature)]);
    read(&packed, FIXED + PER_BYTE * packed.len());
});

/// The first two bytes are the length of `export.sig`.
fn members(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = input.split_first_chunk() else { return (input, &[]) };
    let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
    let (signature, export) = rest.split_at(length);
    (export, signature)
}

fn read(zip: &[u8], most: usize) {
    let package = match bounded::within(most, || Package::read(zip)) {
        Ok(package) => package,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let _ = verify(&package, KEY);
    let meta = PackageMeta {
        region: package.region.clone(),
        start: package.start,
        end: package.end,
        batch_num: package.batch_num,
        batch_size: package.batch_size,
    };
    let written = write_package(&package.keys, &meta, None).expect("what was read can be written");
    let again = Package::read(&written).expect("what was written can be read");
    let mut keys = package.keys;
    keys.sort_unstable();
    assert_eq!((again.keys, again.region, again.start, again.end), (keys, meta.region, meta.start, meta.end));
}

fn pack(members: &[(&str, &[u8])]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer
            .start_file(*name, options)
            .and_then(|()| Ok(writer.write_all(bytes)?))
            .expect("it fits into memory");
    }
    writer.finish().expect("it fits into memory").into_inner()
}

fn seeds() -> Vec<Vec<u8>> {
    let reports = tekd::gaen::Epidemic::new(1).reports(20, 2_900_016).expect("a midnight");
    let keys: Vec<_> = reports.flat_map(|report| report.keys).collect();
    let (region, start, end) = ("XX".to_owned(), 1_790_000_000, 1_790_000_900);
    let meta = PackageMeta { region, start, end, batch_num: 1, batch_size: 1 };
    let zip = write_package(&keys, &meta, None).expect("few keys");
    let export = Package::read(&zip).expect("its own package").signed_bytes()[EXPORT_HEADER.len()..].to_vec();
    // One signature with an info, made by hand: {1: {1: {4: "310"}, 2: 1, 3: 1, 4: DER}}.
    let signature = b"\x0a\x13\x0a\x05\x22\x03310\x10\x01\x18\x01\x22\x06\x30\x04\x02\x00\x02\x00";
    let structured = [&(signature.len() as u16).to_le_bytes()[..], signature, &export].concat();
    vec![zip, structured]
}
