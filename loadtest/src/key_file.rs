//! Keys as JSON Lines, as `tekctl sync --keys-out` writes them: one object a line, `key` in base64.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tekd::gaen::ExportedKey;
use tekd::wire::Key;

/// Keys read from one file, at most: a hundred million of 16 bytes are some gigabytes here already.
const MAX_KEYS: usize = 100_000_000;

/// Why keys are not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no JSON object with a key.
    #[error(
        "{}:{line}: {source}; each line is an object with a `key`, as `tekctl sync --keys-out` writes it",
        file.display()
    )]
    Line {
        /// The file.
        file: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A key is not the base64 of 16 or 32 bytes.
    #[error("{}:{line}: `key` is not the base64 of 16 or 32 bytes", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// Its number, from 1.
        line: usize,
    },
    /// More keys than are held.
    #[error("{}: more than {MAX_KEYS} keys", file.display())]
    TooMany {
        /// The file.
        file: PathBuf,
    },
}

impl KeyFileError {
    fn io(file: &Path) -> impl Fn(std::io::Error) -> Self + '_ {
        |source| KeyFileError::Io { file: file.to_path_buf(), source }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    key: std::borrow::Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    key: String,
    rolling_start_number: u32,
    rolling_period: u32,
    report_type: u8,
}

/// The keys of a file, in its order. Other fields are passed over, empty lines too.
///
/// # Errors
/// [`KeyFileError`], with the number of the first bad line.
pub fn read_keys(file: &Path) -> Result<Vec<Key>, KeyFileError> {
    let io = KeyFileError::io(file);
    let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(file).map_err(&io)?);
    let mut keys = Vec::new();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        if reader.read_line(&mut text).map_err(&io)? == 0 {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let parsed: Line<'_> = serde_json::from_str(&text).map_err(|source| KeyFileError::Line {
            file: file.to_path_buf(),
            line,
            source,
        })?;
        let key = STANDARD.decode(parsed.key.as_bytes()).ok().and_then(|bytes| Key::from_slice(&bytes));
        keys.push(key.ok_or_else(|| KeyFileError::Key { file: file.to_path_buf(), line })?);
        if keys.len() > MAX_KEYS {
            return Err(KeyFileError::TooMany { file: file.to_path_buf() });
        }
    }
    Ok(keys)
}

/// Writes keys in their order, with the fields that every schema publishes.
///
/// # Errors
/// If the file cannot be written.
pub fn write_keys(file: &Path, mut keys: Vec<ExportedKey>) -> Result<(), KeyFileError> {
    let io = KeyFileError::io(file);
    keys.sort_unstable();
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(file).map_err(&io)?);
    for key in &keys {
        let written = Written {
            key: STANDARD.encode(key.key),
            rolling_start_number: key.start,
            rolling_period: key.period,
            report_type: key.report_type,
        };
        serde_json::to_writer(&mut out, &written).map_err(|e| io(e.into()))?;
        out.write_all(b"\n").map_err(&io)?;
    }
    out.flush().map_err(&io)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("keys.jsonl");
        std::fs::write(&path, text).expect("written");
        (dir, path)
    }

    #[test]
    fn what_is_written_is_read_back_in_the_order_of_keys() {
        let key = |n: u8| ExportedKey {
            key: [n; 16],
            risk: 3,
            start: 2_900_016,
            period: 144,
            report_type: 1,
            onset: None,
        };
        let (_dir, path) = file("");
        write_keys(&path, vec![key(9), key(2)]).expect("written");
        let text = std::fs::read_to_string(&path).expect("there");
        assert_eq!(
            text.lines().next(),
            Some(
                "{\"key\":\"AgICAgICAgICAgICAgICAg==\",\"rollingStartNumber\":2900016,\"rollingPeriod\":144,\
                 \"reportType\":1}"
            )
        );
        let keys = read_keys(&path).expect("whole");
        assert_eq!(keys, [2, 9].map(|n| Key::from_slice(&[n; 16]).expect("16 bytes")));
    }

    #[test]
    fn unknown_fields_and_empty_lines_are_passed_over_and_bad_lines_named() {
        let good = "{\"riskClass\":2,\"key\":\"AgICAgICAgICAgICAgICAg==\",\"x\":{\"y\":[1]}}\n";
        let (_dir, path) = file(&format!("{good}\n{good}"));
        assert_eq!(read_keys(&path).expect("whole").len(), 2);
        let (_dir, path) = file(&format!("{good}{{\"key\":\"AgI=\"}}\n"));
        assert!(matches!(read_keys(&path), Err(KeyFileError::Key { line: 2, .. })));
        let (_dir, path) = file("\n{\"keys\":[]}\n");
        assert!(matches!(read_keys(&path), Err(KeyFileError::Line { line: 2, .. })));
        assert!(matches!(read_keys(Path::new("no such file")), Err(KeyFileError::Io { .. })));
    }
}
