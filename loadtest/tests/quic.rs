//! What is measured over QUIC, end to end and small: real processes, every way, every answer checked.

use std::path::Path;
use std::time::Duration;

use tekd_load::{QuicCompareOptions, QuicWay, compare_quic, default_newest_day};

#[test]
fn tekd_and_the_echo_of_quic_answer_in_turn_and_without_a_mistake() {
    let tekd = Path::new(env!("CARGO_BIN_EXE_tekd-load")).with_file_name("tekd");
    if !tekd.is_file() {
        eprintln!("skipped: there is no {} to compare with; build the workspace", tekd.display());
        return;
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let options = QuicCompareOptions {
        ways: vec![QuicWay::Streams, QuicWay::Datagrams, QuicWay::Handshakes],
        keys: 2000,
        seed: 3,
        newest_day: default_newest_day(now.as_secs()),
        length: Duration::from_millis(150),
        runs: 2,
        tekd,
        own: env!("CARGO_BIN_EXE_tekd-load").into(),
    };
    let comparison = compare_quic(&options).unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<&str> = comparison.rows.iter().map(|row| row.name).collect();
    assert_eq!(names, ["streams", "datagrams", "handshakes"]);
    for row in &comparison.rows {
        assert!(row.wrong == 0 && row.tekd > 0.0 && row.echo > 0.0, "{row:?}");
        assert!(row.ratio_min <= row.ratio && row.ratio <= row.ratio_max, "{row:?}");
    }
    assert_eq!(comparison.to_string().lines().count(), 5);
}
