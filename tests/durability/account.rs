//! The account after whatever happened: every promise of the ledger against what the server has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use tekd::client::SetClient;
use tekd::node::LISTED_RELEASES;
use tekd::service::control::ControlRequest;
use tekd::store::RealDisk;
use tekd::store::generation::generations;
use tekd::wire::Key;

use super::clients::tls_client;
use super::dice::Dice;
use super::ledger::{Fate, Kind, Ledger, Story};
use super::phone::{Phone, Shared, Way, open};
use super::server::{Server, serial_and_root};
use super::tekctl::{operate, run};

/// Requests repeated beside those in flight.
const REPEATED: usize = 4;

/// Holds the server to everything in the ledger; what was in flight is then decided as it was found.
#[track_caller]
pub(crate) fn settle(server: &Server, ledger: &mut Ledger, scratch: &Path) {
    releases(server, ledger);
    let (serial, root) = server.release();
    let newest = ledger.releases.last_key_value().map_or(0, |(serial, _)| *serial);
    assert_eq!(serial, newest + 1, "serials go on without a gap");
    ledger.releases.insert(serial, root.clone());
    live(server, ledger, &root);
    rebuilt(server, serial, &root, scratch);
    events(&server.place.data, ledger);
    reports(server, ledger);
}

/// Every release that was told of is there, there is no gap, and the newest is served.
fn releases(server: &Server, ledger: &mut Ledger) {
    let listed = server.done(&ControlRequest::ReleaseList { set: 1 });
    let listed: BTreeMap<u64, String> =
        listed.as_array().expect("a list").iter().map(serial_and_root).collect();
    // Of many releases the newest are listed.
    let least = *listed.first_key_value().map_or(&1, |(serial, _)| serial);
    assert!(least == 1 || listed.len() == LISTED_RELEASES, "the list begins at {least}");
    for (serial, root) in ledger.releases.range(least..) {
        assert_eq!(listed.get(serial), Some(root), "release {serial} was confirmed");
    }
    let newest = listed.last_key_value().map_or(0, |(serial, _)| *serial);
    assert!(listed.keys().copied().eq(least..=newest), "serials without a gap: {:?}", listed.keys());
    assert_eq!(server.serial(), newest, "the newest release is served");
    ledger.releases.extend(listed);
}

/// confirmed ⊆ live ⊆ confirmed ∪ in flight.
fn live(server: &Server, ledger: &mut Ledger, root: &str) {
    let mut phone = SetClient::new(server.trust(), 1);
    let synced = tls_client(server.tls(), server.trust()).sync(&mut phone, false).expect("a verified sync");
    assert_eq!(hex::encode(synced.root), root);
    let set = phone.data().expect("a set");
    let entries = set.entries().chunks_exact(set.schema().public_len());
    let live: Vec<Key> = entries.map(|entry| Key::from_slice(&entry[..16]).expect("16 bytes")).collect();
    let once: BTreeSet<Key> = live.iter().copied().collect();
    assert_eq!(once.len(), live.len(), "no key is there twice");
    for key in &once {
        assert!(
            matches!(ledger.fates.get(key), Some(Fate::In | Fate::Open)),
            "a key is live that nobody reported or that was taken back"
        );
    }
    for (key, fate) in &mut ledger.fates {
        match (*fate, once.contains(key)) {
            (Fate::In, there) => assert!(there, "a key was confirmed and is missing"),
            (Fate::Open, true) => *fate = Fate::In,
            (Fate::Open, false) => *fate = Fate::Out,
            (Fate::Out, _) => {}
        }
    }
}

/// An independent rebuild from the journal's files has the same root and the same bytes.
fn rebuilt(server: &Server, serial: u64, root: &str, scratch: &Path) {
    let into = scratch.join(format!("rebuilt-{serial}"));
    let data = &server.place.data;
    let (made, _) = operate(data, &["journal", "rebuild", "--into", into.to_str().expect("text")], 0);
    let set = &made["sets"][0];
    assert_eq!((set["serial"].as_u64(), set["root"].as_str()), (Some(serial), Some(root)), "{made}");
    let table = |dir: &Path| {
        let files = generations(&RealDisk, &dir.join("sets").join("1")).expect("a directory");
        std::fs::read(&files.first().expect("a generation").1).expect("a file")
    };
    assert!(table(&into) == table(data), "the generation has the bytes of the rebuilt one");
    std::fs::remove_dir_all(&into).expect("removed");
}

/// One event for each receipt, at its place; no report that nobody sent, and none twice.
fn events(data: &Path, ledger: &Ledger) {
    let (code, events, said) = run(data, &["journal", "dump"]);
    assert_eq!(code, Some(0), "{said}");
    let seqs = events.iter().map(|event| event["seq"].as_u64().expect("a number"));
    assert!(seqs.eq(1..=events.len() as u64), "event follows event");
    let at = |seq: u64| &events[usize::try_from(seq - 1).expect("an index")];
    let mut reported = BTreeMap::new();
    for event in events.iter().filter(|event| event["kind"] == "reported" && !event["grant"].is_null()) {
        let report = event["report"].as_str().expect("hex").to_owned();
        assert_eq!(reported.insert(report, event["seq"].as_u64()), None, "a report is there twice: {event}");
    }
    for (report, story) in &ledger.stories {
        let seq = reported.remove(&hex::encode(report)).flatten();
        if let Some(told) = story.seq() {
            assert_eq!(Some(told), seq, "the receipt names the event of the report");
        }
        let Some(seq) = seq else { continue };
        for asked in story.asked.iter().filter(|asked| asked.kind != Kind::Submit) {
            let event = asked.receipt.as_ref().map(|bundle| at(bundle.receipt.sequence()));
            assert!(event.is_none_or(|event| is_of(event, asked.kind, seq)), "{event:?}");
        }
        for kind in [Kind::Amend, Kind::Cancel] {
            let there = events.iter().filter(|event| is_of(event, kind, seq)).count();
            let asked = story.asked.iter().filter(|asked| asked.kind == kind).count();
            assert!(there <= asked, "{there} events for {asked} requests");
        }
    }
    assert!(reported.is_empty(), "reports that nobody sent: {reported:?}");
}

/// Whether an event is what a request about the report of event `seq` leads to.
fn is_of(event: &Value, kind: Kind, seq: u64) -> bool {
    match kind {
        Kind::Submit => event["kind"] == "reported" && event["seq"] == seq,
        Kind::Amend => event["kind"] == "amended" && event["of_event"] == seq,
        Kind::Cancel => {
            let scope = &event["scope"];
            event["kind"] == "withdrawn" && event["by"] == "author" && scope["of_event"] == seq
        }
    }
}

/// `report show` finds each report that has a receipt.
fn reports(server: &Server, ledger: &Ledger) {
    let mut control = server.control();
    for (report, story) in &ledger.stories {
        let Some(seq) = story.seq() else { continue };
        let shown = control.call(&ControlRequest::ReportShow { report: hex::encode(report) }, |_| ());
        let shown = shown.expect("a reply");
        let page = shown.result.as_ref().unwrap_or_else(|| panic!("a report was confirmed: {shown:?}"));
        assert_eq!(page["seq"].as_u64(), Some(seq), "{page}");
        if let Some(taken_back) = taken_back(story) {
            assert_eq!(page["state"] == "withdrawn", taken_back, "{page}");
        }
    }
}

/// Whether a report was taken back, where that is decided.
fn taken_back(story: &Story) -> Option<bool> {
    let cancel = story.asked.iter().find(|asked| asked.kind == Kind::Cancel);
    match cancel {
        Some(asked) => asked.receipt.as_ref().map(|_| true),
        None => (!story.withdrawn).then_some(false),
    }
}

/// Asks again what is in flight, and some of what is not: each has one receipt, for ever.
pub(crate) fn ask_again(server: &Server, dice: &mut Dice, ledger: &Shared) {
    let mut again = Vec::new();
    {
        let ledger = open(ledger);
        let (waiting, told): (Vec<_>, Vec<_>) =
            ledger.stories.iter().filter(|(_, s)| !s.asked.is_empty()).partition(|(_, s)| s.is_open());
        again.extend(waiting.iter().map(|(report, story)| (**report, story.asked.len() - 1)));
        for _ in 0..REPEATED.min(told.len()) {
            let (report, story) = told[usize::try_from(dice.below(told.len() as u64)).expect("an index")];
            again.push((*report, usize::try_from(dice.below(story.asked.len() as u64)).expect("an index")));
        }
    }
    std::thread::scope(|scope| {
        for (report, nth) in again {
            let mut phone = Phone::new(server, Way::Tls, dice.draw(), ledger);
            scope.spawn(move || {
                phone.repeat(report, nth).expect("the same receipt again");
            });
            let mut phone = Phone::new(server, Way::Tls, dice.draw(), ledger);
            let confirmed = open(ledger).stories[&report].seq().is_some();
            scope.spawn(move || {
                let status = phone.status(report).expect("an answer");
                assert!(status.state.is_some() || !confirmed, "a confirmed report has a state: {status:?}");
            });
        }
    });
}
