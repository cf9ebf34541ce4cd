//! What tekd is built from: licences, sources and duplicate versions of every crate, read
//! from cargo itself, so that no tool has to be built on a fresh machine.

#![cfg(feature = "net")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licences a dependency may have.
const LICENCES: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Licences that only what never ships may have: the fuzzing engine.
const LICENCES_OF_FUZZING: [&str; 1] = ["NCSA"];

/// The only place crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The platform whose dependencies count.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Crates that are built in more than one version, and why that is not ours to end.
const DUPLICATES: [(&str, &str); 2] = [
    (
        "syn",
        "prost-derive, tracing-attributes and zerocopy-derive are on 2, serde_derive on 3; build time only",
    ),
    ("winnow", "toml 0.9 is on 0.7, the toml_parser under it on 1"),
];

/// What cargo says, asked without the network first: where all is downloaded it needs none.
fn cargo(arguments: &[&str], manifest: &str) -> Vec<u8> {
    let run = |offline: bool| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).arg("--locked").arg("--manifest-path");
        cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest));
        cargo.args(offline.then_some("--offline"));
        cargo.output().expect("cargo runs, for it runs this test")
    };
    let mut output = run(true);
    if !output.status.success() {
        output = run(false);
    }
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// One package and everything it may be built from: more than is built, for it counts
/// optional dependencies that no feature turns on.
fn metadata(manifest: &str) -> Value {
    let output = cargo(&["metadata", "--format-version", "1", "--filter-platform", PLATFORM], manifest);
    serde_json::from_slice(&output).expect("cargo metadata writes JSON")
}

/// What the workspace is really built from, at run time or build time; what only tests
/// use does not count.
fn built() -> BTreeMap<String, BTreeSet<String>> {
    let what = ["tree", "--workspace", "--edges", "normal,build", "--target", PLATFORM];
    let how = ["--prefix", "none", "--format", "{p}"];
    let output = cargo(&[what.as_slice(), how.as_slice()].concat(), "Cargo.toml");
    versions(&String::from_utf8(output).expect("cargo writes UTF-8"))
}

/// A field that cargo always writes as text.
fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("cargo metadata: `{field}` is no text in {value}"))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("cargo metadata: `{field}` is no list"))
}

/// Whether an SPDX expression can be met with allowed licences. `/` is an old way to
/// write OR. Precedence: WITH, AND, OR.
fn licence_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let met = any_of(&mut rest, allowed);
    met && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = all_of(rest, allowed);
    while let ["OR", tail @ ..] = *rest {
        *rest = tail;
        met |= all_of(rest, allowed);
    }
    met
}

fn all_of(rest: &mut &[&str], allowed: &[&str]) -> bool {
    let mut met = one(rest, allowed);
    while let ["AND", tail @ ..] = *rest {
        *rest = tail;
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[&str], allowed: &[&str]) -> bool {
    match *rest {
        ["(", tail @ ..] => {
            *rest = tail;
            let met = any_of(rest, allowed);
            let closed = rest.first() == Some(&")");
            *rest = rest.get(1..).unwrap_or(&[]);
            met && closed
        }
        [licence, "WITH", exception, tail @ ..] => {
            *rest = tail;
            allowed.contains(&format!("{licence} WITH {exception}").as_str())
        }
        [licence, tail @ ..] => {
            *rest = tail;
            allowed.contains(licence)
        }
        [] => false,
    }
}

/// Crates whose licence is missing or not allowed, or that come from elsewhere.
fn strangers(metadata: &Value, allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for package in list(metadata, "packages") {
        let name = format!("{} {}", text(package, "name"), text(package, "version"));
        match package["license"].as_str() {
            Some(licence) if licence_allowed(licence, allowed) => {}
            Some(licence) => found.push(format!("{name}: licence `{licence}`, not in the list of this test")),
            None => found.push(format!("{name}: no licence")),
        }
        match package["source"].as_str() {
            None | Some(REGISTRY) => {}
            Some(source) => found.push(format!("{name}: from {source}, not from crates.io")),
        }
    }
    found
}

/// The versions of every crate in what `cargo tree` prints, one `name vVERSION …` a line.
fn versions(tree: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        if let Some((name, rest)) = line.split_once(" v") {
            let version = rest.split(' ').next().unwrap_or(rest);
            versions.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    versions
}

/// Duplicates that are not in the list, and entries of the list that are none any more.
fn unexplained(versions: &BTreeMap<String, BTreeSet<String>>, explained: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !explained.iter().any(|(known, _)| known == name) {
            let list: Vec<&str> = versions.iter().map(String::as_str).collect();
            found.push(format!(
                "{name} is built as {}: use one, or say in DUPLICATES why not",
                list.join(" and ")
            ));
        }
    }
    for (name, _) in explained.iter().filter(|(name, _)| versions.get(*name).is_none_or(|v| v.len() < 2)) {
        found.push(format!("{name} is no longer a duplicate: remove it from DUPLICATES"));
    }
    found
}

#[track_caller]
fn expect_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn licences_are_allowed_and_crates_come_from_crates_io() {
    let metadata = metadata("Cargo.toml");
    assert!(list(&metadata, "packages").len() > 20, "the graph holds more than tekd alone");
    expect_none(&strangers(&metadata, &LICENCES));
}

#[test]
fn so_do_those_of_the_fuzz_targets() {
    let allowed: Vec<&str> = LICENCES.into_iter().chain(LICENCES_OF_FUZZING).collect();
    expect_none(&strangers(&metadata("fuzz/Cargo.toml"), &allowed));
}

#[test]
fn no_crate_is_built_in_two_versions_without_a_reason() {
    let built = built();
    assert!(built.len() > 20, "the workspace is built from more than itself");
    expect_none(&unexplained(&built, &DUPLICATES));
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"];
    for good in [
        "MIT",
        "MIT/GPL-3.0",
        "GPL-3.0 OR MIT",
        "(GPL-3.0 OR MIT) AND Apache-2.0",
        "GPL-3.0 AND BSD-1-Clause OR MIT",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(licence_allowed(good, &allowed), "{good}");
    }
    for bad in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT)", "MIT WITH GCC-exception", "GPL-3.0/AGPL-3.0"]
    {
        assert!(!licence_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn strangers_and_duplicates_are_found() {
    let package = |name: &str, version: &str, license: Value, source: &str| {
        let fields = [("name", name.into()), ("version", version.into()), ("license", license)];
        Value::from_iter(fields.into_iter().chain([("source", source.into())]))
    };
    let metadata = serde_json::json!({
        "packages": [
            package("a", "1", "MIT".into(), REGISTRY),
            package("b", "1", Value::Null, REGISTRY),
            package("b", "2", "GPL-3.0".into(), REGISTRY),
            package("c", "1", "MIT".into(), "git+https://example.org/c"),
            package("c", "2", "MIT".into(), REGISTRY),
        ],
    });
    assert_eq!(strangers(&metadata, &LICENCES).len(), 3);
    let versions = versions("a v1 (dir)\nb v1\nb v2.0.1 (proc-macro) (*)\nc v3\nc v3 (*)\n\n");
    assert_eq!(unexplained(&versions, &[]).len(), 1, "only b is double: {versions:?}");
    assert_eq!(unexplained(&versions, &[("b", "a reason"), ("a", "gone")]).len(), 1);
}
