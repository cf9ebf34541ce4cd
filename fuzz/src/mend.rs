//! Headers of deltas made to fit what follows them (protocol-spec 3.8.3), so that sections of any
//! bytes are read.

use tekd::release::Schema;
use tekd::release::delta::HEADER_LEN;

use crate::world;

const KEPT: usize = 48;
const REMOVED: usize = 52;
const ADDED: usize = 56;
const AFTER: usize = 60;
const ROWS: usize = 68;
/// Lengths of the sections that may have any: removals, gaps, tuples, serials.
const LENGTHS: [usize; 4] = [72, 76, 80, 84];
const LEAVES: usize = 88;
const RESERVED: usize = 93;

/// Bytes that decoding may take whatever an object's length: the table of an entropy code.
const FIXED: usize = 2 << 20;

/// The schema an object names, so that each is met by a base of its own.
pub fn schema(object: &[u8]) -> Schema {
    let number = object.get(10..12).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
    Schema::from_number(number).unwrap_or(Schema::GaenMinimal)
}

/// Most bytes that applying may hold at once.
pub fn memory(object: usize, base: usize) -> usize {
    FIXED + 32 * (object + base)
}

/// The object with the fixed fields of an honest one of `kind` (1 live, 2 history), and with the
/// length of one section changed so that all of them end with the object; `None` if none can be.
pub fn mend(input: &[u8], kind: u8) -> Option<Vec<u8>> {
    let mut object = input.to_vec();
    let header = object.get_mut(..HEADER_LEN)?;
    let choice = usize::from(header[RESERVED]) % LENGTHS.len();
    let schema = schema(header);
    header[..10].copy_from_slice(b"TEKDDLT1\x01\0");
    header[10..12].copy_from_slice(&schema.number().to_le_bytes());
    header[12] = kind;
    header[16..24].copy_from_slice(&world::SERVICE);
    header[24..28].copy_from_slice(&world::SHORT.to_le_bytes());
    header[RESERVED..96].fill(0);
    header[100..].fill(0);
    let gone = if kind == 1 { word(header, REMOVED) } else { 0 };
    let after = word(header, KEPT).checked_sub(gone)? + word(header, ADDED);
    put(header, AFTER, after)?;
    let tails = word(header, ADDED) * (schema.key_len() as u64 - 8);
    let others: u64 = LENGTHS.iter().map(|&at| word(header, at)).sum::<u64>() - word(header, LENGTHS[choice]);
    let fixed = HEADER_LEN as u64 + 8 * word(header, ROWS) + 32 * word(header, LEAVES) + tails;
    let left = (input.len() as u64).checked_sub(fixed + others)?;
    put(header, LENGTHS[choice], left)?;
    Some(object)
}

fn word(header: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(*header[at..].first_chunk().expect("fields lie inside the header")))
}

fn put(header: &mut [u8], at: usize, value: u64) -> Option<()> {
    header[at..at + 4].copy_from_slice(&u32::try_from(value).ok()?.to_le_bytes());
    Some(())
}
