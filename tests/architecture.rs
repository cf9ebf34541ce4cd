//! The laws of the house, checked on the sources as text.
//!
//! Each law is a function from the tree of files to findings. Here it is run on the
//! repository and has to find nothing; beside its definition it is run on small bad
//! examples and has to find exactly those, so no law can pass by being blind. What a lint
//! of the compiler or of clippy can check is left to it; that those lints are on is
//! checked here.

#[path = "architecture/scan.rs"]
mod scan;
#[path = "architecture/tree.rs"]
mod tree;
#[path = "architecture/floors.rs"]
mod floors;
#[path = "architecture/reach.rs"]
mod reach;
#[path = "architecture/text.rs"]
mod text;
#[path = "architecture/manifest.rs"]
mod manifest;

use tree::{Finding, Tree, expect_none};

/// Runs one law on the repository.
#[track_caller]
fn obeyed(law: fn(&Tree) -> Vec<Finding>) {
    let mut findings = law(&Tree::read());
    findings.dedup();
    expect_none(&findings);
}

#[test]
fn modules_import_only_lower_floors() {
    obeyed(floors::imports_between_floors);
}

#[test]
fn lib_lists_modules_in_the_order_of_floors() {
    obeyed(floors::order_of_lib);
}

#[test]
fn folders_list_files_in_the_order_of_dependence() {
    obeyed(floors::order_inside_folders);
}

#[test]
fn clocks_threads_sockets_files_and_randomness_are_where_the_floor_says() {
    obeyed(reach::reaches);
}

#[test]
fn nothing_below_floor_three_is_async() {
    obeyed(reach::async_below_floor_three);
}

#[test]
fn unsafe_code_is_in_its_files_and_names_its_invariant() {
    obeyed(reach::unguarded);
}

#[test]
fn files_and_functions_are_short() {
    obeyed(text::long_files);
    obeyed(text::long_functions);
    obeyed(text::wide_lines);
}

#[test]
fn files_say_what_they_are_for_and_are_named_after_it() {
    obeyed(text::missing_purpose);
    obeyed(text::empty_names);
}

#[test]
fn nothing_unfinished_is_merged() {
    obeyed(text::unfinished_work);
}

#[test]
fn text_is_clean() {
    obeyed(text::stray_space);
}

#[test]
fn the_repository_stands_alone() {
    obeyed(text::machine_paths);
    obeyed(text::outside_paths);
}

#[test]
fn the_lints_are_on() {
    obeyed(manifest::missing_guards);
}

#[test]
fn fuzz_targets_share_the_build_of_the_tests() {
    obeyed(manifest::profiles_that_differ);
}

#[test]
fn every_dependency_has_a_reason() {
    obeyed(manifest::dependencies_without_reason);
}
