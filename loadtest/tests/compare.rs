//! The comparison end to end, small: real processes, alternated, ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tekd_load::{
    CompareError, CompareOptions, Comparison, Course, Peer, PeerError, Row, ServerError, compare,
    default_newest_day, keep,
};

fn options(tekd: PathBuf, peers: &[Peer]) -> CompareOptions {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    CompareOptions {
        peers: peers.to_vec(),
        keys: vec![2000, 300],
        xdp: false,
        names: 500,
        courses: vec![
            Course::Full,
            Course::Keys(16),
            Course::Train(8),
            Course::Outstanding(1),
            Course::Rate(500),
        ],
        seed: 3,
        newest_day: default_newest_day(now.as_secs()),
        length: Duration::from_millis(150),
        runs: 2,
        hit_ratio: 0.5,
        spin: Duration::from_micros(20),
        data_cache: None,
        tekd,
        own: env!("CARGO_BIN_EXE_tekd-load").into(),
        date: "2026-12-01T10:20:30Z".to_owned(),
        command: "tekd-load compare".to_owned(),
    }
}

/// The server beside the load generator; `None` if it is not built, which is said.
fn tekd() -> Option<PathBuf> {
    let tekd = Path::new(env!("CARGO_BIN_EXE_tekd-load")).with_file_name("tekd");
    if tekd.is_file() {
        return Some(tekd);
    }
    eprintln!("skipped: there is no {} to compare with; build the workspace", tekd.display());
    None
}

fn names(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| row.name.as_str()).collect()
}

/// Every answer was right, and every number is one.
fn sound(row: &Row) {
    let numbers = row.numbers.as_ref().unwrap_or_else(|| panic!("{row:?}"));
    assert_eq!(numbers.wrong, 0, "{row:?}");
    assert!(numbers.qps > 0.0 && numbers.qps_min <= numbers.qps && numbers.qps <= numbers.qps_max, "{row:?}");
    let ratios = [&numbers.ratios, &numbers.p50_ratios, &numbers.p90_ratios];
    assert!(ratios.iter().all(|ratios| ratios.len() == 2 && ratios.iter().all(|r| *r > 0.0)), "{row:?}");
}

#[test]
fn all_servers_answer_in_turn_on_every_course_and_without_a_mistake() {
    let Some(tekd) = tekd() else { return };
    let options = options(tekd, &[Peer::Echo]);
    let comparison = compare(&options).unwrap_or_else(|e| panic!("{e}"));
    let all = ["echo", "tekd-2k", "tekd-300"];
    assert_eq!(names(&comparison.rows), all);
    let courses: Vec<&str> = comparison.also.iter().map(|part| part.course.as_str()).collect();
    assert_eq!(courses, ["keys-16", "train-8", "outstanding-1", "rate-500"]);
    for part in &comparison.also {
        assert_eq!(names(&part.rows), all);
    }
    comparison.rows.iter().chain(comparison.also.iter().flat_map(|part| &part.rows)).for_each(sound);
    let echo = comparison.rows[0].numbers.as_ref().expect("it took part");
    assert_eq!((echo.ratio, &echo.ratios[..]), (Some(1.0), &[1.0, 1.0][..]));
    kept(&comparison);
}

/// Page, numbers and chart are written and agree with what was found.
fn kept(comparison: &Comparison) {
    let dir = tempfile::tempdir().expect("a directory");
    let page = keep(&dir.path().join("results"), "compare", comparison).expect("written");
    assert!(page.ends_with("results/compare-2026-12-01T102030.md"), "{}", page.display());
    let read = |end: &str| std::fs::read_to_string(page.with_extension(end)).expect("written");
    let json: serde_json::Value = serde_json::from_str(&read("json")).expect("JSON");
    assert_eq!(json["rows"][1]["name"], "tekd-2k");
    assert_eq!(json["rows"][1]["qps"].as_f64(), comparison.rows[1].numbers.as_ref().map(|n| n.qps));
    let chart = read("svg");
    assert!(chart.starts_with("<svg ") && chart.matches(">tekd-300<").count() == 5, "{chart}");
    let text = read("md");
    assert!(text.contains("(compare-2026-12-01T102030.svg)") && text.contains("| tekd-2k |"), "{text}");
    assert!(!text.contains("198.18.") && !text.contains("127.0.0.1"), "no address: {text}");
    assert!(comparison.to_string().contains("\ntekd-300 "), "{comparison}");
}

#[test]
fn name_servers_take_part_or_their_rows_say_why_not() {
    let Some(tekd) = tekd() else { return };
    let peers = [Peer::Nsd, Peer::Knot, Peer::KnotXdp, Peer::EchoXdp, Peer::Echo];
    let options = CompareOptions {
        keys: vec![300],
        xdp: true,
        courses: vec![Course::Full, Course::Train(4)],
        ..options(tekd, &peers)
    };
    let comparison = compare(&options).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        names(&comparison.rows),
        ["echo", "nsd", "knot", "knot-xdp", "echo-xdp", "tekd-300", "tekd-xdp-300"]
    );
    for row in &comparison.rows {
        match &row.numbers {
            Some(_) => sound(row),
            None => eprintln!("{}: {}", row.name, row.note.as_deref().expect("it says why")),
        }
    }
}

#[test]
fn a_server_that_does_not_start_ends_the_comparison() {
    let refused = compare(&options("/bin/false".into(), &[]));
    let ended = matches!(refused, Err(CompareError::Peer(PeerError::Server(ServerError::Ended { .. }))));
    assert!(ended, "{refused:?}");
}
