//! Laws about plain text: sizes, names, words that mean unfinished work, white space and
//! paths of somebody's machine.

use super::scan::{Source, is_word, word_offsets};
use super::tree::{Finding, Text, Tree};

/// Lines of a Rust file.
const FILE_LINES: usize = 600;
/// Lines of a function, signature and braces included.
const FUNCTION_LINES: usize = 100;
/// Columns of a line of code, as in rustfmt.toml.
const LINE_COLUMNS: usize = 110;

/// Files that may be longer than the limit, with their present length. It only shrinks.
const LONG_FILES: [(&str, usize); 0] = [];

/// Module names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 8] = ["util", "utils", "common", "helper", "helpers", "prelude", "misc", "shared"];

/// The one path outside of the repository that files may name: its published test data.
const SHARED_DATA: &str = "../shared/data";

/// Files over the limit of lines.
pub(crate) fn long_files(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let lines = source.text.lines().count();
        let limit =
            LONG_FILES.iter().find(|(path, _)| *path == source.path).map_or(FILE_LINES, |(_, lines)| *lines);
        if lines > limit {
            let what = format!("{lines} lines, limit {limit}");
            let todo = "find the second purpose in it and give that a file of its own";
            findings.push(finding(&source.path, limit + 1, what, "a file serves one purpose", todo));
        }
    }
    findings
}

/// Functions over the limit of lines.
pub(crate) fn long_functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for function in source.functions() {
            let first = source.line(function.start);
            let lines = source.line(function.end - 1) - first + 1;
            if lines > FUNCTION_LINES {
                let what = format!("a function of {lines} lines, limit {FUNCTION_LINES}");
                let todo = "give its steps names and functions of their own";
                findings.push(finding(&source.path, first, what, "a function fits on a screen", todo));
            }
        }
    }
    findings
}

/// Columns of a line without what its quotation marks hold: the formatter does not break a string, and a
/// message is read whole. Rows of a table in a comment cannot be broken at all.
fn breakable_columns(line: &str) -> usize {
    if line.trim_start().starts_with("//! |") {
        return 0;
    }
    line.split('"').step_by(2).map(|outside| outside.chars().count()).sum()
}

/// Lines of code wider than the limit, strings aside.
pub(crate) fn wide_lines(tree: &Tree) -> Vec<Finding> {
    let code = |text: &&Text| text.path.ends_with(".rs") || (is_script(text) && !text.path.ends_with(".py"));
    each_line(tree.texts.iter().filter(code), |line| {
        let columns = breakable_columns(line);
        (columns > LINE_COLUMNS).then(|| format!("{columns} columns, limit {LINE_COLUMNS}"))
    })
    .into_iter()
    .map(|found| found.because("lines fit beside each other", "break the line"))
    .collect()
}

/// Files that do not say at their top what they are for.
pub(crate) fn missing_purpose(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let says = source.text.lines().next().and_then(|line| line.strip_prefix("//! ")).is_some();
        if !says {
            let rule = "every file begins with `//!`: what it does, why so, what it does not do";
            findings.push(finding(&source.path, 1, "no purpose".to_owned(), rule, "write it"));
        }
    }
    findings
}

/// Modules whose name says nothing.
pub(crate) fn empty_names(tree: &Tree) -> Vec<Finding> {
    let rule = "a module is named after its purpose";
    let todo = "put each thing where it is used or name the one idea they share";
    let mut findings = Vec::new();
    for source in &tree.sources {
        let parts = source.path.trim_end_matches(".rs").split('/');
        if let Some(name) = parts.into_iter().find(|part| EMPTY_NAMES.contains(part)) {
            findings.push(finding(&source.path, 1, format!("a file in or called `{name}`"), rule, todo));
        }
        for module in source.modules().iter().filter(|module| EMPTY_NAMES.contains(&module.name.as_str())) {
            let line = source.line(module.offset);
            findings.push(finding(&source.path, line, format!("module `{}`", module.name), rule, todo));
        }
    }
    findings
}

/// Words that stand for work not done, in any text file.
pub(crate) fn unfinished_work(tree: &Tree) -> Vec<Finding> {
    // Put together here so that this file does not find itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!"),
        concat!("unimple", "mented!"),
        concat!("#[", "ignore"),
    ];
    each_line(tree.texts.iter().filter(|text| text.path != "LICENSE"), |line| {
        let word = words.iter().find(|word| word_offsets(line, word).next().is_some())?;
        Some(format!("`{word}`"))
    })
    .into_iter()
    .map(|found| {
        found.because("what is merged is finished", "finish it, or file an issue and remove the note")
    })
    .collect()
}

/// Tabs and white space at the end of lines.
pub(crate) fn stray_space(tree: &Tree) -> Vec<Finding> {
    each_line(tree.texts.iter(), |line| {
        if line.contains('\t') {
            return Some("a tab".to_owned());
        }
        line.ends_with([' ', '\r']).then(|| "white space at the end".to_owned())
    })
    .into_iter()
    .map(|found| found.because("indentation is spaces and lines end where they end", "remove it"))
    .collect()
}

/// Paths that exist only on the machine where something was written.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let roots = [concat!("/", "work"), concat!("/", "tmp/"), concat!("/", "root"), concat!("/", "home/")];
    each_line(tree.texts.iter(), |line| {
        let bytes = line.as_bytes();
        roots.iter().find_map(|root| {
            let stands = line.match_indices(root).any(|(at, _)| {
                let left = at == 0 || !(is_word(bytes[at - 1]) || b".-}>)*]~".contains(&bytes[at - 1]));
                let end = at + root.len();
                let right =
                    root.ends_with('/') || end == bytes.len() || !(is_word(bytes[end]) || bytes[end] == b'-');
                left && right
            });
            stands.then(|| format!("the path `{root}`"))
        })
    })
    .into_iter()
    .map(|found| {
        found.because(
            "nothing depends on one machine",
            "make it relative, an argument or a temporary directory",
        )
    })
    .collect()
}

/// Paths out of the repository other than the published test data.
pub(crate) fn outside_paths(tree: &Tree) -> Vec<Finding> {
    let shared = concat!("../", "shared");
    each_line(tree.texts.iter(), |line| {
        let beside = line.match_indices(shared).any(|(at, _)| {
            let rest = &line[at..];
            !rest.starts_with(SHARED_DATA) && rest[shared.len()..].starts_with('/')
        });
        beside.then(|| format!("a path to `{shared}` beside `{SHARED_DATA}`"))
    })
    .into_iter()
    .map(|found| found.because("the repository stands alone", "say here what has to be known"))
    .collect()
}

fn finding(file: &str, line: usize, what: String, rule: &'static str, todo: &'static str) -> Finding {
    Finding { file: file.to_owned(), line, what, rule, todo }
}

/// A line that breaks a law, before the law is named.
struct Hit {
    file: String,
    line: usize,
    what: String,
}

impl Hit {
    fn because(self, rule: &'static str, todo: &'static str) -> Finding {
        Finding { file: self.file, line: self.line, what: self.what, rule, todo }
    }
}

fn each_line<'a>(texts: impl Iterator<Item = &'a Text>, judge: impl Fn(&str) -> Option<String>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for text in texts {
        for (index, line) in text.text.split('\n').enumerate() {
            if let Some(what) = judge(line) {
                hits.push(Hit { file: text.path.clone(), line: index + 1, what });
            }
        }
    }
    hits
}

fn is_script(text: &Text) -> bool {
    text.text.starts_with("#!")
}

/// The length of the longest function of a file, for the tests below.
#[cfg(test)]
fn longest(source: &Source) -> usize {
    source.functions().iter().map(|f| source.line(f.end - 1) - source.line(f.start) + 1).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_lines, expect_none};
    use super::*;

    #[test]
    fn long_files_and_functions_are_found() {
        expect_lines(&long_files(&Tree::of("src/a.rs", &"// a\n".repeat(601))), &[601]);
        expect_none(&long_files(&Tree::of("src/a.rs", &"// a\n".repeat(600))));
        let function =
            |lines: usize| format!("fn short() {{}}\nfn long(\n) {{\n{}}}\n", "    a();\n".repeat(lines));
        expect_lines(&long_functions(&Tree::of("src/a.rs", &function(98))), &[2]);
        expect_none(&long_functions(&Tree::of("src/a.rs", &function(97))));
        assert_eq!(longest(&Source::new("src/a.rs", &function(10))), 13);
    }

    #[test]
    fn wide_lines_are_found_and_columns_are_characters() {
        let text = format!("{}\n{}\n", "ä".repeat(110), "a".repeat(111));
        expect_lines(&wide_lines(&Tree::of("tests/a.rs", &text)), &[2]);
        expect_lines(&wide_lines(&Tree::of("run", &format!("#!/bin/sh\n{text}"))), &[3]);
        expect_none(&wide_lines(&Tree::of("README.md", &text)));
        let message = format!("    say(\"{}\");\n", "a".repeat(150));
        expect_none(&wide_lines(&Tree::of("src/a.rs", &message)));
        let table = format!("//! | {} |\n", "a".repeat(150));
        expect_none(&wide_lines(&Tree::of("src/a.rs", &table)));
    }

    #[test]
    fn files_without_purpose_and_with_empty_names_are_found() {
        expect_lines(&missing_purpose(&Tree::of("src/a.rs", "use std::io;\n//! Late.\n")), &[1]);
        expect_none(&missing_purpose(&Tree::of("src/a.rs", "//! Early.\n")));
        expect_lines(&empty_names(&Tree::of("tests/common/mod.rs", "\n")), &[1]);
        expect_lines(&empty_names(&Tree::of("src/a.rs", "mod fine;\nmod prelude {}\n// mod misc;\n")), &[2]);
    }

    #[test]
    fn unfinished_work_is_found_in_every_text() {
        let text =
            format!("{}: later\nmethods\n{}\n", concat!("TO", "DO"), concat!("#[", "ignore = \"slow\"]"));
        expect_lines(&unfinished_work(&Tree::of("src/a.rs", &text)), &[1, 3]);
        expect_lines(&unfinished_work(&Tree::of("a.md", &format!("a\n{}()\n", concat!("todo", "!")))), &[2]);
    }

    #[test]
    fn tabs_and_trailing_space_are_found() {
        expect_lines(&stray_space(&Tree::of("a.md", "a\tb\nfine\nend \nend\r\n")), &[1, 3, 4]);
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        let (work, tmp, root) = (concat!("/", "work"), concat!("/", "tmp/"), concat!("/", "root"));
        let text =
            format!("cd {work}/main\na{work}s\nlet a = \"{tmp}x\";\nleaf{root}\n{root}\n../shared/data/x\n");
        expect_lines(&machine_paths(&Tree::of("a.md", &text)), &[1, 3, 5]);
        let outside = format!("../shared/data/x\n{}/notes.md\n", concat!("../", "shared"));
        expect_lines(&outside_paths(&Tree::of("a.md", &outside)), &[2]);
    }
}
