//! The operator and client tool.
fn main() {}
