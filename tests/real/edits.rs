//! Files changed behind a server's back.

use std::path::Path;

/// Flips bits of one byte of a file.
pub(crate) fn flip(file: &Path, offset: usize) {
    edit(file, |bytes| bytes[offset] ^= 0x10);
}

/// Changes a file's bytes in place, as rot does: its inode stays.
pub(crate) fn edit(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(file).expect("a file");
    change(&mut bytes);
    std::fs::write(file, bytes).expect("written");
}

/// Writes the CRC-32C of the bytes before `at` there.
pub(crate) fn seal(bytes: &mut [u8], from: usize, at: usize) {
    let crc = crc32c::crc32c(&bytes[from..at]).to_le_bytes();
    bytes[at..at + 4].copy_from_slice(&crc);
}
