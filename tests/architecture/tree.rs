//! The tree of files that the laws are about: what git would commit, read once, and what
//! a broken law looks like.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scan::Source;

/// One break of a law.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path from the root of the repository.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// What stands there.
    pub(crate) what: String,
    /// The law it breaks.
    pub(crate) rule: &'static str,
    /// How to put it right.
    pub(crate) todo: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { file, line, what, rule, todo } = self;
        write!(f, "{file}:{line}: {what}\n    rule: {rule}\n    do:   {todo}")
    }
}

/// A text file that is not Rust, or a Rust file before it is scanned.
#[derive(Debug)]
pub(crate) struct Text {
    /// Path from the root of the repository, with `/`.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

/// All files under judgement.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Every text file, Rust included.
    pub(crate) texts: Vec<Text>,
    /// The Rust files, scanned.
    pub(crate) sources: Vec<Source>,
}

impl Tree {
    /// Reads every text file git tracks or would add.
    pub(crate) fn read() -> Self {
        let root = root();
        let mut tree = Tree::default();
        for path in listed(&root) {
            if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
                tree.add(&path, &text);
            }
        }
        assert!(
            tree.sources.len() > 10,
            "found only {} Rust files under {}",
            tree.sources.len(),
            root.display()
        );
        tree
    }

    /// A tree of one file, for the tests of the laws themselves.
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Tree::default().with(path, text)
    }

    /// Adds a file.
    pub(crate) fn with(mut self, path: &str, text: &str) -> Self {
        self.add(path, text);
        self
    }

    fn add(&mut self, path: &str, text: &str) {
        if path.ends_with(".rs") {
            self.sources.push(Source::new(path, text));
        }
        self.texts.push(Text { path: path.to_owned(), text: text.to_owned() });
    }

    /// The file at `path`.
    pub(crate) fn source(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }

    /// Whether a whole file is compiled for tests alone: its `mod` line, or that of a
    /// module above it, stands under `cfg(test)`.
    pub(crate) fn is_test_file(&self, path: &str) -> bool {
        let mut place = Place::of(path);
        while let Some(name) = place.modules.pop() {
            let Some(parent) = self.sources.iter().find(|s| Place::of(&s.path) == place) else { continue };
            if parent.modules().iter().any(|m| m.name == name && parent.in_test(m.offset)) {
                return true;
            }
        }
        false
    }
}

/// Fails the test with every finding, one under the other.
#[track_caller]
pub(crate) fn expect_none(findings: &[Finding]) {
    let list: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(list.is_empty(), "{} breaks of the law:\n\n{}\n", list.len(), list.join("\n"));
}

/// Fails unless exactly these lines are found: how a law shows that it can fail.
#[track_caller]
pub(crate) fn expect_lines(findings: &[Finding], lines: &[usize]) {
    let found: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
    assert_eq!(found, lines, "{findings:#?}");
}

/// Where a file stands: its crate and its module path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// `src` for the library, otherwise the path of the crate's root without `main.rs`.
    pub(crate) krate: String,
    /// The module's path from the root of its crate; empty for the root.
    pub(crate) modules: Vec<String>,
}

impl Place {
    /// Reads the place off the path; a file that is no module of a larger crate is its own.
    pub(crate) fn of(path: &str) -> Self {
        let stem = path.strip_suffix(".rs").unwrap_or(path);
        for krate in ["src/bin", "loadtest/src", "src"] {
            let Some(rest) = stem.strip_prefix(krate).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let mut modules: Vec<String> = rest.split('/').map(str::to_owned).collect();
            let mut krate = krate.to_owned();
            if krate == "src/bin" {
                krate = format!("{krate}/{}", modules.remove(0));
            }
            if modules.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
                modules.pop();
            }
            return Place { krate, modules };
        }
        Place { krate: stem.to_owned(), modules: Vec::new() }
    }
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Paths git tracks or would add; without git, every file outside of build directories.
fn listed(root: &Path) -> Vec<String> {
    let git = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output();
    if let Ok(output) = git
        && output.status.success()
    {
        let names = String::from_utf8(output.stdout).expect("file names of the repository are UTF-8");
        let mut paths: Vec<String> = names.split_terminator('\0').map(str::to_owned).collect();
        paths.sort();
        paths.dedup();
        return paths;
    }
    let mut paths = Vec::new();
    walk(root, root, &mut paths);
    paths.sort();
    paths
}

fn walk(root: &Path, dir: &Path, paths: &mut Vec<String>) {
    let entries = std::fs::read_dir(dir).expect("a directory of the repository can be listed");
    for path in entries.map(|entry| entry.expect("a directory entry can be read").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let skipped = ["target", "corpus", "artifacts", "__pycache__", ".git"];
        if path.is_dir() && !path.is_symlink() {
            if !skipped.contains(&name.as_str()) {
                walk(root, &path, paths);
            }
        } else if let Ok(relative) = path.strip_prefix(root) {
            paths.push(relative.to_string_lossy().into_owned());
        }
    }
}
