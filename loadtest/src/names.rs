//! Names of the domain name system: drawn from a seed as a zone for peers, or read from a file.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::draw::Draw;

/// The zone that peers serve; the top-level domain is kept for tests (RFC 6761).
pub(crate) const ZONE: &str = "load.test";
/// Names of one file, at most.
const MAX_NAMES: usize = 100_000_000;
/// Bytes of one label and of a whole name on the wire, at most (RFC 1035 2.3.4).
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 255;
/// Type and class behind a name.
const TAIL: usize = 4;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
/// Types by name; any other is written as its number.
const TYPES: [(&str, u16); 8] =
    [("A", TYPE_A), ("NS", 2), ("CNAME", 5), ("SOA", 6), ("PTR", 12), ("MX", 15), ("TXT", 16), ("AAAA", 28)];

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
pub enum NamesError {
    /// The file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no name.
    #[error("{}:{line}: {what}; each line is a name and, unless it is A, a type", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// None, or more than are held.
    #[error("{}: {count} names, not between 1 and {MAX_NAMES}", file.display())]
    Count {
        /// The file.
        file: PathBuf,
        /// How many there are at least.
        count: usize,
    },
}

/// Question sections of DNS messages: name, type and class each, as they stand on the wire.
#[derive(Debug, Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Names {
    /// The names of the zone of a seed, each with an A record.
    pub(crate) fn of_zone(seed: u64, count: u64) -> Self {
        let mut names = Names::default();
        for label in labels(seed, count) {
            names.push(&format!("{label}.{ZONE}"), TYPE_A).expect("labels and zone are short");
        }
        names
    }

    /// The names of a file, one a line, with a type behind it unless that is A. Empty lines are passed over.
    ///
    /// # Errors
    /// [`NamesError`], with the number of the first bad line.
    pub fn read(file: &Path) -> Result<Self, NamesError> {
        let io = |source| NamesError::Io { file: file.to_path_buf(), source };
        let reader = BufReader::with_capacity(1 << 20, std::fs::File::open(file).map_err(io)?);
        let mut names = Names::default();
        for (line, text) in (1..).zip(reader.lines()) {
            let text = text.map_err(io)?;
            let mut words = text.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            let bad = |what| NamesError::Line { file: file.to_path_buf(), line, what };
            let kind = words.next().map_or(Some(TYPE_A), type_of);
            let kind = kind.ok_or_else(|| bad("the second word is no type of a record"))?;
            names.push(name, kind).map_err(bad)?;
            if names.count() > MAX_NAMES {
                break;
            }
        }
        if (1..=MAX_NAMES).contains(&names.count()) {
            return Ok(names);
        }
        Err(NamesError::Count { file: file.to_path_buf(), count: names.count() })
    }

    fn push(&mut self, name: &str, kind: u16) -> Result<(), &'static str> {
        let begin = self.bytes.len();
        for label in name.strip_suffix('.').unwrap_or(name).split('.').filter(|_| name != ".") {
            match u8::try_from(label.len()) {
                Ok(length) if (1..=MAX_LABEL).contains(&label.len()) => self.bytes.push(length),
                _ => return Err("a label is empty or has more than 63 bytes"),
            }
            self.bytes.extend_from_slice(label.as_bytes());
        }
        self.bytes.push(0);
        if self.bytes.len() - begin > MAX_NAME {
            return Err("the name has more than 255 bytes on the wire");
        }
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
        self.ends.push(u32::try_from(self.bytes.len()).map_err(|_| "more than 4 GiB of names")?);
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// The question section of name `index`.
    pub(crate) fn question(&self, index: usize) -> &[u8] {
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.bytes[begin..self.ends[index] as usize]
    }
}

const _: () = assert!(MAX_NAME + TAIL + 12 <= 512);

fn type_of(word: &str) -> Option<u16> {
    let known = TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
    known.map(|(_, number)| *number).or_else(|| word.parse().ok())
}

/// The first labels in the zone of a seed: no two are equal, for the draw is a bijection of its position.
fn labels(seed: u64, count: u64) -> impl Iterator<Item = String> {
    let draw = Draw::new(seed);
    (0..count).map(move |at| format!("{:016x}", draw.at(at).number()))
}

/// Writes the zone of a seed as a master file (RFC 1035 5).
pub(crate) fn write_zone(file: &Path, seed: u64, count: u64) -> std::io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(file)?);
    writeln!(out, "$ORIGIN {ZONE}.\n$TTL 300")?;
    writeln!(out, "@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1")?;
    for label in labels(seed, count) {
        writeln!(out, "{label} A 192.0.2.2")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("names");
        std::fs::write(&path, text).expect("written");
        (dir, path)
    }

    #[test]
    fn names_and_types_are_read_as_they_stand_on_the_wire() {
        let (_dir, path) = file("a.example\n\nexample. AAAA\n. ns\nb.c 64\n");
        let names = Names::read(&path).expect("four names");
        let sections: Vec<&[u8]> = (0..names.count()).map(|at| names.question(at)).collect();
        let wanted: [&[u8]; 4] = [
            b"\x01a\x07example\0\0\x01\0\x01",
            b"\x07example\0\0\x1c\0\x01",
            b"\0\0\x02\0\x01",
            b"\x01b\x01c\0\0\x40\0\x01",
        ];
        assert_eq!(sections, wanted);
    }

    #[test]
    fn bad_names_are_refused_with_their_line() {
        let long = format!("{}.a", "x".repeat(64));
        let longer = vec!["y".repeat(60); 5].join(".");
        for (text, bad) in [("a..b", 1), ("a\nb WHAT\n", 2), (long.as_str(), 1), (longer.as_str(), 1)] {
            let (_dir, path) = file(text);
            match Names::read(&path) {
                Err(NamesError::Line { line, .. }) => assert_eq!(line, bad, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let (_dir, path) = file("\n\n");
        assert!(matches!(Names::read(&path), Err(NamesError::Count { count: 0, .. })));
    }

    #[test]
    fn the_names_that_are_asked_for_are_those_of_the_zone() {
        let (_dir, path) = file("");
        write_zone(&path, 7, 50).expect("written");
        let zone = std::fs::read_to_string(&path).expect("there");
        let names = Names::of_zone(7, 50);
        assert_eq!(names.count(), 50);
        for at in 0..50 {
            let label = std::str::from_utf8(&names.question(at)[1..17]).expect("hex digits");
            assert!(zone.contains(&format!("\n{label} A ")), "{label}");
        }
        assert_eq!(zone.lines().count(), 5 + 50);
    }
}
