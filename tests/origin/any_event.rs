//! Strategies for events of every kind, whatever they say.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tekd::authority::{Grant, Issuer, KeyMaterial, ProviderKey, Scope, Standing};
use tekd::engine::{
    Amended, Authored, Based, Changes, CodesIssued, Configured, Event, Founded, Params, ProviderAdded,
    ProviderKeyRevoked, ProviderStood, Published, Released, Reported, ReportedKey, SealKey, Told, Withdrawn,
};
use tekd::release::{Fields, Schema};
use tekd::wire::Key;
use tekd::wire::report::{Durability, ReportType, Verdict};

/// The greatest number of a kind.
pub(super) const KINDS: u16 = 19;

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![vec(any::<u8>(), 16), vec(any::<u8>(), 32)].prop_map(|b| Key::from_slice(&b).unwrap())
}

fn fields() -> impl Strategy<Value = Fields> {
    (any::<u32>(), any::<u16>(), any::<u8>(), any::<u8>(), any::<i8>())
        .prop_map(|(start, period, report, risk, onset)| Fields { start, period, report, risk, onset })
}

fn params() -> impl Strategy<Value = Params> {
    (select(Schema::ALL.to_vec()), any::<(u16, u32, u32, u32, u32, bool)>()).prop_map(
        |(schema, (retention_days, interval_s, embargo_s, min_reports, max_wait_s, decoys))| Params {
            schema,
            retention_days,
            interval_s,
            embargo_s,
            min_reports,
            max_wait_s,
            decoys,
        },
    )
}

fn text() -> impl Strategy<Value = String> {
    ".{0,40}"
}

fn report_type() -> impl Strategy<Value = ReportType> {
    select(ReportType::ALL.to_vec())
}

/// A number that is not told as 0.
fn told_number() -> impl Strategy<Value = Option<u32>> {
    option::of(1..=u32::MAX)
}

fn halves<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    vec(any::<u8>(), N).prop_map(|bytes| bytes.try_into().unwrap())
}

fn told() -> impl Strategy<Value = Told> {
    let signed = (select(Durability::ALL.to_vec()), any::<(u32, u32)>(), halves());
    (any::<[u8; 32]>(), vec(select(Verdict::ALL.to_vec()), 0..=36), signed).prop_map(
        |(content, verdicts, (durability, (incarnation, key_epoch), signature))| Told {
            content,
            verdicts,
            durability,
            incarnation,
            key_epoch,
            signature,
        },
    )
}

fn grant() -> impl Strategy<Value = Grant> {
    prop_oneof![
        Just(Grant::None),
        any::<(u32, u32)>().prop_map(|(batch, index)| Grant::Code { batch, index }),
        any::<([u8; 8], [u8; 16], u64)>().prop_map(|(signer, identity, until)| Grant::Certificate {
            signer,
            identity,
            until
        }),
    ]
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        (any::<u32>(), key()).prop_map(|(set, key)| Scope::Key { set, key }),
        any::<u64>().prop_map(|report| Scope::Report { report }),
        any::<u32>().prop_map(|batch| Scope::Batch { batch }),
        any::<(u32, u64)>().prop_map(|(provider, since)| Scope::Provider { provider, since }),
        (any::<u64>(), told_number()).prop_map(|(seq, provider)| Scope::After { seq, provider }),
        any::<(u32, [u8; 8], u64)>().prop_map(|(provider, signer, since)| Scope::Signer {
            provider,
            signer,
            since
        }),
    ]
}

fn keys(n: impl Into<proptest::collection::SizeRange>) -> impl Strategy<Value = Vec<ReportedKey>> {
    let one = (key(), fields(), any::<u64>());
    vec(one.prop_map(|(key, fields, embargo_end)| ReportedKey { key, fields, embargo_end }), n)
}

fn reported() -> impl Strategy<Value = Event> {
    let authored = (any::<[u8; 32]>(), told_number(), report_type(), told());
    let authored = authored.prop_map(|(secret_hash, onset_day, report_type, told)| Authored {
        secret_hash,
        onset_day,
        report_type,
        told,
    });
    (any::<(u32, u32, [u8; 16])>(), grant(), option::of(authored), keys(1..31)).prop_map(
        |((set, provider, report), grant, authored, keys)| {
            Event::Reported(Reported { set, provider, report, grant, authored, keys })
        },
    )
}

fn amended() -> impl Strategy<Value = Event> {
    (any::<(u32, u64, u32)>(), option::of(report_type()), grant(), keys(0..31), told()).prop_map(
        |((set, report, provider), report_type, grant, keys, told)| {
            Event::Amended(Amended { set, report, report_type, grant, provider, keys, told })
        },
    )
}

fn provider_key() -> impl Strategy<Value = ProviderKey> {
    let material = prop_oneof![
        any::<[u8; 32]>().prop_map(KeyMaterial::Ed25519),
        halves::<33>().prop_map(KeyMaterial::Es256),
    ];
    (material, text(), any::<(u64, u64)>(), option::of(1..=u64::MAX)).prop_map(
        |(material, key_id, (not_before, not_after), revoked)| ProviderKey {
            material,
            key_id,
            not_before,
            not_after,
            revoked,
        },
    )
}

fn codes_issued() -> impl Strategy<Value = Event> {
    (any::<(u32, u32, u32, [u8; 16], [u8; 8], u32, u64)>(), report_type(), told_number()).prop_map(
        |((batch, provider, set, nonce, key_id, count, expires), report_type, onset_day)| {
            Event::CodesIssued(CodesIssued {
                batch,
                provider,
                set,
                report_type,
                onset_day,
                nonce,
                key_id,
                count,
                expires,
            })
        },
    )
}

fn released() -> impl Strategy<Value = Event> {
    let head = any::<(u32, u32, u64, u32, u8, u64, bool, bool)>();
    (head, any::<[u32; 5]>(), vec(any::<u64>(), 0..9)).prop_map(|(head, c, decoys_leaving)| {
        let (set, serial, time, horizon, bits, admit, withdraw, forced) = head;
        let [added, withdrawn, expired, decoys_added, decoys_withdrawn] = c;
        let changes = Changes { added, withdrawn, expired, decoys_added, decoys_withdrawn };
        Event::Released(Released {
            set,
            serial,
            time,
            horizon,
            bits,
            admit,
            withdraw,
            forced,
            decoys_leaving,
            changes,
        })
    })
}

/// What is decided about providers and their grants.
fn authorities() -> impl Strategy<Value = Event> {
    let standing = || select(vec![Standing::Active, Standing::Suspended, Standing::Revoked]);
    prop_oneof![
        (any::<u32>(), text(), option::of((text(), text(), any::<u32>()))).prop_map(
            |(provider, name, issuer)| {
                let issuer = issuer.map(|(name, audience, set)| Issuer { name, audience, set });
                Event::ProviderAdded(ProviderAdded { provider, name, issuer })
            }
        ),
        (any::<u32>(), provider_key()).prop_map(|(provider, key)| Event::ProviderKeyAdded { provider, key }),
        (any::<(u32, [u8; 8], Option<u64>)>(), text()).prop_map(
            |((provider, fingerprint, since), reason)| {
                Event::ProviderKeyRevoked(ProviderKeyRevoked { provider, fingerprint, since, reason })
            }
        ),
        (any::<(u32, Option<u64>)>(), standing(), text()).prop_map(
            |((provider, since), standing, reason)| {
                Event::ProviderStood(ProviderStood { provider, standing, since, reason })
            }
        ),
        codes_issued(),
        (any::<(u32, bool)>(), text()).prop_map(|((batch, retroactive), reason)| Event::BatchRevoked {
            batch,
            retroactive,
            reason
        }),
        any::<[u8; 8]>().prop_map(|key_id| Event::CodesVoided { key_id }),
        any::<([u8; 32], [u8; 8], u64, u64)>().prop_map(|(public, id, not_before, not_after)| {
            Event::SealKeyMade(SealKey { public, id, not_before, not_after })
        }),
    ]
}

/// What is decided about a set and its service.
fn pages() -> impl Strategy<Value = Event> {
    let blob = || vec(any::<u8>(), 0..99);
    prop_oneof![
        any::<([u8; 8], u32)>()
            .prop_map(|(service, incarnation)| Event::Founded(Founded { service, incarnation })),
        (any::<u32>(), vec(blob(), 0..3))
            .prop_map(|(incarnation, known)| Event::Adopted { incarnation, known }),
        any::<(u64, u64, [u8; 32], [u8; 32])>().prop_map(|(gno, seq, chain, digest)| Event::Based(Based {
            gno,
            seq,
            chain,
            digest
        })),
        blob().prop_map(Event::Delegated),
        (any::<u32>(), params()).prop_map(|(set, params)| Event::Configured(Configured { set, params })),
        (any::<u32>(), blob()).prop_map(|(set, bytes)| Event::ManifestIssued { set, bytes }),
        released(),
        (any::<(u32, u32, u64, [u8; 32], [u8; 32])>(), blob(), blob()).prop_map(
            |((set, serial, count, root, history_digest), checkpoint, signatures)| {
                Event::Published(Published {
                    set,
                    serial,
                    count,
                    root,
                    history_digest,
                    checkpoint,
                    signatures,
                })
            }
        ),
    ]
}

/// Any event.
pub(super) fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        pages(),
        authorities(),
        reported(),
        amended(),
        (scope(), any::<bool>(), text(), option::of(told())).prop_map(|(scope, urgent, reason, told)| {
            Event::Withdrawn(Withdrawn { scope, urgent, reason, told })
        }),
        any::<u64>().prop_map(|seq| Event::Reinstated { seq }),
    ]
}
