//! Schemas: which public fields a key of a set carries, and how an entry lies in bytes
//! (protocol-spec 3.1).
//!
//! A schema decides how much of what a report said becomes public. Coarsening happens once,
//! where a key is received; what is stored, published and compared afterwards are coarsened
//! fields. A field that a schema lacks is 0 here, as it is in the tuples of a delta (3.8.7).

use core::fmt;

/// `del_serial` of an entry that has not been withdrawn (3.1.4).
pub const LIVE: u32 = u32::MAX;

/// `onset` of a key whose report told no onset of symptoms (3.1.2).
pub const ONSET_NONE: i8 = i8::MIN;

/// Length of the longest history entry of any schema, in bytes.
pub const MAX_ENTRY_LEN: usize = 48;

/// Length of the longest key of any schema, in bytes.
pub const MAX_KEY_LEN: usize = 32;

/// Length of the longest public fields of any schema, in bytes.
pub const MAX_FIELDS_LEN: usize = 12;

/// Length of the two serials at the end of a history entry, in bytes.
const SERIALS_LEN: usize = 8;

/// Greatest report type, risk and risk class, and the farthest onset either way (3.1.2).
const REPORT_MAX: u8 = 4;
const RISK_MAX: u8 = 8;
const RISK_CLASS_MAX: u8 = 3;
const ONSET_MAX: i8 = 14;

const _: () = assert!(MAX_ENTRY_LEN == Schema::Dp3t.entry_len());
const _: () = assert!(Schema::GaenMinimal.entry_len() == 32 && Schema::GaenFull.entry_len() == 36);
const _: () =
    assert!(Schema::GaenFull.fields_len() == MAX_FIELDS_LEN && Schema::Dp3t.key_len() == MAX_KEY_LEN);
// A tuple of a delta gives report and risk four bits each (3.8.7).
const _: () = assert!(REPORT_MAX < 16 && RISK_MAX < 16 && RISK_CLASS_MAX <= RISK_MAX);

/// The metadata schema of a set: length of its keys and public fields of an entry (3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Schema {
    /// 16-byte keys; start, period, report and a risk class of two bits.
    GaenMinimal = 1,
    /// 16-byte keys; all that a GAEN key says, which can re-link the keys of one report.
    GaenFull = 2,
    /// 32-byte keys; start, period and report.
    Dp3t = 3,
}

/// The public fields of an entry. The order of the struct is the order of tuples (3.8.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fields {
    /// Rolling start, an interval number (600 s).
    pub start: u32,
    /// Rolling period, in intervals.
    pub period: u16,
    /// Report type, 0–4.
    pub report: u8,
    /// Transmission risk level 0–8, or its class 0–3 in `gaen-minimal`.
    pub risk: u8,
    /// Days since onset of symptoms, −14 to 14, or [`ONSET_NONE`].
    pub onset: i8,
}

/// Why bytes or values are not public fields of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// The slice has another length than the schema's fields.
    #[error("fields of {found} bytes where the schema has {expected}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes of the schema.
        expected: usize,
    },
    /// An unknown report type.
    #[error("report type {0}, greater than {REPORT_MAX}")]
    Report(u8),
    /// A risk or risk class beyond the schema's greatest.
    #[error("risk {found}, greater than {limit}")]
    Risk {
        /// Value given.
        found: u8,
        /// Greatest of the schema.
        limit: u8,
    },
    /// An onset farther away than the field allows.
    #[error("onset {0}, neither within {ONSET_MAX} days nor {ONSET_NONE}")]
    Onset(i8),
    /// A byte that must be zero is not.
    #[error("padding of the fields is not zero")]
    Padding,
}

impl Schema {
    /// Every schema, in order of their numbers.
    pub const ALL: [Self; 3] = [Self::GaenMinimal, Self::GaenFull, Self::Dp3t];

    /// The number of the schema in manifests, checkpoints and deltas.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The schema of a number, if there is one.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::GaenMinimal),
            2 => Some(Self::GaenFull),
            3 => Some(Self::Dp3t),
            _ => None,
        }
    }

    /// The name of the schema in commands and configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GaenMinimal => "gaen-minimal",
            Self::GaenFull => "gaen-full",
            Self::Dp3t => "dp3t",
        }
    }

    /// The schema of a name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|schema| schema.name() == name)
    }

    /// Length of a key in bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::GaenMinimal | Self::GaenFull => 16,
            Self::Dp3t => 32,
        }
    }

    /// Length of the public fields in bytes, padding included.
    #[must_use]
    pub const fn fields_len(self) -> usize {
        match self {
            Self::GaenMinimal | Self::Dp3t => 8,
            Self::GaenFull => 12,
        }
    }

    /// Length of a public entry in bytes: key and fields.
    #[must_use]
    pub const fn public_len(self) -> usize {
        self.key_len() + self.fields_len()
    }

    /// Length of a history entry in bytes: public entry, `add_serial`, `del_serial` (3.1.4).
    #[must_use]
    pub const fn entry_len(self) -> usize {
        self.public_len() + SERIALS_LEN
    }

    /// What this schema publishes of the fields a report gave (3.1.3): `gaen-minimal` turns the
    /// risk into a class and drops the onset, `dp3t` drops both.
    ///
    /// A class is not a risk: this is not idempotent and is called exactly once, when a key is
    /// received.
    #[must_use]
    pub const fn coarsen(self, fields: Fields) -> Fields {
        match self {
            Self::GaenFull => fields,
            Self::GaenMinimal => Fields { risk: risk_class(fields.risk), onset: 0, ..fields },
            Self::Dp3t => Fields { risk: 0, onset: 0, ..fields },
        }
    }

    /// Whether coarsened fields are in the ranges of the schema (3.1.2); a field the schema lacks
    /// must be 0.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub const fn check(self, fields: &Fields) -> Result<(), FieldsError> {
        let limit = match self {
            Self::GaenMinimal => RISK_CLASS_MAX,
            Self::GaenFull => RISK_MAX,
            Self::Dp3t => 0,
        };
        if fields.report > REPORT_MAX {
            return Err(FieldsError::Report(fields.report));
        }
        if fields.risk > limit {
            return Err(FieldsError::Risk { found: fields.risk, limit });
        }
        let onset_fits = match self {
            Self::GaenFull => {
                fields.onset == ONSET_NONE || (fields.onset >= -ONSET_MAX && fields.onset <= ONSET_MAX)
            }
            Self::GaenMinimal | Self::Dp3t => fields.onset == 0,
        };
        if onset_fits { Ok(()) } else { Err(FieldsError::Onset(fields.onset)) }
    }

    /// Writes coarsened fields into a slice of [`fields_len`](Self::fields_len) bytes; what the
    /// schema lacks is left out, padding becomes zero.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write_fields(self, fields: &Fields, out: &mut [u8]) {
        assert_eq!(out.len(), self.fields_len(), "fields of {} have a fixed length", self.name());
        let bytes = self.field_bytes(fields);
        out.copy_from_slice(&bytes[..self.fields_len()]);
    }

    /// The fields of a schema as bytes, zero-padded to the longest.
    pub(super) fn field_bytes(self, fields: &Fields) -> [u8; MAX_FIELDS_LEN] {
        let mut bytes = [0; MAX_FIELDS_LEN];
        bytes[..4].copy_from_slice(&fields.start.to_le_bytes());
        bytes[4..6].copy_from_slice(&fields.period.to_le_bytes());
        bytes[6] = fields.report;
        if self != Self::Dp3t {
            bytes[7] = fields.risk;
        }
        if self == Self::GaenFull {
            bytes[8] = fields.onset.cast_unsigned();
        }
        bytes
    }

    /// Reads the public fields of an entry.
    ///
    /// # Errors
    /// If the length is not [`fields_len`](Self::fields_len), a value is out of range, or a byte of
    /// padding is not zero.
    #[inline]
    pub fn read_fields(self, bytes: &[u8]) -> Result<Fields, FieldsError> {
        if bytes.len() != self.fields_len() {
            return Err(FieldsError::Length { found: bytes.len(), expected: self.fields_len() });
        }
        let risk = if self == Self::Dp3t { 0 } else { bytes[7] };
        let onset = if self == Self::GaenFull { bytes[8].cast_signed() } else { 0 };
        let padded = match self {
            Self::GaenMinimal => true,
            Self::GaenFull => bytes[9..] == [0, 0, 0],
            Self::Dp3t => bytes[7] == 0,
        };
        if !padded {
            return Err(FieldsError::Padding);
        }
        let start = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let period = u16::from_le_bytes([bytes[4], bytes[5]]);
        let fields = Fields { start, period, report: bytes[6], risk, onset };
        self.check(&fields)?;
        Ok(fields)
    }

    /// Appends the public entry of a key to `out`.
    ///
    /// # Panics
    /// If the key has another length than [`key_len`](Self::key_len).
    pub fn public_entry(self, key: &[u8], fields: &Fields, out: &mut Vec<u8>) {
        assert_eq!(key.len(), self.key_len(), "keys of {} have a fixed length", self.name());
        out.extend_from_slice(key);
        out.extend_from_slice(&self.field_bytes(fields)[..self.fields_len()]);
    }

    /// Appends a history entry to `out`.
    ///
    /// # Panics
    /// If the key has another length than [`key_len`](Self::key_len).
    pub fn history_entry(self, key: &[u8], fields: &Fields, add: u32, del: u32, out: &mut Vec<u8>) {
        self.public_entry(key, fields, out);
        out.extend_from_slice(&add.to_le_bytes());
        out.extend_from_slice(&del.to_le_bytes());
    }

    /// The history entries of a byte string, in its order; a rest shorter than one is left out.
    pub fn views(self, history: &[u8]) -> impl ExactSizeIterator<Item = EntryView<'_>> {
        history.chunks_exact(self.entry_len()).map(move |entry| EntryView::split(self, entry))
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn risk_class(risk: u8) -> u8 {
    match risk {
        0 => 0,
        1..=2 => 1,
        3..=5 => 2,
        _ => RISK_CLASS_MAX,
    }
}

/// A look into one history entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView<'a> {
    /// Key and fields as they lie together.
    pub public: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// The public fields, for [`Schema::read_fields`].
    pub fields: &'a [u8],
    /// Serial of the release that published the entry.
    pub add_serial: u32,
    /// Serial of the release that withdrew it, or [`LIVE`].
    pub del_serial: u32,
}

impl<'a> EntryView<'a> {
    /// The view of a slice that is exactly one history entry of the schema.
    #[must_use]
    pub fn new(schema: Schema, entry: &'a [u8]) -> Option<Self> {
        (entry.len() == schema.entry_len()).then(|| Self::split(schema, entry))
    }

    #[inline]
    pub(super) fn split(schema: Schema, entry: &'a [u8]) -> Self {
        let (public, serials) = entry.split_at(schema.public_len());
        let (key, fields) = public.split_at(schema.key_len());
        let add_serial = u32::from_le_bytes([serials[0], serials[1], serials[2], serials[3]]);
        let del_serial = u32::from_le_bytes([serials[4], serials[5], serials[6], serials[7]]);
        Self { public, key, fields, add_serial, del_serial }
    }

    /// Whether the entry is live in the release of a serial, expiry apart (3.2.3).
    #[must_use]
    pub const fn live_at(&self, serial: u32) -> bool {
        self.add_serial <= serial && serial < self.del_serial
    }

    /// Whether the entry is expired under a horizon (3.2.1).
    #[must_use]
    #[inline]
    pub fn expired(&self, horizon: u32) -> bool {
        expired(self.fields, horizon)
    }
}

/// Whether public fields are expired under a horizon: unless `start + period > horizon` (3.2.1).
#[must_use]
#[inline]
pub fn expired(fields: &[u8], horizon: u32) -> bool {
    let start = u32::from_le_bytes([fields[0], fields[1], fields[2], fields[3]]);
    let period = u16::from_le_bytes([fields[4], fields[5]]);
    u64::from(start) + u64::from(period) <= u64::from(horizon)
}

/// The first eight bytes of a key as a big-endian number: its order decides unless equal.
#[must_use]
#[inline]
pub(super) fn key_head(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[..8].try_into().expect("keys of every schema are longer than eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: Fields = Fields { start: 2_660_000, period: 144, report: 1, risk: 6, onset: -2 };

    #[test]
    fn numbers_and_names_lead_back_to_their_schema() {
        for schema in Schema::ALL {
            assert_eq!(Schema::from_number(schema.number()), Some(schema));
            assert_eq!(Schema::from_name(schema.name()), Some(schema));
        }
        assert_eq!((Schema::from_number(0), Schema::from_number(4)), (None, None));
        assert_eq!(Schema::from_name("gaen"), None);
    }

    #[test]
    fn fields_come_back_as_they_were_written() {
        for schema in Schema::ALL {
            let fields = schema.coarsen(RAW);
            let mut bytes = vec![0xAA; schema.fields_len()];
            schema.write_fields(&fields, &mut bytes);
            assert_eq!(schema.read_fields(&bytes), Ok(fields), "{schema}");
            assert!(schema.read_fields(&bytes[1..]).is_err());
        }
    }

    #[test]
    fn a_minimal_schema_publishes_a_class_and_no_onset() {
        let classes: Vec<u8> =
            (0..=8).map(|risk| Schema::GaenMinimal.coarsen(Fields { risk, ..RAW }).risk).collect();
        assert_eq!(classes, [0, 1, 1, 2, 2, 2, 3, 3, 3]);
        assert_eq!(Schema::GaenMinimal.coarsen(RAW).onset, 0);
        assert_eq!(Schema::GaenFull.coarsen(RAW), RAW);
        assert_eq!(Schema::Dp3t.coarsen(RAW), Fields { risk: 0, onset: 0, ..RAW });
    }

    #[test]
    fn values_out_of_range_and_padding_are_refused() {
        let full = Schema::GaenFull;
        let good = full.field_bytes(&Fields { onset: ONSET_NONE, ..RAW });
        assert!(full.read_fields(&good).is_ok());
        for (at, value, error) in [
            (6, 5, FieldsError::Report(5)),
            (7, 9, FieldsError::Risk { found: 9, limit: 8 }),
            (8, 15, FieldsError::Onset(15)),
            (8, 0x81, FieldsError::Onset(-127)),
            (11, 1, FieldsError::Padding),
        ] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(full.read_fields(&bad), Err(error));
        }
        let class = FieldsError::Risk { found: 4, limit: 3 };
        assert_eq!(Schema::GaenMinimal.read_fields(&[0, 0, 0, 0, 0, 0, 0, 4]), Err(class));
        assert_eq!(Schema::Dp3t.read_fields(&[0, 0, 0, 0, 0, 0, 0, 4]), Err(FieldsError::Padding));
    }

    #[test]
    fn the_end_of_validity_is_summed_without_wrapping() {
        let last = Fields { start: u32::MAX, period: 1, ..RAW };
        assert!(!expired(&Schema::GaenFull.field_bytes(&last), u32::MAX));
        let edge = Schema::GaenFull.field_bytes(&Fields { start: 100, period: 44, ..RAW });
        assert!(expired(&edge, 144) && !expired(&edge, 143));
    }

    #[test]
    fn a_view_sees_the_parts_of_an_entry() {
        let mut entry = Vec::new();
        Schema::Dp3t.history_entry(&[7; 32], &Schema::Dp3t.coarsen(RAW), 3, 9, &mut entry);
        let view = EntryView::new(Schema::Dp3t, &entry).unwrap();
        assert_eq!((view.key, view.add_serial, view.del_serial), (&[7_u8; 32][..], 3, 9));
        assert_eq!([2, 3, 8, 9].map(|serial| view.live_at(serial)), [false, true, true, false]);
        assert_eq!(EntryView::new(Schema::GaenFull, &entry), None);
    }
}
