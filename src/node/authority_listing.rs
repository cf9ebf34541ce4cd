//! What operators see of those who may report and of what was reported, as JSON: providers, batches of codes,
//! reports. Numbers and random ids, never a person, a code or a key of a report (no-trace).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::authority::{Batch, Grant, Provider, ProviderKey, Registry};
use crate::engine::{Change, ReportRecord, SetState};
use crate::service::timetext::format_time;
use crate::wire::report::ReportType;

/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// Characters of a date in RFC 3339.
const DATE_LEN: usize = 10;

/// A day as a date, from days since 1970.
pub(crate) fn day_text(day: u32) -> String {
    let mut text = format_time(u64::from(day) * DAY_S);
    text.truncate(DATE_LEN);
    text
}

/// Codes that would be taken now, by provider.
#[derive(Debug)]
pub(crate) struct Outstanding(BTreeMap<u32, u64>);

impl Outstanding {
    /// Those of all providers at `now`.
    pub(crate) fn of(registry: &Registry, now: u64) -> Self {
        let mut by_provider = BTreeMap::new();
        for batch in registry.batches.values() {
            *by_provider.entry(batch.provider).or_default() += u64::from(batch.outstanding(now));
        }
        Outstanding(by_provider)
    }

    fn of_provider(&self, provider: u32) -> u64 {
        self.0.get(&provider).copied().unwrap_or(0)
    }
}

/// Which part of the codes was used, to the thousandth; null without codes.
fn spent_share(spent: u64, issued: u64) -> Value {
    if issued == 0 {
        return Value::Null;
    }
    let thousandths = u32::try_from(spent.saturating_mul(1000) / issued).unwrap_or(1000);
    (f64::from(thousandths) / 1000.0).into()
}

/// A provider with what it has done.
pub(crate) fn provider_page(id: u32, p: &Provider, outstanding: &Outstanding) -> Value {
    let c = &p.counts;
    json!({
        "provider": id,
        "name": p.name,
        "since": format_time(p.since),
        "standing": p.standing.name(),
        "issuer": p.issuer.as_ref().map(|issuer| &issuer.name),
        "audience": p.issuer.as_ref().map(|issuer| &issuer.audience),
        "set": p.issuer.as_ref().map(|issuer| issuer.set),
        "counts": { "reports": c.reports, "keys": c.keys, "withdrawn": c.withdrawn },
        "codes": {
            "issued": c.codes,
            "spent": c.spent,
            "outstanding": outstanding.of_provider(id),
            "spent_share": spent_share(c.spent, c.codes),
        },
        "keys": p.keys.iter().map(provider_key).collect::<Vec<_>>(),
    })
}

fn provider_key(key: &ProviderKey) -> Value {
    json!({
        "fingerprint": hex::encode(key.fingerprint()),
        "algorithm": key.material.algorithm(),
        "key_id": key.key_id,
        "from": format_time(key.not_before),
        "until": (key.not_after != u64::MAX).then(|| format_time(key.not_after)),
        "revoked": key.revoked.map(format_time),
    })
}

/// A batch of codes in short.
pub(crate) fn batch_line(registry: &Registry, number: u32, batch: &Batch, now: u64) -> Value {
    json!({
        "batch": number,
        "provider": batch.provider,
        "name": registry.providers.get(&batch.provider).map(|p| &p.name),
        "set": batch.set,
        "report_type": batch.report_type.name(),
        "onset": batch.onset_day.map(day_text),
        "issued": format_time(batch.issued),
        "expires": format_time(batch.expires),
        "standing": batch.standing.name(),
        "count": batch.count,
        "spent": batch.spent.len(),
        "outstanding": batch.outstanding(now),
    })
}

/// Where a report stands at `now`; none if the set does not know it.
pub(crate) fn report_page(set: &SetState, seq: u64, record: &ReportRecord, now: u64) -> Option<Value> {
    let standing = set.standing(seq, now)?;
    Some(json!({
        "report": hex::encode(record.report),
        "set": set.id(),
        "provider": record.warrant.provider,
        "batch": record.warrant.grant.batch(),
        "grant": grant_name(&record.warrant.grant),
        "report_type": record.report_type().map(ReportType::name),
        "type_changes": record.changes.iter().map(type_change).collect::<Vec<_>>(),
        "seq": seq,
        "received": format_time(record.warrant.received),
        "later_requests": record.later.len(),
        "keys": standing.keys,
        "state": standing.state.name(),
        "serial": standing.serial,
        "live": standing.live,
        "embargo": standing.embargo,
        "waiting": standing.waiting,
        "taken_back": standing.taken_back,
    }))
}

fn grant_name(grant: &Grant) -> &'static str {
    match grant {
        Grant::None => "import",
        Grant::Code { .. } => "code",
        Grant::Certificate { .. } => "signed",
    }
}

/// A change of a report's type, and whose word it stands on.
fn type_change(change: &Change) -> Value {
    json!({
        "report_type": change.report_type.name(),
        "provider": change.warrant.provider,
        "batch": change.warrant.grant.batch(),
        "grant": grant_name(&change.warrant.grant),
        "seq": change.warrant.seq,
        "received": format_time(change.warrant.received),
        "taken_back": change.taken_back,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{BatchStanding, KeyMaterial};
    use crate::wire::report::ReportType;

    fn batch(provider: u32, count: u32, expires: u64) -> Batch {
        Batch {
            provider,
            set: 1,
            report_type: ReportType::Confirmed,
            onset_day: Some(20_780),
            nonce: [0; 16],
            key_id: [0; 8],
            count,
            issued: 100,
            expires,
            standing: BatchStanding::Active,
            spent: BTreeMap::from([(0, 9)]),
        }
    }

    #[test]
    fn a_provider_is_shown_by_numbers() {
        let mut registry = Registry::default();
        let mut provider = Provider::new("Clinic".to_owned(), 0);
        provider.counts.spent = 2;
        let material = KeyMaterial::Es256([2; 33]);
        provider.keys.push(ProviderKey {
            material,
            key_id: "kid-1".to_owned(),
            not_before: 0,
            not_after: u64::MAX,
            revoked: Some(60),
        });
        registry.providers.insert(4, provider);
        registry.issued(1, batch(4, 3, 500));
        registry.issued(2, batch(4, 3, 400));
        let page = provider_page(4, &registry.providers[&4], &Outstanding::of(&registry, 450));
        assert_eq!(page["codes"], json!({ "issued": 6, "spent": 2, "outstanding": 2, "spent_share": 0.333 }));
        assert_eq!((&page["standing"], &page["keys"][0]["algorithm"]), (&json!("active"), &json!("es256")));
        assert_eq!(page["keys"][0]["until"], Value::Null);
        assert_eq!(page["keys"][0]["revoked"], "1970-01-01T00:01:00Z");
        let line = batch_line(&registry, 2, &registry.batches[&2], 450);
        assert_eq!(
            (&line["spent"], &line["outstanding"], &line["onset"]),
            (&json!(1), &json!(0), &json!("2026-11-23"))
        );
        assert_eq!(spent_share(0, 0), Value::Null);
    }
}
