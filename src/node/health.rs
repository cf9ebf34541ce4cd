//! Health: the properties tekd states of itself, and which of them do not hold.

use serde_json::{Value, json};

use super::origin::Origin;
use super::polls::PollState;
use crate::authority::Level;
use crate::engine::{Punctuality, View};
use crate::service::timetext::format_duration;

/// How long before the end of a delegation its coming end is a finding, in seconds.
const DELEGATION_WARNING_S: u64 = 14 * 86_400;

/// How long before the end of the newest seal key its coming end is a finding, in seconds: the next one is
/// made a week before (spec 7.1.4).
const SEAL_KEY_WARNING_S: u64 = 6 * 86_400;

/// The names of all properties, as findings have them.
pub(crate) const PROPERTIES: [&str; 19] = [
    "building",
    "clock",
    "codes-key",
    "deadline",
    "delegation",
    "fresh",
    "guessing",
    "journal",
    "mirror",
    "quic",
    "released",
    "root-key-offline",
    "seal-key",
    "serving",
    "space",
    "udp",
    "upstream",
    "writing",
    "xdp",
];

/// A property that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its name.
    pub property: &'static str,
    /// What is the case, and what to do.
    pub text: String,
}

/// What the private half knows that readers do not.
#[derive(Debug, Clone, Default)]
pub struct OriginHealth {
    /// Why the writer stopped.
    pub stopped: Option<String>,
    /// Why the writer did not answer, whether it has stopped or not.
    pub silent: Option<String>,
    /// What the builder could not do and tries again.
    pub building: Vec<String>,
    /// What a full disk of the journal turns away.
    pub journal_full: Option<String>,
    /// What is damaged in closed segments of the journal and of its mirror.
    pub damage: Vec<Finding>,
    /// Why releases are held.
    pub clock_alarm: Option<String>,
    /// Whether the root key is still on this machine.
    pub root_here: bool,
    /// When the online key's delegation ends.
    pub delegation_ends: Option<u64>,
    /// Deadlines of sealed answers in the last hour.
    pub deadlines: Punctuality,
    /// What the writer knows of reporting, unless it has stopped.
    pub reporting: Option<ReportingHealth>,
}

/// What the writer knows of reporting.
#[derive(Debug, Clone, Default)]
pub struct ReportingHealth {
    /// Budgets of wrong grants that are half spent or more, by provider; `None` for all together.
    pub guessing: Vec<(Option<u32>, Level)>,
    /// Codes that would be taken if the key they come from were here.
    pub codes_without_key: u64,
    /// Until when there is a key to seal to whose secret is here.
    pub sealed_until: Option<u64>,
}

impl ReportingHealth {
    /// As it is at `now`; `sealed_until` is what openers hold.
    pub(crate) fn of(origin: &Origin, sealed_until: Option<u64>, now: u64) -> Self {
        let key = origin.writer().codes().key_id();
        let batches = origin.state().registry().batches.values();
        let lost = batches.filter(|batch| Some(batch.key_id) != key);
        ReportingHealth {
            guessing: origin.writer().guessing(now).collect(),
            codes_without_key: lost.map(|batch| u64::from(batch.outstanding(now))).sum(),
            sealed_until,
        }
    }
}

/// Every property that does not hold at `now`, Unix seconds. `polls`: those of a public node.
pub fn findings(
    view: &View,
    origin: Option<&OriginHealth>,
    polls: Option<&PollState>,
    now: u64,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |property, text: String| found.push(Finding { property, text });
    for set in &view.sets {
        let id = set.set;
        match &set.release {
            None if polls.is_some() => {
                add("released", format!("no release of set {id} could be verified here yet"));
            }
            None => add(
                "released",
                format!("set {id} has no release yet; `tekctl release now --set {id}` makes one"),
            ),
            Some(r) if now > r.checkpoint.fresh_until() => {
                let age = format_duration(now.saturating_sub(r.checkpoint.time()));
                add(
                    "fresh",
                    format!("the newest release of set {id} is {age} old; questions are answered from it"),
                );
            }
            Some(_) => {}
        }
    }
    if view.is_draining() {
        add("serving", "this node is draining; `tekctl undrain` takes it back".to_owned());
    }
    for (set, why) in polls.iter().flat_map(|polls| &polls.errors) {
        add("upstream", format!("the last poll of set {set} failed: {why}"));
    }
    let Some(origin) = origin else { return found };
    if let Some(why) = &origin.stopped {
        add("writing", format!("the writer has stopped, nothing is confirmed: {why}"));
    } else if let Some(why) = &origin.silent {
        add("writing", why.clone());
    }
    for trouble in &origin.building {
        add("building", trouble.clone());
    }
    if let Some(full) = &origin.journal_full {
        add("space", full.clone());
    }
    for damage in &origin.damage {
        add(damage.property, damage.text.clone());
    }
    if let Some(alarm) = &origin.clock_alarm {
        add("clock", alarm.clone());
    }
    if origin.root_here {
        let what = "the root key is still on this machine; `tekctl keys export-root --to FILE` moves it out";
        add("root-key-offline", what.to_owned());
    }
    if let Some(end) = origin.delegation_ends.filter(|end| *end < now + DELEGATION_WARNING_S) {
        let left = format_duration(end.saturating_sub(now));
        add(
            "delegation",
            format!("the online key ends in {left}; `tekctl keys rotate-online` makes the next"),
        );
    }
    let Punctuality { all, missed } = origin.deadlines;
    if missed > 0 {
        add(
            "deadline",
            format!(
                "{missed} of {all} sealed answers of the last hour were not ready at their time, so that their times \
                 tell something; the disk or the processor is too slow for what is asked"
            ),
        );
    }
    if let Some(reporting) = &origin.reporting {
        of_reporting(reporting, now, add);
    }
    found
}

fn of_reporting(reporting: &ReportingHealth, now: u64, mut add: impl FnMut(&'static str, String)) {
    for (provider, level) in &reporting.guessing {
        let whose = provider.map_or("all providers together".to_owned(), |id| format!("provider {id}"));
        let what = match level {
            Level::Puzzle { bits } => {
                format!("is spent: every grant needs a puzzle of {bits} bits first, no valid one is refused")
            }
            Level::Alarm | Level::Calm => "is half spent".to_owned(),
        };
        let why = "somebody guesses, or a program sends what it should not";
        add("guessing", format!("the budget of wrong grants of {whose} {what}; {why}"));
    }
    if reporting.codes_without_key > 0 {
        let codes = match reporting.codes_without_key {
            1 => "1 outstanding code".to_owned(),
            codes => format!("{codes} outstanding codes"),
        };
        let why = "the key they come from is not here: put keys/codes.key back from where it is kept";
        add("codes-key", format!("{codes} cannot be told from wrong ones: {why}"));
    }
    match reporting.sealed_until {
        Some(end) if end >= now.saturating_add(SEAL_KEY_WARNING_S) => {}
        Some(end) if end >= now => {
            let left = format_duration(end - now);
            let text = format!("the newest seal key ends in {left} and no other was made; the log says why");
            add("seal-key", text);
        }
        _ => {
            let text = "there is no valid seal key whose secret is here: nobody can report; the log says why";
            add("seal-key", text.to_owned());
        }
    }
}

/// Findings as `tekctl health` prints them.
pub(crate) fn as_json(findings: &[Finding]) -> Value {
    let list: Vec<Value> =
        findings.iter().map(|f| json!({ "property": f.property, "finding": f.text })).collect();
    json!({ "healthy": findings.is_empty(), "findings": list })
}

/// UDP workers that ended though nobody stopped them, if any.
pub(crate) fn udp_workers(failed: usize, all: usize) -> Option<Finding> {
    (failed > 0).then(|| {
        let text = format!(
            "{failed} of {all} UDP workers ended badly, those that are left answer what the kernel gives them; \
             restart tekd to have all again, the log says why they ended"
        );
        Finding { property: "udp", text }
    })
}

/// QUIC endpoints whose socket the system took away, if any.
pub(crate) fn quic_endpoints(lost: usize, all: usize) -> Option<Finding> {
    (lost > 0).then(|| {
        let text = format!(
            "{lost} of {all} QUIC endpoints ended when the system gave an error for their socket, nobody answers what \
             the kernel still gives to those; restart tekd to have all again"
        );
        Finding { property: "quic", text }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_767_614_400;
    const DAY: u64 = 86_400;

    fn well() -> OriginHealth {
        let reporting = ReportingHealth { sealed_until: Some(NOW + 7 * DAY), ..ReportingHealth::default() };
        OriginHealth { reporting: Some(reporting), ..OriginHealth::default() }
    }

    fn found(origin: &OriginHealth) -> Vec<(&'static str, String)> {
        let found = findings(&View::empty([1; 8], 1), Some(origin), None, NOW);
        assert!(found.iter().all(|finding| PROPERTIES.contains(&finding.property)), "metrics list {found:?}");
        found.into_iter().map(|finding| (finding.property, finding.text)).collect()
    }

    fn about(reporting: ReportingHealth) -> Vec<(&'static str, String)> {
        found(&OriginHealth { reporting: Some(reporting), ..OriginHealth::default() })
    }

    fn reporting() -> ReportingHealth {
        well().reporting.unwrap()
    }

    #[test]
    fn an_origin_that_is_well_has_nothing_to_say() {
        assert_eq!(found(&well()), []);
        let kept = OriginHealth { deadlines: Punctuality { all: 9, missed: 0 }, ..well() };
        assert_eq!(found(&kept), []);
    }

    #[test]
    fn what_is_found_is_one_of_the_stated_properties() {
        let damage = ["journal", "mirror"].map(|property| Finding { property, text: String::new() }).to_vec();
        let ill = OriginHealth {
            stopped: Some("stopped".to_owned()),
            building: vec!["waits".to_owned()],
            journal_full: Some("full".to_owned()),
            damage,
            clock_alarm: Some("held".to_owned()),
            root_here: true,
            delegation_ends: Some(NOW),
            deadlines: Punctuality { all: 2, missed: 1 },
            reporting: Some(ReportingHealth {
                guessing: vec![(None, Level::Alarm)],
                codes_without_key: 1,
                sealed_until: None,
            }),
            ..OriginHealth::default()
        };
        let told = found(&ill);
        assert_eq!(told.len(), 12);
        assert!(told.iter().all(|(property, _)| PROPERTIES.contains(property)), "{told:?}");
        assert!(PROPERTIES.is_sorted());
    }

    #[test]
    fn missed_deadlines_are_told_with_how_many_of_how_many() {
        let missed = OriginHealth { deadlines: Punctuality { all: 40, missed: 3 }, ..well() };
        let [(property, text)] = &found(&missed)[..] else { panic!("one finding") };
        assert_eq!(*property, "deadline");
        assert!(text.starts_with("3 of 40 sealed answers of the last hour"), "{text}");
    }

    #[test]
    fn guessing_is_told_with_whose_budget_it_spends() {
        let guessing = vec![(None, Level::Alarm), (Some(7), Level::Puzzle { bits: 21 })];
        let told = about(ReportingHealth { guessing, ..reporting() });
        let [(one, all), (two, seven)] = &told[..] else { panic!("two findings: {told:?}") };
        assert_eq!((*one, *two), ("guessing", "guessing"));
        assert!(all.contains("all providers together is half spent"), "{all}");
        assert!(seven.contains("provider 7 is spent") && seven.contains("21 bits"), "{seven}");
    }

    #[test]
    fn codes_without_their_key_are_counted() {
        let told = about(ReportingHealth { codes_without_key: 12, ..reporting() });
        assert!(matches!(&told[..], [("codes-key", text)] if text.starts_with("12 outstanding codes")));
    }

    #[test]
    fn a_seal_key_that_ends_or_is_not_there_is_told() {
        let told = |sealed_until| about(ReportingHealth { sealed_until, ..reporting() });
        assert_eq!(told(Some(NOW + SEAL_KEY_WARNING_S)), []);
        for (end, what) in [
            (Some(NOW + SEAL_KEY_WARNING_S - 1), "ends in"),
            (Some(NOW), "ends in"),
            (Some(NOW - 1), "nobody can report"),
            (None, "nobody can report"),
        ] {
            assert!(matches!(&told(end)[..], [("seal-key", text)] if text.contains(what)), "{end:?}");
        }
    }

    #[test]
    fn of_a_writer_that_has_stopped_only_that_is_told() {
        let stopped = OriginHealth { stopped: Some("no space".to_owned()), ..OriginHealth::default() };
        assert!(matches!(&found(&stopped)[..], [("writing", _)]));
        let silent = OriginHealth { silent: Some("no answer".to_owned()), ..stopped };
        assert!(matches!(&found(&silent)[..], [("writing", text)] if text.contains("no space")));
    }

    #[test]
    fn a_full_disk_of_the_journal_is_told() {
        let full = OriginHealth { journal_full: Some("no room".to_owned()), ..well() };
        assert_eq!(found(&full), [("space", "no room".to_owned())]);
    }

    #[test]
    fn a_writer_that_does_not_answer_and_a_builder_that_fails_are_told() {
        let silent = OriginHealth { silent: Some("no answer for 5 seconds".to_owned()), ..well() };
        assert_eq!(found(&silent), [("writing", "no answer for 5 seconds".to_owned())]);
        let building = OriginHealth { building: vec!["release 7 of set 1 waits".to_owned()], ..well() };
        assert_eq!(found(&building), [("building", "release 7 of set 1 waits".to_owned())]);
    }

    #[test]
    fn a_worker_that_ended_badly_is_told() {
        assert_eq!(udp_workers(0, 4), None);
        let told = udp_workers(1, 4).expect("it is");
        assert!(told.property == "udp" && PROPERTIES.contains(&told.property));
        assert!(told.text.starts_with("1 of 4 UDP workers ended badly"), "{}", told.text);
    }

    #[test]
    fn an_endpoint_that_lost_its_socket_is_told() {
        assert_eq!(quic_endpoints(0, 2), None);
        let told = quic_endpoints(1, 2).expect("it is");
        assert!(told.property == "quic" && PROPERTIES.contains(&told.property));
        assert!(told.text.starts_with("1 of 2 QUIC endpoints ended"), "{}", told.text);
    }
}
