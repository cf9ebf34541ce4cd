//! Imports: keys from elsewhere, judged one by one, stored as reports of a provider.

use std::collections::{BTreeMap, BTreeSet};

use super::super::event::{Event, MAX_KEYS_PER_REPORT, Reported, ReportedKey};
use super::super::input::{ImportCounts, ImportedKey, Reply};
use super::super::manifest::key_limits;
use super::super::refusal::Refusal;
use super::{MAX_IMPORT_KEYS, Writer};
use crate::authority::{Verdict, judge};
use crate::release::Schema;
use crate::time;

impl Writer {
    /// Judges every key by itself, and stores the good ones as reports of up to 30 keys.
    pub(super) fn import(
        &mut self,
        now: u64,
        set: u32,
        provider: String,
        keys: &[ImportedKey],
    ) -> Result<Reply, Refusal> {
        let state = self.state.set(set).ok_or(Refusal::NoSet { set })?;
        if keys.len() > MAX_IMPORT_KEYS {
            return Err(Refusal::TooMany { what: "keys in one import", limit: MAX_IMPORT_KEYS });
        }
        let params = *state.params();
        let limits = key_limits(&params, state.horizon_at(now));
        let mut seen = BTreeSet::new();
        let mut rejected: BTreeMap<Verdict, u64> = BTreeMap::new();
        let mut accepted = Vec::new();
        for k in keys {
            let verdict = judge(&limits, now, k.key.as_bytes().len(), k.fields.start, k.period)
                // As sent, fields are those of `gaen-full`; what a schema lacks goes when they are coarsened.
                .and_then(|()| Schema::GaenFull.check(&k.fields).map_err(|_| Verdict::Field))
                .and_then(|()| if seen.insert(k.key) { Ok(()) } else { Err(Verdict::Duplicate) });
            match verdict {
                Ok(()) => accepted.push(ReportedKey {
                    key: k.key,
                    fields: params.schema.coarsen(k.fields),
                    embargo_end: time::end_of_validity(k.fields.start, k.fields.period)
                        + u64::from(params.embargo_s),
                }),
                Err(reason) => *rejected.entry(reason).or_default() += 1,
            }
        }
        if !accepted.is_empty() {
            let provider = self.provider_named(now, provider)?;
            for chunk in accepted.chunks(MAX_KEYS_PER_REPORT) {
                let mut report = [0; 16];
                self.random.fill(&mut report);
                let keys = chunk.to_vec();
                self.record(now, &Event::Reported(Reported::unauthored(set, provider, report, keys)));
            }
        }
        let rejected = rejected.into_iter().map(|(v, n)| (v.name(), n)).collect();
        let (keys, accepted) = (keys.len() as u64, accepted.len() as u64);
        Ok(Reply::Imported(ImportCounts { keys, accepted, rejected }))
    }

    fn provider_named(&mut self, now: u64, name: String) -> Result<u32, Refusal> {
        if let Some((id, _)) = self.state.providers().find(|(_, p)| p.name == name) {
            return Ok(id);
        }
        match self.add_provider(now, name, None, None)? {
            Reply::Provider { provider, .. } => Ok(provider),
            other => unreachable!("adding a provider answers with it, not {other:?}"),
        }
    }
}
