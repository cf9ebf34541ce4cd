//! An input as edits of real files: what is damaged then lies deep inside of what is whole.
//!
//! Bytes that stand for whole files would have to spell checksums before anything behind them is
//! reached. An input here is a list of small changes to files that are right.

/// Longest file an edit makes.
pub const LONGEST: usize = 1 << 17;

/// Takes numbers off the front of an input; what is missing is zero.
#[derive(Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of all of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Reader(input)
    }

    /// Whether everything is taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// The next `len` bytes as a little-endian number; at most four.
    pub fn number(&mut self, len: usize) -> usize {
        let mut bytes = [0; 8];
        let taken = self.bytes(len.min(4));
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes) as usize
    }

    /// The next `len` bytes, or what is left.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(len.min(self.0.len()));
        self.0 = left;
        taken
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Carries out the edits of `reader` on `files`: a byte of kind and file, then its numbers.
pub fn apply(reader: &mut Reader<'_>, files: &mut [Vec<u8>]) {
    while !reader.is_empty() {
        let control = usize::from(reader.byte());
        let file = control / 8 % files.len();
        let bytes = &mut files[file];
        match control % 8 {
            0 => {
                let length = reader.number(3) % (LONGEST + 1);
                bytes.resize(length, 0);
            }
            1 => {
                let (from, to, len) = (reader.number(3), reader.number(3), reader.number(2));
                if let Some(part) = bytes.get(from..from.saturating_add(len)).map(<[u8]>::to_vec) {
                    overwrite(bytes, to, &part);
                }
            }
            2 => {
                let (at, len) = (reader.number(3), usize::from(reader.byte()));
                let end = at.saturating_add(len).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            3 => {
                let (at, len) = (reader.number(3).min(bytes.len()), usize::from(reader.byte()));
                let part = reader.bytes(len).to_vec();
                if bytes.len() + part.len() <= LONGEST {
                    bytes.splice(at..at, part);
                }
            }
            _ => {
                let (at, len) = (reader.number(3), usize::from(reader.byte()));
                overwrite(bytes, at, reader.bytes(len));
            }
        }
    }
}

/// The edit that puts `part` at `at` of `file`, as bytes of an input.
pub fn overwriting(file: usize, at: usize, part: &[u8]) -> Vec<u8> {
    let mut edit = vec![(file * 8 + 4) as u8];
    edit.extend_from_slice(&(at as u32).to_le_bytes()[..3]);
    edit.push(part.len() as u8);
    edit.extend_from_slice(part);
    edit
}

/// The edit that makes `file` `length` bytes long, as bytes of an input.
pub fn resizing(file: usize, length: usize) -> Vec<u8> {
    let mut edit = vec![(file * 8) as u8];
    edit.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
    edit
}

fn overwrite(bytes: &mut [u8], at: usize, part: &[u8]) {
    let Some(place) = bytes.get_mut(at..) else { return };
    let len = part.len().min(place.len());
    place[..len].copy_from_slice(&part[..len]);
}
