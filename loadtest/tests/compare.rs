//! The comparison end to end, small: real processes, alternated, ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tekd_load::{CompareError, CompareOptions, ServerError, compare, default_newest_day};

fn options(tekd: PathBuf) -> CompareOptions {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    CompareOptions {
        keys: 2000,
        seed: 3,
        newest_day: default_newest_day(now.as_secs()),
        length: Duration::from_millis(150),
        runs: 2,
        hit_ratio: 0.5,
        tekd,
        own: env!("CARGO_BIN_EXE_tekd-load").into(),
    }
}

#[test]
fn tekd_and_the_echo_answer_in_turn_and_without_a_mistake() {
    let tekd = Path::new(env!("CARGO_BIN_EXE_tekd-load")).with_file_name("tekd");
    if !tekd.is_file() {
        eprintln!("skipped: there is no {} to compare with; build the workspace", tekd.display());
        return;
    }
    let comparison = compare(&options(tekd)).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = comparison.rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["echo", "tekd-2k"]);
    for row in &comparison.rows {
        assert_eq!(row.wrong, 0, "{row:?}");
        assert!(row.qps > 0.0 && row.qps_min <= row.qps && row.qps <= row.qps_max, "{row:?}");
        assert!(row.ratio > 0.0 && row.server_busy <= 1.5, "{row:?}");
    }
    assert_eq!(comparison.rows[0].ratio, 1.0);
    let text = comparison.to_string();
    assert!(text.lines().count() == 4 && text.contains("tekd-2k"), "{text}");
}

#[test]
fn a_server_that_does_not_start_ends_the_comparison() {
    let refused = compare(&options("/bin/false".into()));
    assert!(matches!(refused, Err(CompareError::Server(ServerError::Ended { .. }))), "{refused:?}");
}
