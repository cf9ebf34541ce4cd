//! The judge of instruction counts: what it lets pass and what it does not.

#[path = "../benches/instructions/baseline.rs"]
mod baseline;

use baseline::{Baseline, Counts, GROWTH_MAX, Verdict, for_one, growth, judge};

#[test]
fn growth_beyond_the_limit_fails_and_up_to_it_does_not() {
    assert_eq!(GROWTH_MAX, 3.0, "what CI is said to fail on");
    for (before, now, verdict) in [
        (Some(1000.0), 1000.0, Verdict::Same),
        (Some(1000.0), 1029.9, Verdict::Same),
        (Some(1000.0), 1030.1, Verdict::More),
        (Some(1000.0), 970.1, Verdict::Same),
        (Some(1000.0), 969.9, Verdict::Less),
        (None, 1000.0, Verdict::New),
    ] {
        assert_eq!(judge(before, now), verdict, "{before:?} then {now}");
    }
}

#[test]
fn counts_are_for_one_to_a_tenth() {
    assert_eq!(for_one(1_000, 3), 333.3);
    assert_eq!(for_one(0, 256), 0.0);
    assert_eq!(growth(200.0, 210.0).round(), 5.0);
}

#[test]
fn a_combination_is_recorded_beside_the_others_and_read_back() {
    let counts = |n: f64| Counts::from([("INFO".to_owned(), n), ("BUCKET".to_owned(), 2.5)]);
    let mut baseline = Baseline::default();
    baseline.record("rustc 1, avx2", counts(1.0));
    baseline.record("rustc 2, avx2", counts(2.0));
    baseline.record("rustc 1, avx2", counts(3.0));
    let read = Baseline::from_text(&baseline.to_text()).expect("its own text");
    assert_eq!(read, baseline);
    assert_eq!(read.of("rustc 1, avx2"), Some(&counts(3.0)));
    assert_eq!(read.of("rustc 3, avx2"), None);
}

#[test]
fn a_case_that_a_known_combination_lacks_is_added_and_what_is_there_stays() {
    let mut baseline = Baseline::default();
    baseline.record("rustc 1", Counts::from([("INFO".to_owned(), 1.0)]));
    let now = Counts::from([("INFO".to_owned(), 9.0), ("BUCKET".to_owned(), 2.5)]);
    assert_eq!(baseline.add_missing("rustc 1", &now), ["BUCKET"]);
    let kept = Counts::from([("INFO".to_owned(), 1.0), ("BUCKET".to_owned(), 2.5)]);
    assert_eq!(baseline.of("rustc 1"), Some(&kept), "a count that grew is not recorded by that");
    assert!(baseline.add_missing("rustc 1", &now).is_empty());
}

#[test]
fn what_is_committed_can_be_read_and_has_counts() {
    let text = include_str!("../benches/instructions/BASELINE.json");
    let baseline = Baseline::from_text(text).expect("what was recorded");
    assert_ne!(baseline, Baseline::default(), "nothing is recorded");
}
