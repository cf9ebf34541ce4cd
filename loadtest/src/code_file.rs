//! Codes from a file, as `tekctl codes issue --json` prints them: one object with `codes`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Why codes are not read.
#[derive(Debug, thiserror::Error)]
pub enum CodeFileError {
    /// The file cannot be read.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not what tekctl prints.
    #[error("{}: {source}; it has to be what `tekctl codes issue --json` prints", file.display())]
    Json {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// There is none in it.
    #[error("{}: no code in it; a report spends one", file.display())]
    Empty {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Deserialize)]
struct Issued {
    codes: Vec<String>,
}

/// The codes of a file, in order.
///
/// # Errors
/// [`CodeFileError`].
pub fn read_codes(file: &Path) -> Result<Vec<String>, CodeFileError> {
    let named = || file.to_path_buf();
    let bytes = std::fs::read(file).map_err(|source| CodeFileError::Io { file: named(), source })?;
    let issued: Issued =
        serde_json::from_slice(&bytes).map_err(|source| CodeFileError::Json { file: named(), source })?;
    if issued.codes.is_empty() {
        return Err(CodeFileError::Empty { file: named() });
    }
    Ok(issued.codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, CodeFileError> {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("codes.json");
        std::fs::write(&file, text).expect("written");
        read_codes(&file)
    }

    #[test]
    fn codes_are_those_of_a_batch_in_order_and_something_else_is_refused() {
        let batch = r#"{"batch":3,"provider":1,"expires":"x","codes":["9YQG-ZCG5-0292","QW39-52ZY-38CD"]}"#;
        assert_eq!(read(batch).expect("a batch"), ["9YQG-ZCG5-0292", "QW39-52ZY-38CD"]);
        assert!(matches!(read(r#"{"codes":[]}"#), Err(CodeFileError::Empty { .. })));
        assert!(matches!(read("9YQG-ZCG5-0292"), Err(CodeFileError::Json { .. })));
        assert!(matches!(read_codes(Path::new("/no/such/file")), Err(CodeFileError::Io { .. })));
    }
}
