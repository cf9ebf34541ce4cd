//! The documents against the repository: links lead somewhere, and clauses of the
//! specification that code or text cites exist.
//!
//! A clause is a heading `## 3.2 Title` or a paragraph that begins `**3.2.1**` in
//! `protocol-spec/`. Code cites it as `spec 3.2.1`; lists and ranges may follow:
//! `spec 3.2.1, 3.2.4`, `spec 5.6.2–5.6.5`. Inside the specification the bare number is
//! enough.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// A clause number, `[3, 2, 1]`.
type Number = Vec<u32>;

/// Where something stands, for messages: `file:line`.
type Place = String;

fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Every file under `dir` with this ending and its text; none when there is no such folder.
fn files(dir: &str, ending: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(path) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&path) else { continue };
        for path in entries.map(|entry| entry.expect("a directory entry can be read").path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if name.ends_with(ending) && path.is_file() {
                let relative = path.strip_prefix(root()).expect("the walk began at the root");
                let text = std::fs::read_to_string(&path).expect("documents and sources are UTF-8");
                found.push((relative.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The lines of a document that are prose, with their numbers: fenced blocks left out and
/// code spans blanked.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let spans = line.split('`').enumerate();
            let kept: Vec<&str> = spans.map(|(i, part)| if i % 2 == 0 { part } else { "" }).collect();
            lines.push((index + 1, kept.join("`")));
        }
    }
    lines
}

/// The targets of `[text](target)` and of `[name]: target` in a line.
fn targets(line: &str) -> Vec<&str> {
    let mut found: Vec<&str> =
        line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()).collect();
    if line.starts_with('[')
        && let Some((_, target)) = line.split_once("]: ")
    {
        found.push(target.trim());
    }
    found
}

/// The anchors that the headings of a document make, as GitHub writes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !fenced) else { continue };
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        let base: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let numbered = (1..).map(|n| format!("{base}-{n}"));
        let free = std::iter::once(base.clone()).chain(numbered).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

/// Links of one document that lead nowhere.
fn dead_links(path: &str, text: &str, read: &dyn Fn(&Path) -> Option<String>) -> Vec<String> {
    let mut dead = Vec::new();
    for (number, line) in prose(text) {
        for target in targets(&line) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, a)| (file, Some(a)));
            let here = Path::new(path).parent().unwrap_or(Path::new("")).join(file);
            let linked = if file.is_empty() { Some(text.to_owned()) } else { read(&here) };
            let fault = match (linked, anchor) {
                (None, _) => "does not exist",
                (Some(other), Some(anchor)) if !anchors(&other).contains(anchor) => "has no such heading",
                _ => continue,
            };
            dead.push(format!(
                "{path}:{number}: `{target}` {fault}: correct the link or write what it means"
            ));
        }
    }
    dead
}

/// The text behind a link within the repository; a folder is empty text.
fn behind(path: &Path) -> Option<String> {
    let mut depth = 0_i32;
    for part in path.components() {
        depth += if part == Component::ParentDir { -1 } else { 1 };
        if depth < 0 {
            return None;
        }
    }
    let path = root().join(path);
    let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(path).ok()? };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number at the start of `text`, when it has two parts or more, and what follows.
fn number(text: &str) -> Option<(Number, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let digits = text[..end].trim_end_matches('.');
    let parts: Option<Number> = digits.split('.').map(|part| part.parse().ok()).collect();
    parts.filter(|parts| parts.len() >= 2).map(|parts| (parts, &text[digits.len()..]))
}

fn show(number: &[u32]) -> String {
    number.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// A clause and where it stands.
#[derive(Debug)]
struct Clause {
    place: Place,
    binding: bool,
}

/// All clauses of the specification; a number given twice is in the second list.
fn clauses(pages: &[(String, String)]) -> (BTreeMap<Number, Clause>, Vec<String>) {
    let mut found: BTreeMap<Number, Clause> = BTreeMap::new();
    let mut twice = Vec::new();
    for (path, text) in pages {
        let mut current: Option<Number> = None;
        for (line_number, line) in prose(text) {
            let bold = line.strip_prefix("**").and_then(number).filter(|(_, rest)| rest.starts_with("**"));
            let heading =
                line.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()).and_then(number);
            if let Some((number, _)) = bold.or(heading) {
                let place = format!("{path}:{line_number}");
                if let Some(first) = found.get(&number) {
                    twice.push(format!("{place}: clause {} is also at {}", show(&number), first.place));
                }
                found.insert(number.clone(), Clause { place, binding: false });
                current = Some(number);
            }
            if let Some(clause) = current.as_ref().and_then(|number| found.get_mut(number)) {
                clause.binding |= line.contains("MUST");
            }
        }
    }
    (found, twice)
}

/// The numbers cited in a line of code, ranges spread out over the clauses there are.
fn cited(line: &str, clauses: &BTreeMap<Number, Clause>) -> Vec<Number> {
    let mut found = Vec::new();
    for word in ["spec ", "clause ", "clauses "] {
        for (at, _) in line.match_indices(word) {
            if line[..at].chars().next_back().is_some_and(char::is_alphanumeric) {
                continue;
            }
            let mut rest = &line[at + word.len()..];
            while let Some((next, after)) = number(rest) {
                if let Some((last, beyond)) =
                    ["–", "-"].iter().find_map(|dash| number(after.strip_prefix(dash)?))
                {
                    found.extend(clauses.range(next.clone()..last.clone()).map(|(number, _)| number.clone()));
                    found.extend([next, last]);
                    rest = beyond;
                } else {
                    found.push(next);
                    rest = after;
                }
                rest = [", ", " and ", " or "].iter().find_map(|join| rest.strip_prefix(join)).unwrap_or("");
            }
        }
    }
    found
}

/// The three-part numbers that a line of the specification mentions, other than those of
/// other documents, which carry a `§`.
fn mentioned(line: &str) -> Vec<Number> {
    let mut found = Vec::new();
    let mut before = ' ';
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        if c.is_ascii_digit()
            && !before.is_alphanumeric()
            && !['.', '§', '-'].contains(&before)
            && let Some((number, rest)) = number(&line[at..])
        {
            at = line.len() - rest.len();
            before = '0';
            found.extend((number.len() == 3).then_some(number));
            continue;
        }
        before = c;
        at += c.len_utf8();
    }
    found
}

/// Citations of clauses that do not exist.
fn wrong_citations(files: &[(String, String)], clauses: &BTreeMap<Number, Clause>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in files {
        for (index, line) in text.lines().enumerate() {
            for number in cited(line, clauses).iter().filter(|number| !clauses.contains_key(*number)) {
                wrong.push(format!("{path}:{}: there is no clause {}", index + 1, show(number)));
            }
        }
    }
    wrong
}

#[track_caller]
fn expect_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The pages of the specification; while there are none, says what is not checked.
fn pages() -> Vec<(String, String)> {
    let pages = files("protocol-spec", ".md");
    if pages.is_empty() {
        println!("skipped: there is no protocol-spec/ to compare with");
    }
    pages
}

/// What may cite clauses.
fn citing() -> Vec<(String, String)> {
    let mut citing = Vec::new();
    for (dir, ending) in [
        ("src", ".rs"),
        ("loadtest", ".rs"),
        ("benches", ".rs"),
        ("fuzz", ".rs"),
        ("tests", ".rs"),
        ("protocol-spec", ".py"),
    ] {
        citing.extend(files(dir, ending));
    }
    citing.retain(|(path, _)| path != "tests/documents.rs");
    citing
}

#[test]
fn relative_links_resolve() {
    let documents: Vec<(String, String)> = files("", ".md");
    assert!(!documents.is_empty(), "there is no document at all");
    let dead: Vec<String> =
        documents.iter().flat_map(|(path, text)| dead_links(path, text, &behind)).collect();
    expect_none(&dead);
}

#[test]
fn clauses_have_one_place_and_refer_to_clauses() {
    let pages = pages();
    let (clauses, mut faults) = clauses(&pages);
    for (path, text) in &pages {
        for (line_number, line) in prose(text) {
            for number in mentioned(&line).iter().filter(|number| !clauses.contains_key(*number)) {
                faults.push(format!("{path}:{line_number}: there is no clause {}", show(number)));
            }
        }
    }
    expect_none(&faults);
}

#[test]
fn cited_clauses_exist() {
    let pages = pages();
    if pages.is_empty() {
        return;
    }
    let (clauses, _) = clauses(&pages);
    expect_none(&wrong_citations(&citing(), &clauses));
}

/// Says which binding clauses no code and no test cites. A report, not a law: run with
/// `--nocapture` to read it.
#[test]
fn report_of_binding_clauses_nobody_cites() {
    let pages = pages();
    let (clauses, _) = clauses(&pages);
    let binding: Vec<&Number> = clauses.iter().filter(|(_, clause)| clause.binding).map(|(n, _)| n).collect();
    let mut used = BTreeSet::new();
    for (_, text) in citing() {
        used.extend(text.lines().flat_map(|line| cited(line, &clauses)));
    }
    let mut table: BTreeMap<&str, (usize, Vec<String>)> = BTreeMap::new();
    for number in binding.iter().copied() {
        let place = &clauses[number].place;
        let page = place.rsplit_once(':').map_or(place.as_str(), |(page, _)| page);
        let row = table.entry(page).or_default();
        row.0 += 1;
        if !used.contains(number) {
            row.1.push(show(number));
        }
    }
    println!("{:<34} {:>5} {:>8}  nobody cites", "page", "MUST", "uncited");
    for (page, (musts, uncited)) in &table {
        println!("{page:<34} {musts:>5} {:>8}  {}", uncited.len(), uncited.join(" "));
    }
    let counted: usize = table.values().map(|(musts, _)| musts).sum();
    assert_eq!(counted, binding.len(), "every binding clause is in the table once");
}

#[test]
fn dead_links_are_found() {
    let read = |path: &Path| (path == Path::new("a/there.md")).then(|| "# One two\n## One two\n".to_owned());
    let text = "[x](there.md) [x](gone.md)\n[x](https://example.org) `[x](code.md)`\n\
                ```\n[x](fenced.md)\n```\n\
                [x](there.md#one-two-1) [x](there.md#three)\n# Here\n[x](#here) [x](#away)\n[y]: lost.md\n";
    let dead = dead_links("a/b.md", text, &read);
    let places: Vec<&str> = dead.iter().filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(places, ["gone.md", "there.md#three", "#away", "lost.md"], "{dead:?}");
    assert!(behind(Path::new("../outside.md")).is_none());
}

#[test]
fn wrong_clause_numbers_are_found() {
    let page = "# 1 Frame\n## 1.2 Parts\n**1.2.1** One MUST\nbe.\n\n**1.2.2** Two, see 1.2.9 and §7.7.7.\n\
                **1.2.3** Three MUST. (1.2.1)\n**1.2.3** Again.\n";
    let pages = [("p.md".to_owned(), page.to_owned())];
    let (clauses, twice) = clauses(&pages);
    assert_eq!(twice.len(), 1);
    assert_eq!(clauses.keys().map(|n| show(n)).collect::<Vec<_>>(), ["1.2", "1.2.1", "1.2.2", "1.2.3"]);
    assert!(clauses[&vec![1, 2, 1]].binding && !clauses[&vec![1, 2, 2]].binding);
    assert_eq!(mentioned("**1.2.2** Two, see 1.2.9 and §7.7.7, 10.0.0.1."), [vec![1, 2, 2], vec![1, 2, 9]]);

    let code = "// spec 1.2.1, 1.2.8 and 1.2\n// file clauses 1.2.1–1.2.3\n\
                // (spec 3.1)\n// respec 9.9.9\n";
    let wrong = wrong_citations(&[("a.rs".to_owned(), code.to_owned())], &clauses);
    assert_eq!(wrong, ["a.rs:1: there is no clause 1.2.8", "a.rs:3: there is no clause 3.1"]);
    assert!(cited("clauses 1.2.1–1.2.3", &clauses).contains(&vec![1, 2, 2]));
}
