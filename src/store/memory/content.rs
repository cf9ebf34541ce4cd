//! The bytes of one file in memory: as they are now, and as they are durable.

use std::collections::BTreeMap;
use std::io;

/// Bytes that a power cut keeps, drops or tears together.
pub const SECTOR: usize = 512;

/// A thing that is not durable yet and would be missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loose {
    /// A name made, replaced or removed.
    Name,
    /// The length of a file, that grew by so many bytes.
    Length(usize),
    /// A sector of a file that has other bytes than the durable ones.
    Sector,
}

/// What a power cut does to a [`Loose`] thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It is as it was.
    Dropped,
    /// It is as it should be.
    Kept,
    /// The first so many bytes of the sector, or of what the file grew by, are kept; a name is dropped.
    Torn(usize),
}

#[derive(Default, Clone)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    durable_len: usize,
    pending: BTreeMap<usize, Pending>,
}

/// What is durable of a sector that has been written since.
#[derive(Clone)]
struct Pending {
    durable: Box<[u8; SECTOR]>,
    /// A sync failed on it: the next sync does not write it.
    lost: bool,
}

impl Content {
    pub(super) fn damage(&mut self, at: usize, mask: u8) -> io::Result<()> {
        let byte = self.bytes.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= mask;
        if let Some(pending) = self.pending.get_mut(&(at / SECTOR)) {
            pending.durable[at % SECTOR] ^= mask;
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if bytes.is_empty() {
            return;
        }
        for sector in offset / SECTOR..=(end - 1) / SECTOR {
            let pending = self.pending.entry(sector).or_insert_with(|| {
                let mut durable = Box::new([0; SECTOR]);
                let start = (sector * SECTOR).min(self.bytes.len());
                let old = &self.bytes[start..(start + SECTOR).min(self.bytes.len())];
                durable[..old.len()].copy_from_slice(old);
                Pending { durable, lost: false }
            });
            pending.lost = false;
        }
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    pub(super) fn sync(&mut self) {
        self.pending.retain(|_, pending| pending.lost);
        self.durable_len = self.bytes.len();
    }

    pub(super) fn sync_failed(&mut self) {
        for pending in self.pending.values_mut() {
            pending.lost = true;
        }
    }

    /// Fills `buf` from `at` with what is durable: zeros where the file only grew.
    pub(super) fn read_durable(&self, buf: &mut [u8], at: usize) -> io::Result<()> {
        let end = at.checked_add(buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(self.bytes.get(at..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        for (sector, pending) in self.pending.range(at / SECTOR..end.div_ceil(SECTOR)) {
            let (begin, until) = ((sector * SECTOR).max(at), ((sector + 1) * SECTOR).min(end));
            let durable = &pending.durable[begin - sector * SECTOR..until - sector * SECTOR];
            buf[begin - at..until - at].copy_from_slice(durable);
        }
        Ok(())
    }

    pub(super) fn after_crash(&self, choice: &mut Option<SplitMix>) -> Content {
        let mut bytes = self.bytes.clone();
        // Whole writes survive or vanish more often than chance over sectors would give.
        let mode = choice.as_mut().map_or(1, |c| c.below(4));
        let prefix = choice.as_mut().map_or(0, |c| c.below(self.pending.len() as u64 + 1));
        for (nth, (sector, pending)) in self.pending.iter().enumerate() {
            let start = (sector * SECTOR).min(bytes.len());
            let end = (start + SECTOR).min(bytes.len());
            let kept = match (mode, choice.as_mut()) {
                (0, _) => SECTOR,
                (2, Some(c)) => [0, SECTOR, c.below(SECTOR as u64) as usize][c.below(3) as usize],
                (3, Some(c)) if nth as u64 == prefix => c.below(SECTOR as u64) as usize,
                (3, _) if (nth as u64) < prefix => SECTOR,
                _ => 0,
            };
            let from = (start + kept).min(end);
            bytes[from..end].copy_from_slice(&pending.durable[from - start..end - start]);
        }
        let grown = bytes.len().saturating_sub(self.durable_len) as u64;
        let growth = match (mode, choice.as_mut()) {
            (0, _) => grown,
            (2 | 3, Some(c)) if grown > 0 => [0, grown, c.below(grown)][c.below(3) as usize],
            _ => 0,
        };
        bytes.truncate(self.durable_len + growth as usize);
        Content { durable_len: bytes.len(), bytes, pending: BTreeMap::new() }
    }
}

impl Content {
    /// Pending sectors with other bytes than the durable ones: where each begins and ends.
    fn differing(&self) -> impl Iterator<Item = (usize, usize, &Pending)> {
        let ends = |sector: usize| (sector * SECTOR, ((sector + 1) * SECTOR).min(self.bytes.len()));
        let pending = self.pending.iter().map(move |(sector, pending)| (ends(*sector), pending));
        let differs = |(start, end): (usize, usize), pending: &Pending| {
            self.bytes[start..end] != pending.durable[..end - start]
        };
        pending.filter(move |(ends, p)| differs(*ends, p)).map(|((start, end), p)| (start, end, p))
    }

    fn grown(&self) -> usize {
        self.bytes.len() - self.durable_len
    }

    pub(super) fn loose(&self) -> Vec<Loose> {
        let length = (self.grown() > 0).then_some(Loose::Length(self.grown()));
        length.into_iter().chain(self.differing().map(|_| Loose::Sector)).collect()
    }

    /// What is left when the n-th loose thing has the n-th of `fates`.
    pub(super) fn settle(&self, fates: &mut impl Iterator<Item = Fate>) -> Content {
        let mut bytes = self.bytes.clone();
        let mut kept = |whole: usize| match fates.next() {
            Some(Fate::Kept) => whole,
            Some(Fate::Torn(bytes)) => bytes.min(whole),
            Some(Fate::Dropped) | None => 0,
        };
        let len = self.durable_len + if self.grown() > 0 { kept(self.grown()) } else { 0 };
        for (start, end, pending) in self.differing() {
            let from = start + kept(end - start);
            bytes[from..end].copy_from_slice(&pending.durable[from - start..end - start]);
        }
        bytes.truncate(len);
        Content { durable_len: bytes.len(), bytes, pending: BTreeMap::new() }
    }
}

/// Steele, Lea and Flood's SplitMix64: one word of state, enough for choosing crashes.
pub(super) struct SplitMix(pub(super) u64);

impl SplitMix {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % bound
    }
}
