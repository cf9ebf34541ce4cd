//! A configuration error as text: where, the line, a caret under the spot, what is
//! wrong, what would be right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where a wrong value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A spot in the configuration file.
    Spot {
        /// The file as it was named.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The whole line.
        snippet: String,
        /// Characters under the caret, at least 1.
        width: usize,
    },
    /// The file itself.
    File(PathBuf),
    /// A flag or an environment variable, with its value.
    Given {
        /// `--udp` or `TEKD_LISTEN_UDP`.
        name: &'static str,
        /// What it was set to.
        value: String,
    },
}

/// Why a configuration is not taken. Its Display is the whole text for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Where.
    pub place: Place,
    /// What is wrong, in one line.
    pub message: String,
    /// What is allowed and what to do, one line each.
    pub help: Vec<String>,
}

impl ConfigError {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), help: Vec::new() }
    }

    pub(super) fn help(mut self, line: impl Into<String>) -> Self {
        self.help.push(line.into());
        self
    }
}

impl Place {
    /// The spot of bytes `span` of `text`, the content of the file `path`. A span over
    /// several lines is cut at the end of its first.
    pub(super) fn in_text(path: &Path, text: &str, span: Range<usize>) -> Self {
        let start = floor_char(text, span.start);
        let end = floor_char(text, span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let snippet = text[line_start..line_end].trim_end_matches('\r');
        let width = text[start..end.min(line_end)].chars().count().max(1);
        Place::Spot {
            path: path.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            snippet: snippet.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect(),
            width,
        }
    }
}

/// The largest boundary of a character in `text` that is not after `at`.
fn floor_char(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = match &self.place {
            Place::Spot { path, line, column, snippet, width } => {
                writeln!(f, "{}:{line}:{column}: {}", path.display(), self.message)?;
                let number = line.to_string();
                let indent = number.len() + 1;
                // Tabs stay tabs, so that the caret stands under its spot in any terminal.
                let before = snippet.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' });
                writeln!(f, "{:indent$}|", "")?;
                writeln!(f, "{number} | {snippet}")?;
                write!(f, "{:indent$}| {}{}", "", before.collect::<String>(), "^".repeat(*width))?;
                indent
            }
            Place::File(path) => {
                write!(f, "{}: {}", path.display(), self.message)?;
                1
            }
            Place::Given { name, value } => {
                write!(f, "{name} \"{}\": {}", value.escape_debug(), self.message)?;
                1
            }
        };
        for line in &self.help {
            write!(f, "\n{:indent$}= {line}", "")?;
        }
        Ok(())
    }
}

/// Of `allowed`, the word most like `given`, if one is near enough to have been meant.
pub(super) fn did_you_mean<'a>(given: &str, allowed: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = (given.chars().count() / 3).max(1);
    let distances = allowed.map(|word| (distance(given, word), word));
    distances.filter(|(distance, _)| *distance <= near).min_by_key(|(distance, _)| *distance).map(|(_, w)| w)
}

/// Levenshtein's distance: the fewest characters to insert, remove or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_known_ones() {
        for (a, b, d) in [("", "abc", 3), ("kitten", "sitting", 3), ("udp", "udp", 0), ("upd", "udp", 2)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
            assert_eq!(distance(b, a), d, "{b} {a}");
        }
    }

    #[test]
    fn only_a_word_near_enough_is_proposed() {
        let words = || ["udp", "tls", "udp-workers"].into_iter();
        assert_eq!(did_you_mean("udpp", words()), Some("udp"));
        assert_eq!(did_you_mean("udp_worker", words()), Some("udp-workers"));
        assert_eq!(did_you_mean("colour", words()), None);
    }

    #[test]
    fn a_spot_counts_characters_and_survives_any_span() {
        let text = "ü = \"ä\"\r\nsecond\tline";
        let Place::Spot { line, column, snippet, width, .. } = Place::in_text(Path::new("f"), text, 5..9)
        else {
            panic!("not a spot");
        };
        assert_eq!((line, column, width, snippet.as_str()), (1, 5, 3, "ü = \"ä\""));
        for start in 0..=text.len() + 2 {
            for end in 0..=text.len() + 2 {
                let place = Place::in_text(Path::new("f"), text, start..end);
                assert!(!ConfigError::new(place, "x").to_string().is_empty());
            }
        }
    }

    #[test]
    fn a_tab_before_the_spot_is_kept_under_it() {
        let place = Place::in_text(Path::new("f"), "\tudpp = 1", 1..5);
        let text = ConfigError::new(place, "x").help("y").to_string();
        assert_eq!(text, "f:1:2: x\n  |\n1 | \tudpp = 1\n  | \t^^^^\n  = y");
    }
}
