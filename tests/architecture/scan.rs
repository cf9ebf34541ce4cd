//! Rust source as text: what is code, what is only said in a comment or a string, what
//! is compiled for tests alone, and which paths are named where.
//!
//! A scanner, not a parser: it knows comments, literals, braces, `mod` and `use`, which
//! is all the laws of the house need. It does not expand macros.

use std::ops::Range;

/// One file of the tree, ready to be judged.
#[derive(Debug)]
pub(crate) struct Source {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// The file as it is.
    pub(crate) text: String,
    /// The same bytes with comments and the inside of literals blanked: only code.
    pub(crate) code: String,
    /// Parts of `code` that exist only under `cfg(test)`.
    pub(crate) tests: Vec<Range<usize>>,
}

/// A path named in code: `std::fs::read`, or one leaf of a `use` tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// Where its first segment stands.
    pub(crate) offset: usize,
    /// Its segments; the leaf `*` is a glob.
    pub(crate) segments: Vec<String>,
}

/// A `mod name;` or `mod name { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its name.
    pub(crate) name: String,
    /// Where `mod` stands.
    pub(crate) offset: usize,
    /// The braces of an inline module; empty for one that has a file.
    pub(crate) body: Range<usize>,
}

impl Source {
    /// Scans one file.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_literals(text);
        let tests = test_ranges(&code);
        Source { path: path.to_owned(), text: text.to_owned(), code, tests }
    }

    /// The line, counted from 1, that holds `offset`.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count() + 1
    }

    /// Whether `offset` is compiled for tests only.
    pub(crate) fn in_test(&self, offset: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&offset))
    }

    /// Where the word `word` stands in code.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        word_offsets(&self.code, word)
    }

    /// Every module declared in this file, in order.
    pub(crate) fn modules(&self) -> Vec<Module> {
        let bytes = self.code.as_bytes();
        self.words("mod")
            .filter_map(|offset| {
                let start = skip_space(bytes, offset + 3);
                let end = word_end(bytes, start);
                let next = skip_space(bytes, end);
                let body = match bytes.get(next) {
                    Some(b';') => next..next,
                    Some(b'{') => next..matching_brace(bytes, next),
                    _ => return None,
                };
                (end > start).then(|| Module { name: self.code[start..end].to_owned(), offset, body })
            })
            .collect()
    }

    /// Every path of two or more segments in code, `use` trees spread out.
    pub(crate) fn paths(&self) -> Vec<Named> {
        let bytes = self.code.as_bytes();
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            if !is_word(bytes[at]) {
                at += 1;
                continue;
            }
            let end = word_end(bytes, at);
            if bytes[at].is_ascii_digit() || !bytes[end..].starts_with(b"::") {
                at = end;
                continue;
            }
            let before = found.len();
            let after = self.tree(at, &[], &mut found);
            found[before..].iter_mut().for_each(|named| named.offset = named.offset.max(at));
            at = after.max(end);
        }
        found
    }

    /// Reads one `use` tree or inline path that starts at `at`; returns where it ends.
    fn tree(&self, at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
        let bytes = self.code.as_bytes();
        let mut segments = before.to_vec();
        let mut at = at;
        let offset = at;
        loop {
            match bytes.get(at) {
                Some(b'{') => return self.group(at + 1, &segments, found),
                Some(b'*') => {
                    segments.push("*".to_owned());
                    at += 1;
                }
                Some(&b) if is_word(b) => {
                    let end = word_end(bytes, at);
                    segments.push(self.code[at..end].to_owned());
                    at = end;
                    if bytes[at..].starts_with(b"::") {
                        at = skip_space(bytes, at + 2);
                        continue;
                    }
                }
                _ => {}
            }
            break;
        }
        found.push(Named { offset, segments });
        at
    }

    /// Reads the branches of `{a, b::{c}}` after the brace; returns the end of the group.
    fn group(&self, at: usize, before: &[String], found: &mut Vec<Named>) -> usize {
        let bytes = self.code.as_bytes();
        let mut at = skip_space(bytes, at);
        while at < bytes.len() && bytes[at] != b'}' {
            if is_word(bytes[at]) || bytes[at] == b'*' {
                at = self.tree(at, before, found);
                while at < bytes.len() && bytes[at] != b',' && bytes[at] != b'}' {
                    at += 1;
                }
            } else {
                at += 1;
            }
            at = skip_space(bytes, at);
        }
        (at + 1).min(bytes.len())
    }

    /// Every function with a body: where `fn` stands and where its body ends.
    pub(crate) fn functions(&self) -> Vec<Range<usize>> {
        let bytes = self.code.as_bytes();
        self.words("fn")
            .filter_map(|offset| {
                let start = skip_space(bytes, offset + 2);
                if word_end(bytes, start) == start {
                    return None;
                }
                let open = body_or_end(bytes, start)?;
                Some(offset..matching_brace(bytes, open))
            })
            .collect()
    }
}

/// Where `word` stands in `text` with no letter, digit or underscore beside it.
pub(crate) fn word_offsets<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let end = at + word.len();
        let left = at == 0 || !is_word(bytes[at - 1]) || !is_word(bytes[at]);
        let right = end == bytes.len() || !is_word(bytes[end]) || !is_word(bytes[end - 1]);
        left && right
    })
}

/// Letters, digits and underscores make words.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The end of the word that starts at `at`.
fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&b| !is_word(b)).map_or(bytes.len(), |n| at + n)
}

/// The first byte from `at` on that is not white space.
fn skip_space(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| !b.is_ascii_whitespace()).map_or(bytes.len(), |n| at + n)
}

/// The end of the block whose brace opens at `open`, the closing brace included.
fn matching_brace(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// The brace that opens an item's body, or `None` when a semicolon ends it first.
fn body_or_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The items under `#[cfg(test)]` and `#[cfg(all(test, …))]`, attribute included.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let bytes = code.as_bytes();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for marker in ["#[cfg(test)]", "#[cfg(all(test,"] {
        for (at, _) in code.match_indices(marker) {
            let mut item = at;
            while bytes.get(item) == Some(&b'#') {
                let close = attribute_end(bytes, item);
                item = skip_space(bytes, close);
            }
            let end = match body_or_end(bytes, item) {
                Some(open) => matching_brace(bytes, open),
                None => code[item..].find(';').map_or(code.len(), |n| item + n + 1),
            };
            ranges.push(at..end);
        }
    }
    ranges
}

/// The end of the attribute whose `#` stands at `at`.
fn attribute_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0_usize;
    for (i, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'[' => depth += 1,
            b']' => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// `text` with comments and the inside of string and character literals turned into
/// spaces: same length, same lines.
fn blank_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip_literal(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        out[at..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        at = end;
    }
    String::from_utf8(out).expect("every literal is blanked whole, so no character is cut")
}

/// The end of the comment or literal that starts at `at`, or `at` when none does.
fn skip_literal(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let joined = at > 0 && is_word(bytes[at - 1]);
    match rest[0] {
        b'/' if rest.starts_with(b"//") => {
            rest.iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n)
        }
        b'/' if rest.starts_with(b"/*") => block_comment_end(bytes, at),
        b'"' => string_end(bytes, at + 1),
        b'r' | b'b' | b'c' if !joined => prefixed_string_end(bytes, at),
        b'\'' => char_end(bytes, at),
        _ => at,
    }
}

/// The end of a block comment, which may hold others.
fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of a string whose inside starts at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`, or `at` for a plain word.
fn prefixed_string_end(bytes: &[u8], at: usize) -> usize {
    let letters = word_end(bytes, at) - at;
    let prefix = &bytes[at..at + letters];
    let raw = matches!(prefix, b"r" | b"br" | b"cr");
    if !raw && !matches!(prefix, b"b" | b"c") {
        return at;
    }
    let start = at + letters;
    if !raw {
        return match bytes.get(start) {
            Some(b'"') => string_end(bytes, start + 1),
            Some(b'\'') => char_end(bytes, start),
            _ => at,
        };
    }
    let hashes = bytes[start..].iter().take_while(|&&b| b == b'#').count();
    if bytes.get(start + hashes) != Some(&b'"') {
        return at;
    }
    let mut close = vec![b'"'];
    close.extend(std::iter::repeat_n(b'#', hashes));
    let inside = start + hashes + 1;
    bytes[inside..]
        .windows(close.len())
        .position(|window| window == close)
        .map_or(bytes.len(), |n| inside + n + close.len())
}

/// The end of the character literal at `at`, or `at` when it is a lifetime.
fn char_end(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at + 1) {
        Some(b'\\') => bytes[at + 3..].iter().position(|&b| b == b'\'').map_or(at, |n| at + 3 + n + 1),
        Some(&lead) => {
            let width = match lead {
                0x00..=0x7F => 1,
                0x80..=0xDF => 2,
                0xE0..=0xEF => 3,
                _ => 4,
            };
            if bytes.get(at + 1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "a(\"b\\\"c\", 'd', '\\'', b'e', r#\"f\"g\"#, br\"h\");\n\
                    /* i /* j */ k */ l // m\nfn n<'o>(p: &'o str) {}\n";
        let source = Source::new("src/a.rs", text);
        assert_eq!(source.code.len(), text.len());
        let words: Vec<&str> =
            source.code.split(|c: char| !is_word_char(c)).filter(|w| !w.is_empty()).collect();
        assert_eq!(words, ["a", "l", "fn", "n", "o", "p", "o", "str"]);
    }

    fn is_word_char(c: char) -> bool {
        u8::try_from(c).is_ok_and(is_word)
    }

    #[test]
    fn use_trees_are_spread_out() {
        let text = "use a::{self, b::{c, d as e}, f::*};\nlet x = g::h::<i::j>(k);\nuse l;\n";
        let paths: Vec<String> =
            Source::new("src/a.rs", text).paths().iter().map(|path| path.segments.join("::")).collect();
        assert_eq!(paths, ["a::self", "a::b::c", "a::b::d", "a::f::*", "g::h", "i::j"]);
    }

    #[test]
    fn code_for_tests_ends_with_its_item() {
        let text = "#[cfg(test)]\n#[allow(dead_code)]\nfn a() { if b { c } }\n\
                    fn d() {}\n#[cfg(test)]\nuse e::f;\nfn g() {}\n";
        let source = Source::new("src/a.rs", text);
        let tested = |word: &str| source.in_test(source.words(word).next().expect("the word is there"));
        assert!(["a", "c", "e"].iter().all(|word| tested(word)));
        assert!(!["d", "g"].iter().any(|word| tested(word)));
    }

    #[test]
    fn functions_and_modules_have_their_bodies() {
        let text =
            "mod a;\nmod b {\n    fn c(x: [u8; 4]) -> u8 {\n        x[0]\n    }\n}\ntrait D { fn e(); }\n";
        let source = Source::new("src/a.rs", text);
        let lines = |range: &Range<usize>| (source.line(range.start), source.line(range.end - 1));
        assert_eq!(source.functions().iter().map(lines).collect::<Vec<_>>(), [(3, 5)]);
        let modules = source.modules();
        assert_eq!(modules.iter().map(|module| module.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(modules[0].body.is_empty());
        assert_eq!(lines(&modules[1].body), (2, 6));
    }
}
