//! What is measured over QUIC, end to end and small: real processes, every way, every answer checked.

use std::path::Path;
use std::time::Duration;

use tekd_load::{QuicCompareOptions, QuicWay, compare_quic, default_newest_day, keep};

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
        date: "2026-12-01T10:20:30Z".to_owned(),
        command: "tekd-load compare-quic".to_owned(),
    };
    let comparison = compare_quic(&options).unwrap_or_else(|e| panic!("{e}"));
    let ways: Vec<&str> = comparison.also.iter().map(|part| part.course.as_str()).collect();
    assert_eq!(ways, ["streams", "datagrams", "handshakes"]);
    for part in &comparison.also {
        let names: Vec<&str> = part.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["echo-quic", "tekd-2k"]);
        for row in &part.rows {
            let numbers = row.numbers.as_ref().expect("it took part");
            assert!(numbers.wrong == 0 && numbers.qps > 0.0 && numbers.ratios.len() == 2, "{row:?}");
            let busy = [Some(numbers.server_busy), numbers.echo_busy];
            let saturated = busy.into_iter().flatten().all(|busy| busy >= 0.97);
            assert_eq!((row.counts, row.note.is_none()), (saturated, saturated), "{row:?}");
        }
    }
    assert_eq!(comparison.idle, None, "nobody asked for it");
    let dir = tempfile::tempdir().expect("a directory");
    let page = keep(dir.path(), "compare-quic", &comparison).expect("written");
    let text = std::fs::read_to_string(&page).expect("a page");
    assert!(page.ends_with("compare-quic-2026-12-01T102030.md") && text.contains("tekd-2k"), "{text}");
    assert!(text.contains("core was less than 97 % busy"), "{text}");
    assert!(!comparison.has_wrong());
}
