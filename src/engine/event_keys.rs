//! The keys of a report as bytes (file format 5.7.2): of each what differs from the one before it.
//!
//! Keys of one report are alike: days in a row, whole, said by the same report, under the same embargo. So
//! most of a key's fields cost nothing, and a report fits where only its keys would.

use super::codec::{DecodeError, Decoder, Encoder};
use super::event::{MAX_KEYS_PER_REPORT, ReportedKey};
use crate::release::{Fields, ONSET_NONE};
use crate::time::end_of_validity;
use crate::wire::Key;

// What differs, by bit.
const START: u8 = 1;
const PERIOD: u8 = 1 << 1;
const REPORT: u8 = 1 << 2;
const RISK: u8 = 1 << 3;
const ONSET: u8 = 1 << 4;
const EMBARGO: u8 = 1 << 5;
/// The key has 32 bytes, not 16.
const LONG: u8 = 1 << 6;
const KNOWN: u8 = START | PERIOD | REPORT | RISK | ONSET | EMBARGO | LONG;

/// What a key is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Before {
    fields: Fields,
    /// Seconds from the end of validity to that of the embargo.
    lag: u64,
}

/// Before the first key: part of the format, whatever the defaults become.
const FIRST: Before =
    Before { fields: Fields { start: 0, period: 144, report: 0, risk: 0, onset: ONSET_NONE }, lag: 7200 };

const _: () = assert!(MAX_KEYS_PER_REPORT <= u8::MAX as usize);
const _: () = assert!(ONSET_NONE == -128);

impl Before {
    fn of(key: &ReportedKey) -> Before {
        let end = end_of_validity(key.fields.start, key.fields.period);
        Before { fields: key.fields, lag: key.embargo_end.wrapping_sub(end) }
    }

    /// The bits of what differs from `self`.
    fn changes(&self, next: &Before) -> u8 {
        let (a, b) = (&self.fields, &next.fields);
        let bit = |differs: bool, bit: u8| if differs { bit } else { 0 };
        bit(a.start != b.start, START)
            | bit(a.period != b.period, PERIOD)
            | bit(a.report != b.report, REPORT)
            | bit(a.risk != b.risk, RISK)
            | bit(a.onset != b.onset, ONSET)
            | bit(self.lag != next.lag, EMBARGO)
    }
}

/// Appends keys.
pub(super) fn encode_keys(e: &mut Encoder, keys: &[ReportedKey]) {
    e.u8(u8::try_from(keys.len()).expect("a report has at most 30 keys"));
    let mut before = FIRST;
    for key in keys {
        let next = Before::of(key);
        let changes = before.changes(&next);
        let bytes = key.key.as_bytes();
        e.u8(if bytes.len() == 32 { changes | LONG } else { changes }).raw(bytes);
        let f = &next.fields;
        if changes & START != 0 {
            e.signed(i64::from(f.start) - i64::from(before.fields.start));
        }
        if changes & PERIOD != 0 {
            e.varint(f.period.into());
        }
        if changes & REPORT != 0 {
            e.u8(f.report);
        }
        if changes & RISK != 0 {
            e.u8(f.risk);
        }
        if changes & ONSET != 0 {
            e.raw(&f.onset.to_le_bytes());
        }
        if changes & EMBARGO != 0 {
            e.signed(next.lag as i64);
        }
        before = next;
    }
}

/// Reads keys, at least `least`.
pub(super) fn decode_keys(d: &mut Decoder<'_>, least: usize) -> Result<Vec<ReportedKey>, DecodeError> {
    let n = usize::from(d.u8()?);
    if n < least || n > MAX_KEYS_PER_REPORT {
        return Err(d.value(n as u64));
    }
    let mut before = FIRST;
    let mut keys = Vec::with_capacity(n);
    for _ in 0..n {
        let key = decode_key(d, &before)?;
        before = Before::of(&key);
        keys.push(key);
    }
    Ok(keys)
}

fn decode_key(d: &mut Decoder<'_>, before: &Before) -> Result<ReportedKey, DecodeError> {
    let bits = d.u8()?;
    if bits & !KNOWN != 0 {
        return Err(d.value(bits.into()));
    }
    let bytes = d.raw(if bits & LONG != 0 { 32 } else { 16 })?;
    let key = Key::from_slice(bytes).ok_or(d.value(bits.into()))?;
    let Before { mut fields, mut lag } = *before;
    if bits & START != 0 {
        let start = i64::from(fields.start).checked_add(d.signed()?);
        fields.start = start.and_then(|start| u32::try_from(start).ok()).ok_or(d.value(bits.into()))?;
    }
    if bits & PERIOD != 0 {
        let period = d.varint()?;
        fields.period = u16::try_from(period).map_err(|_| d.value(period))?;
    }
    if bits & REPORT != 0 {
        fields.report = d.u8()?;
    }
    if bits & RISK != 0 {
        fields.risk = d.u8()?;
    }
    if bits & ONSET != 0 {
        fields.onset = i8::from_le_bytes(d.array()?);
    }
    if bits & EMBARGO != 0 {
        lag = d.signed()? as u64;
    }
    // One event has one form: what is written differs.
    if before.changes(&Before { fields, lag }) != bits & !LONG {
        return Err(d.value(bits.into()));
    }
    Ok(ReportedKey {
        key,
        fields,
        embargo_end: end_of_validity(fields.start, fields.period).wrapping_add(lag),
    })
}
