//! `doctor`: whether the machine is as tekd wants it, and what to do where it is not.

use std::path::Path;

use serde_json::{Value, json};
use tekd::node::read_machine;
use tekd::service::control::Exit;
use tekd::service::doctor::{Check, State, checks};

use crate::args::Global;
use crate::output::{Done, Outcome};
use crate::tables::counted;

/// Reads this machine and judges it. Exit code 5 if something is advised.
pub(crate) fn run(global: &Global) -> Done {
    let checks = checks(&read_machine(Path::new("/"), Some(&global.data)));
    Ok(told(&checks))
}

fn told(checks: &[Check]) -> Outcome {
    let count = |state| checks.iter().filter(|check| check.state == state).count() as u64;
    let [ok, advised, unknown] = [State::Ok, State::Advised, State::Unknown].map(count);
    let rows: Vec<Value> = checks.iter().map(row).collect();
    let document = json!({ "ok": ok, "advised": advised, "unknown": unknown, "checks": rows });
    let mut text = String::new();
    for check in checks {
        text += &format!("{:<8} {:<28} {}", check.state.name(), check.name, check.found);
        if check.state == State::Advised {
            text += &format!(
                "; wanted: {}\n{:9}why: {}\n{:9}do:  {}",
                check.wanted, "", check.why, "", check.todo
            );
        }
        text.push('\n');
    }
    text += &format!(
        "{} of {} hold, {advised} advised, {unknown} unknown",
        ok,
        counted(checks.len() as u64, "check")
    );
    let mut outcome = Outcome::new(document, text);
    if advised > 0 {
        outcome.exit = Exit::Degraded;
    }
    outcome
}

fn row(check: &Check) -> Value {
    json!({
        "name": check.name,
        "state": check.state.name(),
        "found": check.found,
        "wanted": check.wanted,
        "why": check.why,
        "todo": check.todo,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: State) -> Check {
        let (found, wanted) = ("1".to_owned(), "at least 2".to_owned());
        Check { name: "queues".to_owned(), state, found, wanted, why: "cores idle", todo: "tuning/nic" }
    }

    #[test]
    fn what_is_advised_says_what_to_do_and_exits_with_5() {
        let outcome = told(&[check(State::Ok), check(State::Advised), check(State::Unknown)]);
        assert_eq!(outcome.exit, Exit::Degraded);
        let document = outcome.document.unwrap();
        assert_eq!(
            (&document["ok"], &document["advised"], &document["unknown"]),
            (&json!(1), &json!(1), &json!(1))
        );
        assert_eq!(document["checks"][1]["todo"], "tuning/nic");
        assert_eq!(outcome.text.matches("do:  tuning/nic").count(), 1);
        assert!(outcome.text.ends_with("1 of 3 checks hold, 1 advised, 1 unknown"), "{}", outcome.text);
    }

    #[test]
    fn what_cannot_be_told_is_no_advice() {
        let outcome = told(&[check(State::Ok), check(State::Unknown)]);
        assert_eq!(outcome.exit, Exit::Ok);
        assert!(!outcome.text.contains("do:"));
    }
}
