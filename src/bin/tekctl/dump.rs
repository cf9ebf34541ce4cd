//! `journal dump`: every event on a line, for people or, with `--json`, for programs.
//!
//! Keys of reports are left out unless asked for.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use tekd::engine::{Configured, Event, Published, Released, Reported, ReportedKey};
use tekd::node::journal_path;
use tekd::release::{DELEGATION_LEN, Delegation, Manifest, ONSET_NONE, manifest_digest};
use tekd::service::timetext::format_time;
use tekd::store::RealDisk;
use tekd::store::journal::{JournalReader, Record};

use crate::args::Global;
use crate::journal::unreadable;
use crate::output::{Done, Failure, Outcome};
use crate::tables;

/// Prints the events from `from` on; their keys too if `keys`.
pub(crate) fn run(global: &Global, from: u64, keys: bool) -> Done {
    let reader = JournalReader::from_seq(Arc::new(RealDisk), &journal_path(&global.data), from)
        .map_err(|error| unreadable(&error))?;
    let mut out = BufWriter::new(io::stdout().lock());
    for group in reader {
        for record in group.map_err(|error| unreadable(&error))?.records {
            let details = details(&record, keys);
            let line =
                if global.json { program_line(&record, details) } else { people_line(&record, details) };
            if let Err(error) = writeln!(out, "{line}") {
                return stopped(&error);
            }
        }
    }
    match out.flush() {
        Ok(()) => Ok(Outcome::written()),
        Err(error) => stopped(&error),
    }
}

/// Who closed the pipe has read enough.
fn stopped(error: &io::Error) -> Done {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(Outcome::written());
    }
    Err(Failure::failed(format!("writing to stdout: {error}")))
}

/// A line for programs: what every event has, and then its details.
#[derive(Serialize)]
struct Line {
    seq: u64,
    time: String,
    kind: String,
    #[serde(flatten)]
    details: Value,
}

fn program_line(record: &Record, (kind, details): (String, Value)) -> String {
    let line = Line { seq: record.seq, time: format_time(record.time_s), kind, details };
    serde_json::to_string(&line).expect("details are an object with text for names")
}

fn people_line(record: &Record, (kind, details): (String, Value)) -> String {
    let time = format_time(record.time_s);
    format!("{:>8}  {time}  {kind:15}  {}", record.seq, tables::scalar(&details))
}

/// The event's word and what it says. An event this program cannot read is shown as that.
fn details(record: &Record, keys: bool) -> (String, Value) {
    match Event::decode(record.kind, record.version, &record.payload) {
        Ok(event) => (event.name().to_owned(), of_event(&event, keys)),
        Err(error) => (format!("kind-{}", record.kind), json!({ "unreadable": error.to_string() })),
    }
}

fn of_event(event: &Event, keys: bool) -> Value {
    match event {
        Event::Adopted { incarnation } => json!({ "incarnation": incarnation }),
        Event::Founded(f) => json!({ "service": hex::encode(f.service), "incarnation": f.incarnation }),
        Event::Delegated(bytes) => delegated(bytes),
        Event::Configured(c) => configured(c),
        Event::ManifestIssued { set, bytes } => {
            let number = Manifest::parse_unverified(bytes).ok().map(|m| m.number);
            json!({ "set": set, "number": number, "digest": hex::encode(manifest_digest(bytes)) })
        }
        Event::ProviderAdded(p) => json!({
            "provider": p.provider,
            "name": p.name,
        }),
        Event::Reported(r) => reported(r, keys),
        Event::Withdrawn(w) => json!({ "urgent": w.urgent, "reason": w.reason }),
        Event::Released(r) => released(r),
        Event::Published(p) => published(p),
        _ => json!({}),
    }
}

fn delegated(bytes: &[u8]) -> Value {
    match bytes.get(..DELEGATION_LEN).map(Delegation::parse) {
        Some(Ok(d)) => json!({
            "epoch": d.epoch(),
            "not_before": format_time(d.not_before()),
            "not_after": format_time(d.not_after()),
            "public_key": STANDARD.encode(d.online().0),
        }),
        _ => json!({ "unreadable": format!("{} bytes", bytes.len()) }),
    }
}

fn configured(c: &Configured) -> Value {
    let p = &c.params;
    json!({
        "set": c.set,
        "schema": p.schema.name(),
        "retention_days": p.retention_days,
        "interval_s": p.interval_s,
        "embargo_s": p.embargo_s,
        "min_reports": p.min_reports,
        "max_wait_s": p.max_wait_s,
        "decoys": p.decoys,
    })
}

fn reported(r: &Reported, keys: bool) -> Value {
    let mut details = json!({
        "set": r.set,
        "provider": r.provider,
        "report": hex::encode(r.report),
        "key_count": r.keys.len(),
    });
    if keys {
        details["keys"] = r.keys.iter().map(reported_key).collect();
    }
    details
}

fn reported_key(k: &ReportedKey) -> Value {
    let f = &k.fields;
    json!({
        "key": STANDARD.encode(k.key.as_bytes()),
        "rollingStartNumber": f.start,
        "rollingPeriod": f.period,
        "reportType": f.report,
        "risk": f.risk,
        "onset": Some(f.onset).filter(|onset| *onset != ONSET_NONE),
        "embargo_end": format_time(k.embargo_end),
    })
}

fn released(r: &Released) -> Value {
    let c = &r.changes;
    json!({
        "set": r.set,
        "serial": r.serial,
        "release_time": format_time(r.time),
        "horizon": r.horizon,
        "bits": r.bits,
        "admit": r.admit,
        "withdraw": r.withdraw,
        "forced": r.forced,
        "added": c.added,
        "withdrawn": c.withdrawn,
        "expired": c.expired,
        "decoys": c.decoys_added,
        "decoys_withdrawn": c.decoys_withdrawn,
    })
}

fn published(p: &Published) -> Value {
    json!({
        "set": p.set,
        "serial": p.serial,
        "live": p.count,
        "root": hex::encode(p.root),
        "history": hex::encode(p.history_digest),
    })
}

#[cfg(test)]
mod tests {
    use tekd::engine::EVENT_VERSION;
    use tekd::release::Fields;
    use tekd::wire::Key;

    use super::*;

    fn record(event: &Event) -> Record {
        Record {
            kind: event.kind(),
            version: EVENT_VERSION,
            seq: 9,
            time_s: 1_795_525_200,
            payload: event.encode(),
        }
    }

    fn report() -> Event {
        let fields = Fields { start: 2_900_016, period: 144, report: 1, risk: 3, onset: ONSET_NONE };
        let key = ReportedKey { key: Key::from_slice(&[0; 16]).unwrap(), fields, embargo_end: 0 };
        Event::Reported(Reported::unauthored(1, 4, [7; 16], vec![key]))
    }

    #[test]
    fn a_line_is_one_document_with_seq_time_and_kind() {
        let record = record(&report());
        let line: Value = serde_json::from_str(&program_line(&record, details(&record, false))).unwrap();
        assert_eq!(
            line,
            json!({
                "seq": 9, "time": "2026-11-24T13:00:00Z", "kind": "reported", "set": 1, "provider": 4,
                "report": "07".repeat(16), "key_count": 1,
            })
        );
    }

    #[test]
    fn keys_are_shown_only_to_who_asks_for_them() {
        let record = record(&report());
        let key = STANDARD.encode([0; 16]);
        for shown in [false, true] {
            assert_eq!(program_line(&record, details(&record, shown)).contains(&key), shown);
            assert_eq!(people_line(&record, details(&record, shown)).contains(&key), shown);
        }
    }

    #[test]
    fn an_event_of_a_newer_version_is_shown_as_unreadable() {
        let record = Record { kind: 999, ..record(&report()) };
        let line = program_line(&record, details(&record, true));
        assert!(line.contains("\"kind\":\"kind-999\"") && line.contains("unreadable"), "{line}");
    }
}
