//! Laws about the Cargo manifests: the lints that make the compiler a guard, and a reason
//! beside every dependency.

use super::tree::{Finding, Tree};

/// Lines that must stand in a section of a file, as they are.
const REQUIRED: [(&str, &str, &[&str]); 6] = [
    (
        "Cargo.toml",
        "[lints.rust]",
        &[
            "unsafe_code = \"deny\"",
            "missing_docs = \"warn\"",
            "unreachable_pub = \"warn\"",
            "unused_qualifications = \"warn\"",
        ],
    ),
    (
        "Cargo.toml",
        "[lints.clippy]",
        &[
            "dbg_macro = \"warn\"",
            "host_endian_bytes = \"warn\"",
            "todo = \"warn\"",
            "unimplemented = \"warn\"",
            "undocumented_unsafe_blocks = \"deny\"",
            "multiple_unsafe_ops_per_block = \"warn\"",
        ],
    ),
    ("Cargo.toml", "[profile.ci]", &["debug-assertions = true", "overflow-checks = true"]),
    ("loadtest/Cargo.toml", "[lints.rust]", &["unsafe_code = \"deny\""]),
    ("fuzz/Cargo.toml", "[lints.rust]", &["unsafe_code = \"deny\""]),
    ("rustfmt.toml", "", &["max_width = 110", "reorder_modules = false"]),
];

/// Lints, checks and format settings that are gone from the files that hold them.
pub(crate) fn missing_guards(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, section, lines) in REQUIRED {
        let text = tree.texts.iter().find(|text| text.path == file).map_or("", |text| text.text.as_str());
        let present: Vec<&str> = section_lines(text, section).map(|(_, line)| line).collect();
        let start = text.lines().position(|line| line == section).map_or(1, |index| index + 1);
        for line in lines.iter().filter(|line| !present.contains(line)) {
            findings.push(Finding {
                file: file.to_owned(),
                line: start,
                what: format!("`{line}` is missing from {section}"),
                rule: "the compiler, clippy and rustfmt guard what can be guarded",
                todo: "put the line back",
            });
        }
    }
    findings
}

/// Profiles of the fuzz targets that differ from the tests': then every crate is built twice.
pub(crate) fn profiles_that_differ(tree: &Tree) -> Vec<Finding> {
    let text =
        |path: &str| tree.texts.iter().find(|text| text.path == path).map_or("", |text| text.text.as_str());
    let settings = |path: &str, section: &str| -> Vec<String> {
        let lines = section_lines(text(path), section).map(|(_, line)| line);
        lines.filter(|line| line.contains('=') && !line.starts_with('#')).map(str::to_owned).collect()
    };
    let mut findings = Vec::new();
    for section in ["[profile.release]", "[profile.ci]"] {
        if settings("Cargo.toml", section) != settings("fuzz/Cargo.toml", section) {
            findings.push(Finding {
                file: "fuzz/Cargo.toml".to_owned(),
                line: text("fuzz/Cargo.toml").lines().position(|line| line == section).map_or(1, |at| at + 1),
                what: format!("{section} is not what it is in Cargo.toml"),
                rule: "fuzz targets share their dependencies with the tests' build",
                todo: "copy the section",
            });
        }
    }
    findings
}

/// Dependencies without a comment that says what they are for and who makes them.
pub(crate) fn dependencies_without_reason(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for text in tree.texts.iter().filter(|text| text.path.ends_with("Cargo.toml")) {
        let sections =
            text.text.lines().filter(|line| line.starts_with('[') && line.contains("dependencies"));
        for section in sections {
            for (number, line) in section_lines(&text.text, section) {
                let reason = line.split_once(" # ").map_or("", |(_, reason)| reason.trim());
                if line.contains('=') && !line.starts_with('#') && reason.len() < 5 {
                    findings.push(Finding {
                        file: text.path.clone(),
                        line: number,
                        what: format!("`{}` without a reason", line.split('=').next().unwrap_or("").trim()),
                        rule: "every dependency says on its line what it is for and who makes it",
                        todo: "write `# purpose (maker)` at the end of the line",
                    });
                }
            }
        }
    }
    findings
}

/// The lines of one section with their numbers; the section "" is the whole file.
fn section_lines<'a>(text: &'a str, section: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let whole = section.is_empty();
    lines
        .skip_while(move |(_, line)| !whole && *line != section)
        .skip(usize::from(!whole))
        .take_while(|(_, line)| !line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_lines, expect_none};
    use super::*;

    #[test]
    fn a_lint_that_is_gone_is_found() {
        let tree = Tree::of("rustfmt.toml", "max_width = 110\n");
        let missing: Vec<Finding> =
            missing_guards(&tree).into_iter().filter(|finding| finding.file == "rustfmt.toml").collect();
        expect_lines(&missing, &[1]);
        let elsewhere =
            Tree::of("loadtest/Cargo.toml", "[package]\nunsafe_code = \"deny\"\n\n[lints.rust]\na = 1\n");
        assert!(missing_guards(&elsewhere).iter().any(|f| f.file == "loadtest/Cargo.toml" && f.line == 4));
    }

    #[test]
    fn a_profile_that_differs_is_found() {
        let tree = |fuzz: &str| {
            let main = "[profile.release]\na = 1\n\n# why\n[profile.ci]\nb = 2\n";
            Tree::of("Cargo.toml", main).with("fuzz/Cargo.toml", fuzz)
        };
        expect_none(&profiles_that_differ(&tree(
            "[profile.release]\na = 1\n[profile.ci]\nb = 2\n[profile.x]\n",
        )));
        expect_lines(&profiles_that_differ(&tree("[profile.release]\na = 1\n[profile.ci]\nb = 3\n")), &[3]);
    }

    #[test]
    fn a_dependency_without_reason_is_found() {
        let text = "[package]\nname = \"a\"\n[dependencies]\n\
                    hex = \"0.4\" # ids as text (KokaKiwi)\nsha2 = \"0.11\"\n\
                    [dev-dependencies]\n# a line\nproptest = \"1\" #\n";
        expect_lines(&dependencies_without_reason(&Tree::of("x/Cargo.toml", text)), &[5, 8]);
        expect_none(&dependencies_without_reason(&Tree::of("x/Cargo.toml", "[package]\nversion = \"1\"\n")));
    }
}
