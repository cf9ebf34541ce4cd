//! What a set's parameters say in public: its manifest, its limits, how long it is fresh.

use super::event::{MAX_KEYS_PER_REPORT, SealKey};
use super::params::Params;
use super::set::SetState;
use crate::authority::Limits;
use crate::authority::seal::{SUITE_AEAD, SUITE_KDF, SUITE_KEM};
use crate::release::Manifest;

/// Least and greatest rolling period accepted, in intervals.
pub const PERIOD: (u16, u16) = (1, 144);
/// Most keys of one report with the same start.
pub const MAX_KEYS_PER_START: u16 = 3;
/// How far a start may lie ahead, in seconds.
pub const MAX_FUTURE_S: u32 = 7200;
/// Age at which a checkpoint supports no claim of absence, in seconds.
pub const TOO_OLD_S: u32 = 604_800;
/// Seconds beyond two intervals that a checkpoint stays fresh.
pub(crate) const FRESH_SLACK_S: u32 = 600;

const _: () = assert!(MAX_KEYS_PER_REPORT <= u16::MAX as usize);

/// What the judgement of keys needs, for a release at that horizon.
pub(crate) fn key_limits(params: &Params, horizon: u32) -> Limits {
    Limits {
        key_len: params.schema.key_len(),
        min_period: PERIOD.0,
        max_period: PERIOD.1,
        max_future_s: MAX_FUTURE_S,
        horizon,
        max_keys: MAX_KEYS_PER_REPORT,
        max_keys_per_start: MAX_KEYS_PER_START,
    }
}

/// How long after its time a checkpoint may be taken as the newest.
pub fn fresh_s(params: &Params) -> u32 {
    2 * params.interval_s + FRESH_SLACK_S
}

pub(crate) fn fresh_until(params: &Params, time: u64) -> u64 {
    time + u64::from(fresh_s(params))
}

/// The manifest that follows the newest one of `set`.
pub(crate) fn manifest_of(
    set: &SetState,
    seal_keys: &[SealKey],
    service: [u8; 8],
    now: u64,
    key_epoch: u32,
) -> Manifest {
    let p = set.params();
    Manifest {
        service,
        set: set.id,
        number: set.manifest_number + 1,
        time: now,
        schema: p.schema.number(),
        retention_days: p.retention_days,
        interval_s: p.interval_s,
        fresh_s: fresh_s(p),
        too_old_s: TOO_OLD_S,
        embargo_s: p.embargo_s,
        min_reports: p.min_reports,
        max_wait_s: p.max_wait_s,
        decoys: p.decoys,
        min_protocol: 1,
        max_keys: u16::try_from(MAX_KEYS_PER_REPORT).expect("asserted above"),
        max_keys_per_start: MAX_KEYS_PER_START,
        min_period: PERIOD.0,
        max_period: PERIOD.1,
        max_ahead_s: MAX_FUTURE_S,
        client_wait_s: p.interval_s,
        key_epoch,
        nodes: Vec::new(),
        seal_keys: seal_keys.iter().filter(|key| key.not_after >= now).map(public_key).collect(),
        witnesses: Vec::new(),
        other: Vec::new(),
    }
}

/// A seal key as clients read it (spec 3.6.2).
fn public_key(key: &SealKey) -> crate::release::SealKey {
    crate::release::SealKey {
        kem: SUITE_KEM,
        kdf: SUITE_KDF,
        aead: SUITE_AEAD,
        not_before: key.not_before,
        not_after: key.not_after,
        id: key.id,
        public: key.public.to_vec(),
    }
}
