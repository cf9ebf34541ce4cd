//! Reading the sections of a delta: removed indices, and added entries one after the other
//! (protocol-spec 3.8.5–3.8.9).
//!
//! Nothing is allocated per entry, and every reader stops with an error where its section ends:
//! how long they run is bounded by the length of the object.

use super::header::{DeltaError, Header, KEY_HEAD_LEN, Kind, Sections};
use super::tuples::TupleReader;
use crate::release::bits::BitReader;
use crate::release::schema::{LIVE, MAX_ENTRY_LEN};

/// Serials as they stand in the serial section (3.8.8).
#[derive(Debug)]
pub(super) struct SerialReader<'a> {
    bits: BitReader<'a>,
    width: u32,
    base: u32,
    /// Serials of the releases after `from` up to `to`.
    least: u64,
    greatest: u64,
}

impl<'a> SerialReader<'a> {
    fn new(header: &Header, section: &'a [u8]) -> Self {
        Self {
            bits: BitReader::new(section),
            width: header.serial_bits.into(),
            base: header.serial_base,
            least: if header.from == 0 { 0 } else { u64::from(header.from as u32) + 1 },
            greatest: u64::from(header.to as u32),
        }
    }

    /// The next serial, which must not be below `least`.
    fn take(&mut self, least: u64) -> Result<u32, DeltaError> {
        let found = u64::from(self.base) + self.bits.take(self.width)?;
        if found < least || found > self.greatest {
            return Err(DeltaError::Serial { found, least, greatest: self.greatest });
        }
        Ok(found as u32)
    }

    fn take_pair(&mut self) -> Result<(u32, u32), DeltaError> {
        let add = self.take(self.least)?;
        let live = self.bits.take(1)? == 1;
        let del = if live { LIVE } else { self.take(u64::from(add) + 1)? };
        Ok((add, del))
    }
}

/// The removed entries: their indices in the kept entries and, in kind 2, their `del_serial`.
#[derive(Debug)]
pub(super) struct Removals<'a> {
    indices: BitReader<'a>,
    k: u32,
    left: u32,
    kept: u32,
    /// Index of the next removed entry; beyond all when there are no more.
    next: u64,
    serials: Option<SerialReader<'a>>,
}

/// An index that no entry has.
const NO_INDEX: u64 = u64::MAX;

impl<'a> Removals<'a> {
    pub(super) fn new(header: &Header, sections: &Sections<'a>) -> Result<Self, DeltaError> {
        let mut removals = Self {
            indices: BitReader::new(sections.removals),
            k: header.removal_k.into(),
            left: header.removed,
            kept: header.kept,
            next: NO_INDEX,
            serials: (header.kind == Kind::History).then(|| SerialReader::new(header, sections.serials)),
        };
        removals.advance(0)?;
        Ok(removals)
    }

    /// Whether the kept entry of an index is removed. Indices are asked for one after the other.
    #[inline]
    pub(super) const fn removes(&self, index: u64) -> bool {
        self.next == index
    }

    /// Leaves the present removal behind; its `del_serial` in kind 2.
    pub(super) fn pass(&mut self) -> Result<Option<u32>, DeltaError> {
        let del = self.serials.as_mut().map(|serials| serials.take(serials.least)).transpose()?;
        self.advance(self.next + 1)?;
        Ok(del)
    }

    fn advance(&mut self, least: u64) -> Result<(), DeltaError> {
        self.next = NO_INDEX;
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let found = self.indices.take_rice(self.k)?.saturating_add(least);
            if found >= u64::from(self.kept) {
                return Err(DeltaError::Removal { found, kept: self.kept });
            }
            self.next = found;
        }
        Ok(())
    }

    /// Ends reading: all removals are passed and nothing is left.
    pub(super) fn finish(self) -> Result<(), DeltaError> {
        Ok(self.indices.finish()?)
    }
}

/// The added entries, one at a time, in the form of the result: public entries in kind 1, history
/// entries in kind 2.
#[derive(Debug)]
pub(super) struct Additions<'a> {
    gaps: BitReader<'a>,
    k: u32,
    tails: &'a [u8],
    tuples: TupleReader<'a>,
    serials: Option<SerialReader<'a>>,
    key_len: usize,
    public_len: usize,
    entry_len: usize,
    added: u32,
    /// Entries taken, the present one included.
    taken: u32,
    present: bool,
    head: u64,
    add: u32,
    entry: [u8; MAX_ENTRY_LEN],
}

impl<'a> Additions<'a> {
    pub(super) fn new(header: &Header, sections: &Sections<'a>) -> Result<Self, DeltaError> {
        let schema = header.schema;
        let serials = match header.kind {
            Kind::Live => None,
            Kind::History => {
                let mut serials = SerialReader::new(header, sections.serials);
                serials.bits.skip(u64::from(header.removed) * u64::from(header.serial_bits))?;
                Some(serials)
            }
        };
        let mut additions = Self {
            gaps: BitReader::new(sections.gaps),
            k: header.key_k.into(),
            tails: sections.tails,
            tuples: TupleReader::new(
                schema,
                header.tuple_mode,
                header.start_base,
                sections.table,
                sections.tuples,
            )?,
            entry_len: if serials.is_some() { schema.entry_len() } else { schema.public_len() },
            serials,
            key_len: schema.key_len(),
            public_len: schema.public_len(),
            added: header.added,
            taken: 0,
            present: false,
            head: 0,
            add: 0,
            entry: [0; MAX_ENTRY_LEN],
        };
        additions.advance()?;
        Ok(additions)
    }

    /// The present entry with the first eight bytes of its key as a number, if there is one left.
    #[inline]
    pub(super) fn peek(&self) -> Option<(u64, &[u8])> {
        self.present.then(|| (self.head, &self.entry[..self.entry_len]))
    }

    /// Number of the present entry, from 0.
    pub(super) const fn number(&self) -> u32 {
        self.taken - 1
    }

    /// Goes on to the next entry.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<(), DeltaError> {
        let first = !self.present;
        if self.taken == self.added {
            self.present = false;
            return Ok(());
        }
        let number = self.taken;
        let order = DeltaError::Order(number);
        let gap = self.gaps.take_rice(self.k)?;
        let head = self.head.checked_add(gap).ok_or(order)?;
        let tail_len = self.key_len - KEY_HEAD_LEN;
        // Header::read has measured the tails against the number of added entries.
        let (tail, tails) = self.tails.split_at(tail_len);
        self.tails = tails;
        let fields = self.tuples.take()?;
        let (add, del) = match &mut self.serials {
            Some(serials) => serials.take_pair()?,
            None => (0, LIVE),
        };
        if !first && gap == 0 {
            let ascends = (&self.entry[KEY_HEAD_LEN..self.key_len], self.add) < (tail, add);
            let same_key = self.entry[KEY_HEAD_LEN..self.key_len] == *tail;
            if !ascends || same_key && self.serials.is_none() {
                return Err(order);
            }
        }
        (self.head, self.add) = (head, add);
        self.entry[..KEY_HEAD_LEN].copy_from_slice(&head.to_be_bytes());
        self.entry[KEY_HEAD_LEN..self.key_len].copy_from_slice(tail);
        self.entry[self.key_len..self.public_len].copy_from_slice(&fields[..self.public_len - self.key_len]);
        if self.serials.is_some() {
            self.entry[self.public_len..self.public_len + 4].copy_from_slice(&add.to_le_bytes());
            self.entry[self.public_len + 4..self.entry_len].copy_from_slice(&del.to_le_bytes());
        }
        self.taken += 1;
        self.present = true;
        Ok(())
    }

    /// Ends reading: all entries are taken and nothing is left in any section.
    pub(super) fn finish(self) -> Result<(), DeltaError> {
        self.gaps.finish()?;
        self.tuples.finish()?;
        match self.serials {
            Some(serials) => Ok(serials.bits.finish()?),
            None => Ok(()),
        }
    }
}
