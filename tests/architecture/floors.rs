//! The floors: who may import whom, between modules and inside a folder.

use super::scan::Source;
use super::tree::{Finding, Place, Tree};

/// Every top-level module and its floor.
const FLOORS: [(&str, u8); 12] = [
    ("time", 0),
    ("wire", 0),
    ("authority", 1),
    ("release", 1),
    ("store", 1),
    ("gaen", 1),
    ("engine", 2),
    ("transport", 3),
    ("client", 3),
    ("service", 3),
    ("node", 4),
    ("proxy", 4),
];

/// Modules of one floor that know each other all the same: `wire` puts times on the wire.
const NEIGHBOURS: [(&str, &str); 1] = [("wire", "time")];

/// The floor of a top-level module.
pub(crate) fn floor(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// A path of a file, made absolute from the root of its crate.
struct Reference {
    offset: usize,
    /// The module the path is written in.
    from: Vec<String>,
    /// What it names.
    to: Vec<String>,
}

/// Imports up or sideways between floors, and modules without a floor.
pub(crate) fn imports_between_floors(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let place = Place::of(&source.path);
        if place.krate != "src" {
            continue;
        }
        let Some(own) = place.modules.first() else { continue };
        let Some(own_floor) = floor(own) else {
            findings.push(Finding {
                file: source.path.clone(),
                line: 1,
                what: format!("module `{own}` has no floor"),
                rule: "every top-level module stands on a floor",
                todo: "move it into a module that has one, or give it one in tests/architecture/floors.rs",
            });
            continue;
        };
        for reference in references(source, &place) {
            let Some(other) = reference.to.first() else { continue };
            let Some(other_floor) = floor(other) else { continue };
            let neighbour = NEIGHBOURS.contains(&(own.as_str(), other.as_str()));
            if other != own && other_floor >= own_floor && !neighbour {
                let way = if other_floor == own_floor { "sideways" } else { "upwards" };
                findings.push(Finding {
                    file: source.path.clone(),
                    line: source.line(reference.offset),
                    what: format!(
                        "`{own}` (floor {own_floor}) imports {way} from `{other}` (floor {other_floor})"
                    ),
                    rule: "a module imports only lower floors",
                    todo: "pass a value or a trait down from the floor above that knows both",
                });
            }
        }
    }
    findings
}

/// `lib.rs` lists its modules from the lowest floor to the highest.
pub(crate) fn order_of_lib(tree: &Tree) -> Vec<Finding> {
    let Some(lib) = tree.source("src/lib.rs") else { return Vec::new() };
    let mut findings = Vec::new();
    let mut highest = 0;
    for module in lib.modules() {
        let Some(floor) = floor(&module.name) else { continue };
        if floor < highest {
            findings.push(Finding {
                file: lib.path.clone(),
                line: lib.line(module.offset),
                what: format!("`{}` (floor {floor}) stands below a module of floor {highest}", module.name),
                rule: "the order of modules in lib.rs is the order of floors",
                todo: "move the line up to its floor",
            });
        }
        highest = highest.max(floor);
    }
    findings
}

/// Inside a folder a file imports only files whose `mod` line stands above its own.
pub(crate) fn order_inside_folders(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let place = Place::of(&source.path);
        for reference in references(source, &place) {
            let shared = place.modules.iter().zip(&reference.to).take_while(|(a, b)| a == b).count();
            let between_floors = place.krate == "src" && shared == 0;
            let (Some(own), Some(named)) = (place.modules.get(shared), reference.to.get(shared)) else {
                continue;
            };
            if between_floors {
                continue;
            }
            let folder = Place { krate: place.krate.clone(), modules: place.modules[..shared].to_vec() };
            let Some(parent) = tree.sources.iter().find(|other| Place::of(&other.path) == folder) else {
                continue;
            };
            let Some(own_rank) = rank(parent, own) else { continue };
            let below = children_named(parent, named).into_iter().find(|&rank| rank > own_rank);
            if let Some(rank) = below {
                let other = &parent.modules()[rank].name;
                let item =
                    if other == named { format!("`{other}`") } else { format!("`{named}` of `{other}`") };
                findings.push(Finding {
                    file: source.path.clone(),
                    line: source.line(reference.offset),
                    what: format!("`{own}` imports {item}, which {} declares below it", parent.path),
                    rule: "inside a folder the order of `mod` lines is the order of dependence",
                    todo: "turn the import round, put what both need into a file above, or reorder the lines",
                });
            }
        }
    }
    findings
}

/// The position of a child among the `mod` lines of its folder.
fn rank(parent: &Source, child: &str) -> Option<usize> {
    parent.modules().iter().position(|module| module.name == child)
}

/// The children of a folder that a name means: the child itself, the one that a `use`
/// line of the folder takes the name from, or all of those for a glob.
fn children_named(parent: &Source, name: &str) -> Vec<usize> {
    if let Some(rank) = rank(parent, name) {
        return vec![rank];
    }
    parent
        .paths()
        .iter()
        .filter_map(|path| {
            let start = usize::from(path.segments[0] == "self");
            let rank = rank(parent, path.segments.get(start)?)?;
            let leaf = path.segments.last()?;
            (leaf == name || name == "*").then_some(rank)
        })
        .collect()
}

/// Every `crate::`, `self::` and `super::` path of a file, absolute.
fn references(source: &Source, place: &Place) -> Vec<Reference> {
    let inline: Vec<_> = source.modules().into_iter().filter(|module| !module.body.is_empty()).collect();
    let mut found = Vec::new();
    for path in source.paths() {
        let mut from = place.modules.clone();
        from.extend(inline.iter().filter(|m| m.body.contains(&path.offset)).map(|m| m.name.clone()));
        let mut to = match path.segments[0].as_str() {
            "crate" => Vec::new(),
            "self" | "super" => from.clone(),
            _ => continue,
        };
        let mut rest = path.segments.as_slice();
        while let Some(first) = rest.first() {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => {
                    to.pop();
                }
                _ => break,
            }
            rest = &rest[1..];
        }
        to.extend(rest.iter().cloned());
        found.push(Reference { offset: path.offset, from, to });
    }
    // Inside an inline module `super::x` is the file's own `x`, which needs no import.
    found.retain(|reference| !reference.to.is_empty() && reference.to != reference.from);
    found
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_lines, expect_none};
    use super::*;

    #[test]
    fn imports_up_and_sideways_are_found() {
        let text = "use crate::wire::Header;\nuse crate::{time, node::Clock};\n\
                    fn f() { crate::release::apply(); }\n\
                    // crate::node\nconst A: &str = \"crate::node::B\";\n\
                    use super::super::client::{self, Sync};\n";
        let tree = Tree::of("src/store/disk.rs", text);
        expect_lines(&imports_between_floors(&tree), &[2, 3, 6, 6]);
        expect_lines(&imports_between_floors(&Tree::of("src/extra.rs", "use crate::wire;\n")), &[1]);
    }

    #[test]
    fn wire_may_know_times_and_time_may_not_know_the_wire() {
        expect_none(&imports_between_floors(&Tree::of("src/wire/key.rs", "use crate::time::Interval;\n")));
        expect_lines(&imports_between_floors(&Tree::of("src/time.rs", "use crate::wire::Key;\n")), &[1]);
        expect_none(&imports_between_floors(&Tree::of("src/bin/tekd.rs", "use crate::node::X;\n")));
    }

    #[test]
    fn modules_of_lib_out_of_order_are_found() {
        expect_lines(
            &order_of_lib(&Tree::of("src/lib.rs", "mod time;\nmod engine;\nmod store;\nmod node;\n")),
            &[3],
        );
    }

    #[test]
    fn imports_from_a_file_declared_below_are_found() {
        let folder =
            "mod low;\nmod mid;\nmod high;\npub use low::Low;\npub use high::{High, other as Other};\n";
        let text = "use super::low::A;\nuse super::high::B;\nuse super::Low;\nuse super::High;\n\
                    use crate::store::high::C;\n\
                    mod deep {\n    use super::super::high::D;\n    use super::*;\n}\n";
        let tree = Tree::of("src/store/mod.rs", folder).with("src/store/mid.rs", text);
        expect_lines(&order_inside_folders(&tree), &[2, 4, 5, 7]);
    }

    #[test]
    fn order_holds_in_nested_folders_and_binaries() {
        let nested = Tree::of("src/store/mod.rs", "mod journal;\nmod snapshot;\n")
            .with("src/store/journal/mod.rs", "mod group;\nmod segment;\n")
            .with("src/store/journal/group.rs", "use super::segment::A;\nuse crate::store::snapshot::B;\n");
        expect_lines(&order_inside_folders(&nested), &[1, 2]);
        let binary = Tree::of("src/bin/tekctl/main.rs", "mod output;\nmod keys;\n")
            .with("src/bin/tekctl/output.rs", "use crate::keys::List;\n")
            .with("src/bin/tekctl/keys.rs", "use crate::output::Table;\n");
        expect_lines(&order_inside_folders(&binary), &[1]);
    }
}
