//! `journal dump`: every event on a line, for people or, with `--json`, for programs.
//!
//! Keys of reports are left out unless asked for; codes and secrets stand in no event.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use tekd::authority::{Grant, Scope};
use tekd::engine::{Amended, Configured, Event, Published, Released, Reported, ReportedKey, Withdrawn};
use tekd::node::journal_path;
use tekd::release::{Checkpoint, DELEGATION_LEN, Delegation, Manifest, ONSET_NONE, manifest_digest};
use tekd::service::timetext::format_time;
use tekd::store::RealDisk;
use tekd::store::journal::{JournalReader, Record};
use tekd::wire::report::ReportType;

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
        Event::Adopted { incarnation, known } => {
            let known = known.iter().filter_map(|bytes| Checkpoint::parse(bytes).ok());
            let known = known
                .map(|c| json!({ "set": c.set(), "incarnation": c.version() >> 32, "serial": c.serial() }));
            json!({ "incarnation": incarnation, "known": known.collect::<Vec<_>>() })
        }
        Event::Founded(f) => json!({ "service": hex::encode(f.service), "incarnation": f.incarnation }),
        Event::Delegated(bytes) => delegated(bytes),
        Event::Configured(c) => configured(c),
        Event::ManifestIssued { set, bytes } => {
            let number = Manifest::parse_unverified(bytes).ok().map(|m| m.number);
            json!({ "set": set, "number": number, "digest": hex::encode(manifest_digest(bytes)) })
        }
        Event::Reported(r) => reported(r, keys),
        Event::Amended(a) => amended(a, keys),
        Event::Withdrawn(w) => withdrawn(w, keys),
        Event::Reinstated { seq } => json!({ "undone": seq }),
        Event::Released(r) => released(r),
        Event::Published(p) => published(p),
        Event::Based(based) => json!({
            "gno": based.gno,
            "event": based.seq,
            "chain": hex::encode(based.chain),
            "digest": hex::encode(based.digest),
        }),
        Event::SealKeyMade(key) => json!({
            "id": hex::encode(key.id),
            "public_key": STANDARD.encode(key.public),
            "not_before": format_time(key.not_before),
            "not_after": format_time(key.not_after),
        }),
        Event::ProviderAdded(_)
        | Event::ProviderKeyAdded { .. }
        | Event::ProviderKeyRevoked(_)
        | Event::ProviderStood(_)
        | Event::CodesIssued(_)
        | Event::BatchRevoked { .. }
        | Event::CodesVoided { .. } => of_authority(event),
    }
}

/// Who may report.
fn of_authority(event: &Event) -> Value {
    match event {
        Event::ProviderAdded(p) => {
            let issuer =
                p.issuer.as_ref().map(|i| json!({ "name": i.name, "audience": i.audience, "set": i.set }));
            json!({ "provider": p.provider, "name": p.name, "issuer": issuer })
        }
        Event::ProviderKeyAdded { provider, key } => json!({
            "provider": provider,
            "fingerprint": hex::encode(key.fingerprint()),
            "algorithm": key.material.algorithm(),
            "key_id": key.key_id,
            "public_key": STANDARD.encode(key.material.as_bytes()),
            "not_before": format_time(key.not_before),
            "not_after": (key.not_after != u64::MAX).then(|| format_time(key.not_after)),
        }),
        Event::ProviderKeyRevoked(r) => json!({
            "provider": r.provider,
            "fingerprint": hex::encode(r.fingerprint),
            "since": r.since.map(format_time),
            "reason": r.reason,
        }),
        Event::ProviderStood(p) => json!({
            "provider": p.provider,
            "standing": p.standing.name(),
            "since": p.since.map(format_time),
            "reason": p.reason,
        }),
        Event::CodesIssued(c) => json!({
            "batch": c.batch,
            "provider": c.provider,
            "set": c.set,
            "report_type": c.report_type.name(),
            "count": c.count,
            "expires": format_time(c.expires),
            "codes_key": hex::encode(c.key_id),
        }),
        Event::BatchRevoked { batch, retroactive, reason } => {
            json!({ "batch": batch, "retroactive": retroactive, "reason": reason })
        }
        Event::CodesVoided { key_id } => json!({ "all_but_those_of": hex::encode(key_id) }),
        other => unreachable!("{} is about something else", other.name()),
    }
}

/// What was spent by an event.
fn grant(grant: &Grant) -> Value {
    match grant {
        Grant::None => Value::Null,
        Grant::Code { batch, index } => json!({ "batch": batch, "index": index }),
        Grant::Certificate { signer, identity, until } => json!({
            "certificate": hex::encode(identity),
            "signer": hex::encode(signer),
            "until": format_time(*until),
        }),
    }
}

fn withdrawn(w: &Withdrawn, keys: bool) -> Value {
    let scope = match &w.scope {
        Scope::Key { set, key } => {
            let key = keys.then(|| STANDARD.encode(key.as_bytes()));
            json!({ "what": "key", "set": set, "key": key })
        }
        Scope::Report { report } => json!({ "what": "report", "of_event": report }),
        Scope::Batch { batch } => json!({ "what": "batch", "batch": batch }),
        Scope::Provider { provider, since } => {
            json!({ "what": "provider", "provider": provider, "since": format_time(*since) })
        }
        Scope::After { seq, provider } => json!({ "what": "after", "event": seq, "provider": provider }),
        Scope::Signer { provider, signer, since } => json!({
            "what": "signer",
            "provider": provider,
            "fingerprint": hex::encode(signer),
            "since": format_time(*since),
        }),
    };
    let by = if w.told.is_some() { "author" } else { "operator" };
    json!({ "scope": scope, "by": by, "urgent": w.urgent, "reason": w.reason })
}

fn amended(a: &Amended, keys: bool) -> Value {
    let mut details = json!({
        "set": a.set,
        "of_event": a.report,
        "report_type": a.report_type.map(ReportType::name),
        "provider": (a.provider != 0).then_some(a.provider),
        "grant": grant(&a.grant),
        "key_count": a.keys.len(),
    });
    if keys {
        details["keys"] = a.keys.iter().map(reported_key).collect();
    }
    details
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
        "grant": grant(&r.grant),
        "report_type": r.authored.as_ref().map(|a| a.report_type.name()),
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
        "admit": (r.admit != 0).then(|| format_time(r.admit)),
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
    use tekd::authority::Standing;
    use tekd::engine::{EVENT_VERSION, ProviderStood};
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
                "report": "07".repeat(16), "grant": null, "report_type": null, "key_count": 1,
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

    #[test]
    fn every_kind_of_event_is_shown_in_words() {
        let key = Key::from_slice(&[0; 16]).unwrap();
        let operator = |scope| {
            Event::Withdrawn(Withdrawn { scope, urgent: false, reason: "mix-up".to_owned(), told: None })
        };
        for (event, kind, shown) in [
            (
                operator(Scope::Key { set: 1, key }),
                "withdrawn",
                json!({ "scope": { "what": "key", "set": 1, "key": null }, "by": "operator", "urgent": false,
                    "reason": "mix-up" }),
            ),
            (
                operator(Scope::After { seq: 4, provider: Some(2) }),
                "withdrawn",
                json!({ "scope": { "what": "after", "event": 4, "provider": 2 }, "by": "operator",
                    "urgent": false, "reason": "mix-up" }),
            ),
            (Event::Reinstated { seq: 4 }, "reinstated", json!({ "undone": 4 })),
            (
                Event::BatchRevoked { batch: 3, retroactive: true, reason: "lost".to_owned() },
                "batch-revoked",
                json!({ "batch": 3, "retroactive": true, "reason": "lost" }),
            ),
            (
                Event::ProviderStood(ProviderStood {
                    provider: 2,
                    standing: Standing::Revoked,
                    since: Some(1_795_525_200),
                    reason: "fraud".to_owned(),
                }),
                "provider-standing",
                json!({ "provider": 2, "standing": "revoked", "since": "2026-11-24T13:00:00Z", "reason": "fraud" }),
            ),
            (
                Event::CodesVoided { key_id: [1; 8] },
                "codes-voided",
                json!({ "all_but_those_of": "0101010101010101" }),
            ),
        ] {
            assert_eq!(details(&record(&event), false), (kind.to_owned(), shown));
        }
    }
}
