//! Checksums of tekd's files made right again after edits (protocol-spec 5.3, 5.6), so that an
//! input reaches what lies behind them.
//!
//! Written from the specification, not with tekd's own code: what it seals must be what tekd reads.

use sha2::{Digest, Sha256};

/// A page of the journal.
pub const PAGE: usize = 4096;

const GROUP_HEADER: usize = 128;
const GROUP_TRAILER: usize = 64;
const CHAIN_LABEL: &[u8] = b"tekd-group-v1";

/// Makes the checksum in the last four bytes of each whole page right.
pub fn pages(bytes: &mut [u8]) {
    for page in bytes.chunks_exact_mut(PAGE) {
        let crc = crc32c::crc32c(&page[..PAGE - 4]);
        put(page, PAGE - 4, &crc.to_le_bytes());
    }
}

/// Makes a segment of the journal whole again: its length and checksum, and of each group that
/// lies in it the place in the hash chain, hash and checksum.
pub fn segment(bytes: &mut [u8]) {
    if bytes.len() < PAGE {
        return;
    }
    let length = bytes.len() as u64;
    put(bytes, 40, &length.to_le_bytes());
    pages(&mut bytes[..PAGE]);
    let mut chain: [u8; 32] = part(bytes, 64);
    let mut at = PAGE;
    while let Some(group) = bytes.get_mut(at..).filter(|group| group.len() >= GROUP_HEADER) {
        let total = u32::from_le_bytes(part(group, 4)) as usize;
        if group[..4] != *b"TGRP" || total < GROUP_HEADER + GROUP_TRAILER || total > group.len() {
            return;
        }
        put(group, 96, &chain);
        let (summed, trailer) = group[..total].split_at_mut(total - GROUP_TRAILER);
        chain = Sha256::new()
            .chain_update(CHAIN_LABEL)
            .chain_update(&summed[..GROUP_HEADER])
            .chain_update(Sha256::digest(&summed[GROUP_HEADER..]))
            .finalize()
            .into();
        put(trailer, 24, &crc32c::crc32c(summed).to_le_bytes());
        put(trailer, 32, &chain);
        at += total.next_multiple_of(PAGE);
    }
}

/// Makes a generation file whole again: the hashes of its sections as far as its header places
/// them inside of it, the root and the checksum of the header.
pub fn generation(bytes: &mut [u8]) {
    if bytes.len() < PAGE {
        return;
    }
    for (place, digest_at) in [(72, 160), (88, 192), (104, 224)] {
        let start = u64::from_le_bytes(part(bytes, place)) as usize;
        let len = u64::from_le_bytes(part(bytes, place + 8)) as usize;
        let Some(section) = bytes.get(start..start.saturating_add(len)) else { continue };
        let digest = Sha256::digest(section);
        let root: Option<[u8; 32]> = section.first_chunk().copied();
        put(bytes, digest_at, &digest);
        if let (104, Some(root)) = (place, root) {
            put(bytes, 128, &root);
        }
    }
    pages(&mut bytes[..PAGE]);
}

/// Makes a snapshot file whole again: its length, hash and checksum.
pub fn snapshot(bytes: &mut [u8]) {
    let Some((header, payload)) = bytes.split_at_mut_checked(144) else { return };
    put(header, 80, &(payload.len() as u64).to_le_bytes());
    put(header, 88, &Sha256::digest(payload));
    let crc = crc32c::crc32c(&header[..140]);
    put(header, 140, &crc.to_le_bytes());
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the caller has looked at the length")
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
