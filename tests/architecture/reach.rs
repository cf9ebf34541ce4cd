//! What reaches outside the program, and what the compiler cannot check: clocks,
//! threads, sockets, files, randomness, async and `unsafe`, each only in its place.

use super::floors::floor;
use super::scan::{Named, Source};
use super::tree::{Finding, Place, Tree};

/// Files of the client that drive a real socket or keep a file; the rest of the client is sans-I/O.
const DRIVERS: [&str; 5] = ["udp", "line", "tls", "quic", "state_file"];

/// Files of the store that touch the operating system's files.
const STORE_FILES: [&str; 4] =
    ["src/store/disk.rs", "src/store/direct.rs", "src/store/map.rs", "src/store/identity.rs"];

/// Files that may hold `unsafe`.
const UNSAFE_FILES: [&str; 10] = [
    "src/store/map.rs",            // mapping a generation file
    "src/store/prefetch.rs",       // asking for memory ahead
    "src/store/publish.rs",        // the pointer readers follow
    "src/transport/mmsg.rs",       // batched system calls
    "src/transport/options.rs",    // what is asked of the kernel for their sockets
    "src/transport/xdp/bpf.rs",    // the bpf system call
    "src/transport/xdp/rings.rs",  // memory shared with the kernel
    "loadtest/src/system.rs",      // the same on the asking side, and cores
    "fuzz/src/bounded.rs",         // an allocator that refuses
    "tests/udp_alloc/counting.rs", // an allocator that counts
];

/// Something outside, the paths by which code gets at it, and who may.
struct Reach {
    what: &'static str,
    /// Runs of path segments; a single segment counts at the start of a path.
    paths: &'static [&'static [&'static str]],
    allowed: fn(&Place, &str) -> bool,
    rule: &'static str,
    todo: &'static str,
}

const REACHES: [Reach; 5] = [
    Reach {
        what: "reads a clock",
        paths: &[&["SystemTime", "now"], &["Instant", "now"], &["tokio", "time"]],
        allowed: |place, _| drives(place),
        rule: "clocks are read only in node, bin, transport and the client's drivers",
        todo: "take the time as a value",
    },
    Reach {
        what: "uses a thread",
        paths: &[
            &["std", "thread"],
            &["thread", "spawn"],
            &["thread", "scope"],
            &["tokio", "spawn"],
            &["tokio", "task"],
            &["crossbeam", "thread"],
        ],
        allowed: |place, _| drives(place),
        rule: "threads and tasks are started only in node, bin, transport and the client's drivers",
        todo: "make it a function or a struct that a thread of the node drives",
    },
    Reach {
        what: "uses a socket",
        paths: &[
            &["net", "UdpSocket"],
            &["net", "TcpStream"],
            &["net", "TcpListener"],
            &["net", "UnixStream"],
            &["net", "UnixListener"],
            &["net", "UnixDatagram"],
            &["tokio", "net"],
            &["socket2"],
        ],
        allowed: |place, _| drives(place),
        rule: "sockets are opened only in node, bin, transport and the client's drivers",
        todo: "work on bytes, or on Read and Write",
    },
    Reach {
        what: "uses a file",
        paths: &[
            &["std", "fs"],
            &["tokio", "fs"],
            &["File", "open"],
            &["File", "create"],
            &["OpenOptions", "new"],
        ],
        allowed: |place, path| drives(place) || STORE_FILES.contains(&path),
        rule: "files are touched through the store's Disk, and in node, bin, transport and drivers",
        todo: "take a Disk, or the bytes",
    },
    Reach {
        what: "draws randomness",
        paths: &[&["getrandom"], &["OsRng"], &["rand"]],
        allowed: |place, _| drives(place),
        rule: "randomness is drawn only in node, bin, transport and the client's drivers",
        todo: "take the random bytes as a value",
    },
];

/// Whether a place of the library may reach outside.
fn drives(place: &Place) -> bool {
    let second = place.modules.get(1).map_or("", String::as_str);
    match place.modules.first().map_or("", String::as_str) {
        "node" | "transport" | "proxy" => true,
        "client" => DRIVERS.contains(&second),
        // The operator's end of the control socket.
        "service" => place.modules[1..] == ["control", "client"],
        _ => false,
    }
}

/// Clocks, threads, sockets, files and randomness below the floor that may have them.
/// Only the library is bound; binaries, tests and the load generator are not.
pub(crate) fn reaches(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, place) in library(tree) {
        if tree.is_test_file(&source.path) {
            continue;
        }
        for path in source.paths().iter().filter(|path| !source.in_test(path.offset)) {
            for reach in REACHES.iter().filter(|reach| !(reach.allowed)(&place, &source.path)) {
                if reach.paths.iter().any(|run| names(path, run)) {
                    findings.push(Finding {
                        file: source.path.clone(),
                        line: source.line(path.offset),
                        what: format!("`{}` {}", path.segments.join("::"), reach.what),
                        rule: reach.rule,
                        todo: reach.todo,
                    });
                }
            }
        }
    }
    findings
}

/// Whether the run of segments occurs in the path; a run of one only at its start.
fn names(path: &Named, run: &[&str]) -> bool {
    if run.len() == 1 {
        return path.segments[0] == run[0];
    }
    path.segments.windows(run.len()).any(|window| window == run)
}

/// Async code below floor 3.
pub(crate) fn async_below_floor_three(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (source, place) in library(tree) {
        if place.modules.first().and_then(|module| floor(module)).is_none_or(|floor| floor >= 3) {
            continue;
        }
        for word in ["async", "await", "tokio"] {
            findings.extend(source.words(word).map(|offset| Finding {
                file: source.path.clone(),
                line: source.line(offset),
                what: format!("`{word}`"),
                rule: "nothing below floor 3 is async",
                todo: "return a value that the floors above wait for",
            }));
        }
    }
    findings
}

/// `unsafe` outside of the named files, and blocks that name no invariant.
pub(crate) fn unguarded(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let named = UNSAFE_FILES.contains(&source.path.as_str());
        // `unsafe` in attributes of edition 2024 and the lint that lets it in count as well.
        let allows = source.words("unsafe_code").filter(|&at| !is_deny(source, at));
        let offsets: Vec<usize> = source.words("unsafe").chain(allows).collect();
        for offset in offsets {
            if !named {
                findings.push(Finding {
                    file: source.path.clone(),
                    line: source.line(offset),
                    what: "unsafe code".to_owned(),
                    rule: "`unsafe` lives only in the files named in tests/architecture/reach.rs",
                    todo: "do it safely, or move it into the file whose job it is",
                });
            } else if needs_reason(source, offset) && !has_reason(source, offset) {
                findings.push(Finding {
                    file: source.path.clone(),
                    line: source.line(offset),
                    what: "unsafe code without its invariant".to_owned(),
                    rule: "each unsafe block says `// SAFETY: <named-invariant>: <why it holds here>`",
                    todo: "name the invariant in hyphenated-words and say why it holds",
                });
            }
        }
    }
    findings
}

/// Whether `unsafe_code` at `at` stands in `deny(…)` or `forbid(…)`.
fn is_deny(source: &Source, at: usize) -> bool {
    let before = source.code[..at].trim_end();
    before.ends_with("deny(") || before.ends_with("forbid(")
}

/// Blocks and impls carry a reason; an `unsafe fn` is a promise of its caller.
fn needs_reason(source: &Source, at: usize) -> bool {
    let after = source.code[at..].strip_prefix("unsafe").map_or("", str::trim_start);
    after.starts_with('{') || after.starts_with("impl")
}

/// Whether the comment right above the statement names an invariant.
fn has_reason(source: &Source, at: usize) -> bool {
    // The statement may have begun a few lines before its `unsafe`.
    const STATEMENT: usize = 4;
    let before: Vec<&str> = source.text[..at].lines().map(str::trim_start).collect();
    let begins = before.iter().rposition(|line| line.starts_with("//")).unwrap_or(0);
    if before.len() - begins > STATEMENT {
        return false;
    }
    let comment = before[..=begins].iter().rev().take_while(|line| line.starts_with("//"));
    comment.filter_map(|line| line.strip_prefix("// SAFETY: ")).any(|reason| {
        reason.split_once(": ").is_some_and(|(names, _)| names.split(", ").all(is_invariant_name))
    })
}

/// Whether `name` is words joined by hyphens, like `verified-before-served`.
fn is_invariant_name(name: &str) -> bool {
    name.contains('-') && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The files of the library and where they stand, binaries left out.
fn library(tree: &Tree) -> impl Iterator<Item = (&Source, Place)> {
    tree.sources
        .iter()
        .map(|source| (source, Place::of(&source.path)))
        .filter(|(_, place)| place.krate == "src")
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_lines, expect_none};
    use super::*;

    #[test]
    fn clocks_threads_sockets_files_and_randomness_are_found() {
        let text = "use std::time::{Duration, Instant};\nfn a() { Instant::now(); }\n\
                    fn b() { std::thread::spawn(c); }\n\
                    use std::net::{IpAddr, UdpSocket};\nuse std::{\n    fs,\n    io,\n};\n\
                    fn d() { getrandom::fill(&mut x); }\nfn e() { let f = \"std::fs::read\"; } // std::fs\n\
                    fn g() { std::time::SystemTime::now(); }\n";
        let tree = Tree::of("src/engine/writer.rs", text);
        expect_lines(&reaches(&tree), &[2, 3, 4, 6, 9, 11]);
    }

    #[test]
    fn the_floors_that_may_reach_out_may() {
        let text = "fn a() { std::time::Instant::now(); std::fs::read(p); std::net::UdpSocket::bind(a); }\n";
        for path in ["src/node/serve.rs", "src/transport/udp.rs", "src/client/tls.rs", "src/bin/tekd.rs"] {
            expect_none(&reaches(&Tree::of(path, text)));
        }
        expect_lines(&reaches(&Tree::of("src/client/sync.rs", text)), &[1, 1, 1]);
        expect_lines(&reaches(&Tree::of("src/store/disk.rs", text)), &[1, 1]);
        expect_lines(&reaches(&Tree::of("src/store/journal.rs", "use std::fs::File;\n")), &[1]);
    }

    #[test]
    fn test_code_may_reach_out() {
        let text =
            "#[cfg(test)]\nmod tests {\n    fn a() { std::fs::read(p); }\n}\nfn b() { std::fs::read(p); }\n";
        expect_lines(&reaches(&Tree::of("src/engine/a.rs", text)), &[5]);
        let aside = Tree::of("src/engine/mod.rs", "#[cfg(test)]\nmod tests;\nmod plain;\n")
            .with("src/engine/tests.rs", "use std::fs;\n")
            .with("src/engine/plain.rs", "use std::fs;\n");
        let found = reaches(&aside);
        expect_lines(&found, &[1]);
        assert_eq!(found[0].file, "src/engine/plain.rs");
    }

    #[test]
    fn async_below_floor_three_is_found() {
        let text =
            "async fn a() {}\nfn b() { c.await; }\n// async is fine to mention\nuse tokio::sync::mpsc;\n";
        expect_lines(&async_below_floor_three(&Tree::of("src/engine/a.rs", text)), &[1, 2, 4]);
        expect_none(&async_below_floor_three(&Tree::of("src/transport/a.rs", text)));
    }

    #[test]
    fn unsafe_outside_its_files_and_without_a_reason_is_found() {
        let text =
            "#[allow(unsafe_code)]\nfn a() {\n    unsafe { b() }\n}\n#![deny(unsafe_code)]\n// unsafe\n";
        let mut lines: Vec<usize> =
            unguarded(&Tree::of("src/engine/a.rs", text)).iter().map(|f| f.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 3]);
        expect_lines(&unguarded(&Tree::of("src/store/map.rs", text)), &[3]);
        let vague = "// SAFETY: it is fine\nunsafe { b() }\n";
        expect_lines(&unguarded(&Tree::of("src/store/map.rs", vague)), &[2]);
        let named = "// SAFETY: mapping-outlives-readers, length-checked: the guard pins it\n\
                     unsafe { b() }\nunsafe fn c() {}\n";
        expect_none(&unguarded(&Tree::of("src/store/map.rs", named)));
    }
}
