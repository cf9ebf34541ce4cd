//! The public fields of added entries as tuples: packed into one number, listed in a table and
//! coded, or plain (protocol-spec 3.8.7).
//!
//! A set has few distinct tuples, some of them in most entries: an entropy code brings the 6 bytes
//! of an entry to well under one. Where there are thousands, most of them rare, frequencies in finer
//! steps keep it so; where even that does not, the plain form bounds what fields can cost.

use super::header::{DeltaError, PLAIN_LEN, ROW_LEN, TupleMode};
use crate::release::rans::{self, MAX_SYMBOLS, Model, RansReader, Scale};
use crate::release::schema::{Fields, MAX_FIELDS_LEN, Schema};

/// Farthest a start may lie above the least one.
const MAX_SPAN: u32 = u16::MAX as u32;

/// Most distinct tuples whose frequencies are in the coarser steps.
const MAX_NARROW: usize = 1024;

/// Greatest period that leaves room for the high bits of a frequency in a wide table.
const MAX_WIDE_PERIOD: u16 = (1 << WIDE_PERIOD_BITS) - 1;
const WIDE_PERIOD_BITS: u32 = 14;

const _: () = assert!(Scale::Narrow.bits() <= u16::BITS);
const _: () = assert!(Scale::Wide.bits() - u16::BITS + WIDE_PERIOD_BITS == u16::BITS);

/// Entries whose tuples are sorted at once while distinct ones are counted.
const BATCH: usize = 1 << 16;

/// Places of the cache between a tuple and its row; a power of two.
const CACHE_LEN: usize = 1 << CACHE_BITS;
const CACHE_BITS: u32 = 10;

/// A number no tuple packs into: its report type would be 15.
const NO_TUPLE: u64 = u64::MAX;

/// Fields packed into one number that has their order.
#[inline]
pub(super) fn pack(fields: &Fields) -> u64 {
    u64::from(fields.start) << 32
        | u64::from(fields.period) << 16
        | u64::from(fields.report) << 12
        | u64::from(fields.risk) << 8
        | u64::from(fields.onset.cast_unsigned() ^ 0x80)
}

const fn start_of(tuple: u64) -> u32 {
    (tuple >> 32) as u32
}

const fn period_of(tuple: u64) -> u16 {
    (tuple >> 16) as u16
}

/// The four bytes `period`, `report | risk << 4`, `onset` of a packed tuple.
const fn low_fields(tuple: u64) -> [u8; 4] {
    let [period_low, period_high] = period_of(tuple).to_le_bytes();
    let (report, risk) = (tuple >> 12 & 15, tuple >> 8 & 15);
    [period_low, period_high, (report | risk << 4) as u8, tuple as u8 ^ 0x80]
}

/// The tuple table and the tuple section of a delta.
#[derive(Debug)]
pub(super) struct TupleSections {
    pub(super) mode: TupleMode,
    pub(super) start_base: u32,
    pub(super) rows: u32,
    pub(super) table: Vec<u8>,
    pub(super) section: Vec<u8>,
}

/// Writes the packed tuples of added entries, in their order.
///
/// # Errors
/// [`DeltaError::Start`] if starts lie more than 65,535 from each other.
pub(super) fn encode(tuples: &[u64]) -> Result<TupleSections, DeltaError> {
    let (mut least, mut greatest) = (u32::MAX, 0);
    for &tuple in tuples {
        least = least.min(start_of(tuple));
        greatest = greatest.max(start_of(tuple));
    }
    if tuples.is_empty() {
        least = 0;
    }
    if greatest - least > MAX_SPAN {
        return Err(DeltaError::Start { base: least, found: greatest - least });
    }
    let coded = if tuples.is_empty() {
        Some(TupleSections {
            mode: TupleMode::Coded,
            start_base: 0,
            rows: 0,
            table: Vec::new(),
            section: Vec::new(),
        })
    } else {
        encode_coded(tuples, least)
    };
    Ok(coded.unwrap_or_else(|| encode_plain(tuples, least)))
}

fn encode_plain(tuples: &[u64], base: u32) -> TupleSections {
    let mut section = Vec::with_capacity(tuples.len() * PLAIN_LEN);
    for &tuple in tuples {
        section.extend_from_slice(&offset(tuple, base));
        section.extend_from_slice(&low_fields(tuple));
    }
    TupleSections { mode: TupleMode::Plain, start_base: base, rows: 0, table: Vec::new(), section }
}

/// The coded form, unless there are too many tuples or the plain form is shorter.
fn encode_coded(tuples: &[u64], base: u32) -> Option<TupleSections> {
    let distinct = count_distinct(tuples)?;
    let counts: Vec<u32> = distinct.iter().map(|&(_, count)| count).collect();
    let mode = coded_mode(&distinct);
    let frequencies = rans::frequencies(&counts, scale(mode));
    let symbols = symbols(tuples, &distinct);
    let section = rans::encode(&symbols, &frequencies, scale(mode));
    if distinct.len() * ROW_LEN + section.len() > tuples.len() * PLAIN_LEN {
        return None;
    }
    let mut table = Vec::with_capacity(distinct.len() * ROW_LEN);
    for (&(tuple, _), frequency) in distinct.iter().zip(&frequencies) {
        let [low, high, wide, _] = (frequency - 1).to_le_bytes();
        let [period_low, period_high, fields, onset] = low_fields(tuple);
        table.extend_from_slice(&offset(tuple, base));
        // In a narrow table `wide` is 0, in a wide one the period has no such bits.
        let period_high = period_high | wide << (WIDE_PERIOD_BITS - 8);
        table.extend_from_slice(&[low, high, period_low, period_high, fields, onset]);
    }
    Some(TupleSections { mode, start_base: base, rows: distinct.len() as u32, table, section })
}

/// How a table of these tuples is coded.
fn coded_mode(distinct: &[(u64, u32)]) -> TupleMode {
    let fits = |&(tuple, _): &(u64, u32)| period_of(tuple) <= MAX_WIDE_PERIOD;
    if distinct.len() > MAX_NARROW && distinct.iter().all(fits) { TupleMode::Wide } else { TupleMode::Coded }
}

const fn scale(mode: TupleMode) -> Scale {
    match mode {
        TupleMode::Wide => Scale::Wide,
        TupleMode::Coded | TupleMode::Plain => Scale::Narrow,
    }
}

const fn offset(tuple: u64, base: u32) -> [u8; 2] {
    ((start_of(tuple) - base) as u16).to_le_bytes()
}

/// Distinct tuples in ascending order with their counts; `None` if there are more than a table
/// may have.
fn count_distinct(tuples: &[u64]) -> Option<Vec<(u64, u32)>> {
    let mut distinct: Vec<(u64, u32)> = Vec::new();
    let mut batch: Vec<u64> = Vec::with_capacity(BATCH.min(tuples.len()));
    for some in tuples.chunks(BATCH) {
        batch.clear();
        batch.extend_from_slice(some);
        batch.sort_unstable();
        let counted = batch.chunk_by(|a, b| a == b).map(|equal| (equal[0], equal.len() as u32));
        distinct.extend(counted);
        distinct.sort_unstable();
        distinct.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            kept.1 += if equal { next.1 } else { 0 };
            equal
        });
        if distinct.len() > MAX_SYMBOLS {
            return None;
        }
    }
    Some(distinct)
}

/// The row of each tuple. Most are found in a small cache, the others by bisection.
fn symbols(tuples: &[u64], distinct: &[(u64, u32)]) -> Vec<u16> {
    let mut cache = vec![(NO_TUPLE, 0_u16); CACHE_LEN];
    let row = |&tuple: &u64| {
        let place = (tuple.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - CACHE_BITS)) as usize;
        if cache[place].0 != tuple {
            let row = distinct.partition_point(|&(other, _)| other < tuple);
            cache[place] = (tuple, row as u16);
        }
        cache[place].1
    };
    tuples.iter().map(row).collect()
}

/// Takes the fields of added entries, as the bytes that stand in an entry.
#[derive(Debug)]
pub(super) enum TupleReader<'a> {
    /// Of modes 0 and 2: the fields of each row, and the code.
    Coded(Vec<[u8; MAX_FIELDS_LEN]>, RansReader<'a>),
    /// Of mode 1.
    Plain(PlainReader<'a>),
    /// Without added entries.
    Empty,
}

/// The rest of a plain section.
#[derive(Debug)]
pub(super) struct PlainReader<'a> {
    schema: Schema,
    base: u32,
    rest: &'a [u8],
}

impl<'a> TupleReader<'a> {
    /// A reader of a tuple section; table and section have the lengths that the header tells.
    pub(super) fn new(
        schema: Schema,
        mode: TupleMode,
        base: u32,
        table: &[u8],
        section: &'a [u8],
    ) -> Result<Self, DeltaError> {
        match mode {
            TupleMode::Plain => Ok(Self::Plain(PlainReader { schema, base, rest: section })),
            TupleMode::Coded if table.is_empty() => Ok(Self::Empty),
            TupleMode::Coded | TupleMode::Wide => {
                let (rows, model) = read_table(schema, scale(mode), base, table)?;
                Ok(Self::Coded(rows, RansReader::new(model, section)?))
            }
        }
    }

    /// The fields of the next entry, zero-padded to the longest of any schema.
    #[inline]
    pub(super) fn take(&mut self) -> Result<[u8; MAX_FIELDS_LEN], DeltaError> {
        match self {
            Self::Coded(rows, code) => Ok(rows[usize::from(code.take()?)]),
            Self::Plain(plain) => plain.take(),
            Self::Empty => Err(rans::RansError::Short.into()),
        }
    }

    /// Ends reading: nothing may be left.
    pub(super) fn finish(self) -> Result<(), DeltaError> {
        match self {
            Self::Coded(_, code) => Ok(code.finish()?),
            Self::Plain(_) | Self::Empty => Ok(()),
        }
    }
}

impl PlainReader<'_> {
    fn take(&mut self) -> Result<[u8; MAX_FIELDS_LEN], DeltaError> {
        let (plain, rest) = self.rest.split_first_chunk::<PLAIN_LEN>().ok_or(rans::RansError::Short)?;
        self.rest = rest;
        let [a, b, low @ ..] = *plain;
        let fields = unpack(self.schema, self.base, [a, b], low)?;
        Ok(self.schema.field_bytes(&fields))
    }
}

fn read_table(
    schema: Schema,
    scale: Scale,
    base: u32,
    table: &[u8],
) -> Result<(Vec<[u8; MAX_FIELDS_LEN]>, Model), DeltaError> {
    let count = table.len() / ROW_LEN;
    let (mut rows, mut frequencies) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut before = None;
    for (i, row) in table.chunks_exact(ROW_LEN).enumerate() {
        let period = u16::from_le_bytes([row[4], row[5]]);
        let (period, high) = match scale {
            Scale::Narrow => (period, 0),
            Scale::Wide => (period & MAX_WIDE_PERIOD, period >> WIDE_PERIOD_BITS),
        };
        let [period_low, period_high] = period.to_le_bytes();
        let fields = unpack(schema, base, [row[0], row[1]], [period_low, period_high, row[6], row[7]])?;
        if before.is_some_and(|before| before >= fields) {
            return Err(DeltaError::Table(i));
        }
        before = Some(fields);
        rows.push(schema.field_bytes(&fields));
        let low = u16::from_le_bytes([row[2], row[3]]);
        frequencies.push((u32::from(high) << u16::BITS | u32::from(low)) + 1);
    }
    Ok((rows, Model::new(&frequencies, scale)?))
}

/// The fields of a tuple as it stands in table or section, checked against the schema.
fn unpack(schema: Schema, base: u32, offset: [u8; 2], low: [u8; 4]) -> Result<Fields, DeltaError> {
    let offset = u32::from(u16::from_le_bytes(offset));
    let fields = Fields {
        start: base.checked_add(offset).ok_or(DeltaError::Start { base, found: offset })?,
        period: u16::from_le_bytes([low[0], low[1]]),
        report: low[2] & 15,
        risk: low[2] >> 4,
        onset: low[3].cast_signed(),
    };
    schema.check(&fields)?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::schema::ONSET_NONE;

    fn fields(i: u32) -> Fields {
        let onset = if i.is_multiple_of(5) { ONSET_NONE } else { (i % 29) as i8 - 14 };
        Fields { start: 2_000_000 + i % 7, period: 144, report: (i % 5) as u8, risk: (i % 9) as u8, onset }
    }

    fn round_trip(all: &[Fields]) -> (TupleMode, usize) {
        let schema = Schema::GaenFull;
        let written = encode(&all.iter().map(pack).collect::<Vec<_>>()).unwrap();
        let mut reader =
            TupleReader::new(schema, written.mode, written.start_base, &written.table, &written.section)
                .unwrap();
        for fields in all {
            assert_eq!(schema.read_fields(&reader.take().unwrap()), Ok(*fields));
        }
        reader.finish().unwrap();
        (written.mode, written.table.len() + written.section.len())
    }

    #[test]
    fn packed_tuples_have_the_order_of_their_fields() {
        let mut all: Vec<Fields> = (0..2000).map(fields).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|two| (two[0] < two[1]) == (pack(&two[0]) < pack(&two[1]))));
        assert!(pack(&fields(3)) != NO_TUPLE);
    }

    #[test]
    fn fields_come_back_coded_and_plain() {
        assert_eq!(round_trip(&[]), (TupleMode::Coded, 0));
        assert_eq!(round_trip(&[fields(1)]), (TupleMode::Plain, 6));
        assert_eq!(round_trip(&[fields(1); 3]), (TupleMode::Coded, 16));
        assert_eq!(round_trip(&(0..200_000).map(|i| fields(i % 3)).collect::<Vec<_>>()).0, TupleMode::Coded);
        let spread: Vec<Fields> =
            (0..70_000).map(|i| Fields { period: i as u16, report: (i >> 16) as u8, ..fields(0) }).collect();
        assert_eq!(round_trip(&spread), (TupleMode::Plain, 420_000));
    }

    #[test]
    fn many_tuples_are_coded_in_finer_steps_unless_a_period_is_in_the_way() {
        let many = |distinct: u32, period: u16| -> Vec<Fields> {
            let one = |i: u32| {
                let n = if i < 3 * distinct { i % distinct } else { 0 };
                Fields { start: 2_000_000 + n / 100, period: period + (n % 100) as u16, ..fields(0) }
            };
            (0..1_000_000).map(one).collect()
        };
        assert_eq!(round_trip(&many(1024, 1)).0, TupleMode::Coded);
        let (mode, wide) = round_trip(&many(1025, 1));
        assert_eq!((mode, round_trip(&many(1025, 16_284)).0), (TupleMode::Wide, TupleMode::Wide));
        let (mode, narrow) = round_trip(&many(1025, 16_285));
        assert_eq!(mode, TupleMode::Coded);
        assert!(wide < narrow);
    }

    #[test]
    fn starts_too_far_apart_are_not_coded() {
        let near = [fields(0), Fields { start: 2_065_535, ..fields(0) }].map(|fields| pack(&fields));
        assert!(encode(&near).is_ok());
        let far = [fields(0), Fields { start: 2_065_536, ..fields(0) }].map(|fields| pack(&fields));
        assert_eq!(encode(&far).err(), Some(DeltaError::Start { base: 2_000_000, found: 65_536 }));
    }

    #[test]
    fn tables_out_of_order_or_range_are_refused() {
        let row = |period: u8, low: u8| [0, 0, 0xFF, 0x7F, period, 0, low, 0];
        let read = |rows: [[u8; 8]; 2], base| {
            read_table(Schema::GaenMinimal, Scale::Narrow, base, rows.as_flattened()).err()
        };
        assert_eq!(read([row(1, 0), row(2, 0)], 0), None);
        assert_eq!(read([row(2, 0), row(1, 0)], 0), Some(DeltaError::Table(1)));
        assert_eq!(read([row(1, 0), row(1, 0)], 0), Some(DeltaError::Table(1)));
        assert!(matches!(read([row(1, 0), row(2, 5)], 0), Some(DeltaError::Fields(_))));
        let mut late = row(3, 0);
        late[0] = 1;
        assert_eq!(read([row(1, 0), late], u32::MAX), Some(DeltaError::Start { base: u32::MAX, found: 1 }));
    }
}
