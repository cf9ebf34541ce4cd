//! What each operator's command does.
//!
//! Here are those of the whole process, and what the others have in common: what changes something is asked
//! of the writer, what only looks does so between two of its groups. Codes are in replies that were asked
//! for, and nowhere else.

mod imports;
mod keys;
mod reports;
mod providers;
mod codes;
mod releases;
mod sets;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::Clock;
use super::handle::{AskError, OriginHandle};
use super::health::{self, OriginHealth, ReportingHealth};
use super::keys::Keys;
use super::metrics::{Counters, HeldKeys};
use super::origin::Origin;
use super::private::PrivateHalf;
use super::sealed_counts::SealedCounts;
use super::snapshots::bytes_to_oldest_base;
use super::xdp::XdpState;
use crate::authority::{Issuer, Scope, Standing};
use crate::engine::{CodeOrder, Input, Refusal, Reply, SetState, View};
use crate::release::Checkpoint;
use crate::service::control::{ControlReply, ControlRequest};
use crate::store::{Disk, Published};

use reports::Wanted;

pub(crate) use imports::Session;

/// How long health waits for the writer: who asks whether all is well is answered although it is not.
const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// Everything commands act on.
pub struct Commands {
    /// Present at an origin, absent at a public node.
    pub private: Option<Arc<PrivateHalf>>,
    /// What readers see.
    pub view: Arc<Published<View>>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The disk.
    pub disk: Arc<dyn Disk>,
    /// The data directory.
    pub data: PathBuf,
    /// Counters of this process.
    pub counters: Arc<Counters>,
    /// Asks the process to end.
    pub shutdown: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commands").field("data", &self.data).finish_non_exhaustive()
    }
}

type Done = Result<Value, ControlReply>;

fn failed(e: impl std::fmt::Display) -> ControlReply {
    ControlReply::failed(e.to_string())
}

/// The writer answered something else than what it was asked: a mistake of this program.
fn unexpected(reply: &Reply) -> ControlReply {
    failed(format!("the writer answered {reply:?}, which is no answer to this command"))
}

/// What the writer's refusal is to an operator: a slip of the command line where what was asked for cannot
/// be, a refusal where it cannot be now.
fn asked(e: AskError) -> ControlReply {
    match e {
        AskError::Refused(
            refusal @ (Refusal::Params(_)
            | Refusal::Text { .. }
            | Refusal::Range { .. }
            | Refusal::NoSet { .. }
            | Refusal::NoProvider { .. }
            | Refusal::NoBatch { .. }
            | Refusal::NoEvent { .. }
            | Refusal::SetExists { .. }),
        ) => ControlReply::usage(refusal.to_string()),
        AskError::Refused(refusal) => ControlReply::refused(refusal.to_string()),
        AskError::Busy
        | AskError::Unbuilt { .. }
        | AskError::Reading { .. }
        | AskError::Slow(_)
        | AskError::NoSnapshot(_)
        | AskError::Stopped(_) => failed(e),
    }
}

impl Commands {
    /// Carries out one command.
    pub(crate) fn answer(&self, session: &mut Session, request: ControlRequest) -> ControlReply {
        match self.carry_out(session, request) {
            Ok(value) => match value.get("healthy") {
                Some(Value::Bool(false)) => ControlReply::degraded(value, "a stated property does not hold"),
                _ => ControlReply::done(value),
            },
            Err(reply) => reply,
        }
    }

    fn carry_out(&self, session: &mut Session, request: ControlRequest) -> Done {
        use ControlRequest as R;
        match request {
            R::Status {} => self.status(),
            R::Health {} => self.health(),
            R::Stats {} => Ok(self.stats()),
            R::Metrics {} => Ok(json!({ "text": self.metrics_page() })),
            R::SetList {} => self.list_sets(),
            R::SetShow { set } => self.show_set(set),
            R::SetCreate { set, settings } => self.create_set(set, &settings),
            R::SetConfigure { set, settings } => self.configure(set, &settings),
            R::ImportBegin { set, .. } => imports::begin_import(session, set),
            R::ImportKeys { import, keys } => imports::add_keys(session, import, &keys),
            R::ImportCommit { import } => self.commit_import(session, import),
            R::ReleaseNow { set, allow_small } => self.release_now(set, allow_small),
            R::ReleaseList { set } => self.releases(set, None).map(Value::from),
            R::ReleaseShow { set, serial } => self.release(set, serial),
            R::ReleaseHeld { set } => self.held(set),
            R::ReleaseApprove { reason, .. } => self.approve(&reason),
            R::SnapshotNow {} => self.snapshot(),
            R::KeysList {} => self.list_keys(),
            R::KeysExportRoot { path } => self.export_root(path),
            R::KeysExportCodes { path } => self.export_codes(path),
            R::KeysRotateSeal {} => self.rotate_seal(),
            R::KeysRotateOnline {} => self.rotate_online(),
            R::KeysRotateTls {} => self.rotate_tls(),
            R::Drain {} => self.drain(true),
            R::Undrain {} => self.drain(false),
            R::Shutdown {} => {
                (self.shutdown)();
                Ok(json!({ "stopping": true }))
            }
            about_reports => self.about_reports(about_reports),
        }
    }

    /// Who may report, what was reported, and what is taken back.
    fn about_reports(&self, request: ControlRequest) -> Done {
        use ControlRequest as R;
        match request {
            R::ProviderAdd { name, key, issuer, audience, set } => {
                let issuer = issuer.zip(audience).map(|(name, audience)| Issuer { name, audience, set });
                self.add_provider(name, key.as_ref(), issuer)
            }
            R::ProviderList {} => self.list_providers(),
            R::ProviderShow { provider } => self.show_provider(provider),
            R::ProviderKeyAdd { provider, key } => self.add_provider_key(provider, &key),
            R::ProviderKeyRevoke { provider, fingerprint, since, reason, dry_run } => {
                self.revoke_provider_key(provider, &fingerprint, since, reason, dry_run)
            }
            R::ProviderSuspend { provider, reason } => self.stand(provider, Standing::Suspended, reason),
            R::ProviderResume { provider, reason } => self.stand(provider, Standing::Active, reason),
            R::ProviderRevoke { provider, since, reason, dry_run } => {
                self.revoke_provider(provider, since, reason, dry_run)
            }
            R::CodesIssue { provider, set, count, lifetime_s, report_type, onset_day } => {
                let report_type = codes::report_type(&report_type)?;
                self.issue_codes(CodeOrder { provider, set, count, report_type, onset_day, lifetime_s })
            }
            R::CodesList {} => self.list_batches(),
            R::CodesCheck { code } => self.check_code(&code),
            R::CodesShow { batch } => self.show_codes(batch),
            R::CodesRevoke { batch, retroactive, reason, dry_run } => {
                self.revoke_batch(batch, retroactive, reason, dry_run)
            }
            R::ReportShow { report } => self.show_report(&report),
            R::ReportList { set, provider, batch, limit } => {
                self.list_reports(Wanted { set, provider, batch }, limit)
            }
            R::ReportWithdraw { report, reason, urgent, dry_run } => {
                self.withdraw_report(&report, reason, urgent, dry_run)
            }
            R::KeyWithdraw { set, key, reason, urgent, dry_run } => {
                self.withdraw_key(set, &key.0, reason, urgent, dry_run)
            }
            R::Rollback { to, provider, reason, urgent, dry_run } => {
                self.withdraw(Scope::After { seq: to, provider }, reason, urgent, dry_run)
            }
            R::Reinstate { seq } => self.reinstate(seq),
            other => unreachable!("{other:?} is carried out above"),
        }
    }

    fn origin(&self) -> Result<&Arc<OriginHandle>, ControlReply> {
        let private = self.private.as_ref().ok_or_else(|| {
            ControlReply::refused("this is a public node: it has no journal; give the command to its origin")
        })?;
        private.wait().map_err(asked)
    }

    /// Looks at the origin between two groups of its writer.
    fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Origin) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, ControlReply> {
        let found = self.origin()?.look(look).map_err(asked)?;
        found.map_err(|refusal| asked(refusal.into()))
    }

    fn ask(&self, input: Input) -> Result<Reply, ControlReply> {
        let reply = self.origin()?.ask(input).map_err(asked)?;
        self.note_head()?;
        Ok(reply)
    }

    /// Who reads the journal's files next finds what was just confirmed.
    fn note_head(&self) -> Result<(), ControlReply> {
        let noted = self.origin()?.act(|o, _| {
            if let Err(e) = o.idle() {
                tracing::error!("the writer could not note its head: {e}");
            }
            Vec::new()
        });
        noted.map(|_| ()).map_err(asked)
    }

    fn status(&self) -> Done {
        let view = self.view.load();
        let now = self.clock.now().unix;
        let sets: Vec<Value> = view
            .sets
            .iter()
            .map(|s| {
                let release = s.release.as_ref().map(|r| &r.checkpoint);
                json!({
                    "set": s.set,
                    "serial": release.map_or(0, Checkpoint::serial),
                    "live": release.map_or(0, Checkpoint::count),
                    "age_s": release.map(|c| now.saturating_sub(c.time())),
                })
            })
            .collect();
        let journal = match &self.private {
            Some(_) => {
                let origin = self.origin()?;
                let head = |o: &Origin| (o.head(), o.mirror().map(Path::to_path_buf));
                let looked = origin.look_within(HEALTH_PATIENCE, head);
                let (head, mirror) = looked.map_err(asked)?;
                // What is confirmed is in both; what may be wrong is rot in what is closed.
                let whole = !self.damage().iter().any(|finding| finding.property == "mirror");
                let mirror = mirror.map(|dir| json!({ "dir": dir.display().to_string(), "whole": whole }));
                json!({
                    "seq": head.seq,
                    "groups": head.gno,
                    "chain": hex::encode(head.chain),
                    "mirror": mirror,
                })
            }
            None => Value::Null,
        };
        Ok(json!({
            "role": if self.private.is_some() { "origin" } else { "node" },
            "version": env!("CARGO_PKG_VERSION"),
            "service": hex::encode(view.service),
            "node": view.node,
            "draining": view.is_draining(),
            "pid": std::process::id(),
            "sets": sets,
            "journal": journal,
        }))
    }

    fn damage(&self) -> Vec<health::Finding> {
        self.counters.scrubbing.as_ref().map(|scrubbing| scrubbing.damage()).unwrap_or_default()
    }

    /// What does not hold here; a state that is being read is waited for with `patience`.
    pub(crate) fn findings(&self, patience: Duration) -> Vec<health::Finding> {
        let origin = self.private.as_ref().map(|private| self.origin_health(private, patience));
        let polls = self.counters.polls.as_ref().map(|polls| polls.state());
        let now = self.clock.now().unix;
        let mut found = health::findings(&self.view.load(), origin.as_ref(), polls.as_ref(), now);
        found.extend(self.counters.xdp.iter().flat_map(XdpState::findings));
        found.extend(health::udp_workers(self.counters.failed_udp_workers(), self.counters.udp.len()));
        found.extend(health::quic_endpoints(self.counters.lost_quic_endpoints(), self.counters.quic.len()));
        found
    }

    fn origin_health(&self, private: &PrivateHalf, patience: Duration) -> OriginHealth {
        let root_here =
            Keys::open(&*self.disk, &self.data).and_then(|k| k.root()).is_ok_and(|root| root.is_some());
        let origin = match private.wait_for(patience) {
            Ok(origin) => origin,
            Err(e) => {
                let (silent, damage) = (Some(e.to_string()), self.damage());
                return OriginHealth { silent, root_here, damage, ..OriginHealth::default() };
            }
        };
        let (now, sealed_until) = (self.clock.now().unix, origin.keyhole().look().ring.sealed_until());
        let looked = origin.look_within(HEALTH_PATIENCE, move |o| {
            let reporting = ReportingHealth::of(o, sealed_until, now);
            let alarm = o.writer().clock_alarm().map(ToString::to_string);
            let signed = o.state().delegation();
            let delegation =
                signed.get(..crate::release::DELEGATION_LEN).map(crate::release::Delegation::parse);
            let ends = delegation.and_then(Result::ok).map(|d| d.not_after());
            (alarm, ends, Some(reporting), o.journal_full())
        });
        let silent = looked.as_ref().err().map(ToString::to_string);
        let (clock_alarm, delegation_ends, reporting, journal_full) = looked.unwrap_or_default();
        let deadlines = self.counters.desk().map(|desk| desk.last_hour()).unwrap_or_default();
        let (stopped, building) = (origin.stopped(), origin.troubles());
        OriginHealth {
            stopped,
            silent,
            building,
            journal_full,
            damage: self.damage(),
            clock_alarm,
            root_here,
            delegation_ends,
            deadlines,
            reporting,
        }
    }

    fn health(&self) -> Done {
        Ok(health::as_json(&self.findings(HEALTH_PATIENCE)))
    }

    fn stats(&self) -> Value {
        let named = |counts: Vec<(&'static str, u64)>| -> Value {
            counts
                .into_iter()
                .map(|(n, v)| (n.to_owned(), Value::from(v)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let answers = &self.counters.answers;
        let sealed = self.counters.desk().map(|desk| desk.counts());
        json!({
            "questions": named(answers.asked().map(|(o, n)| (o.label(), n)).collect()),
            "answers": named(answers.results().map(|(r, n)| (r.name(), n)).collect()),
            "silent": named(answers.silent().map(|(r, n)| (r.name(), n)).collect()),
            "udp": named(self.counters.udp_counts().named().collect()),
            "xdp": named(self.counters.xdp.as_ref().map(XdpState::counts).unwrap_or_default()),
            "tls": named(self.counters.tls_counts().named().collect()),
            "quic": named(self.counters.quic_counts().named().collect()),
            "sealed": named(sealed.as_ref().map(SealedCounts::named).unwrap_or_default()),
            "sealed_outcomes": named(sealed.map(|counts| counts.outcomes).unwrap_or_default()),
        })
    }

    /// The metrics page.
    pub(crate) fn metrics_page(&self) -> String {
        let now = self.clock.now().unix;
        // A writer that is gone or busy is a finding; its keys are then not on the page.
        let held = self.private.as_ref().and_then(|private| private.origin()).map(|origin| {
            origin.look_within(HEALTH_PATIENCE, move |o| {
                let files = (o.options().clone(), *o.identity());
                let of = |(id, set): (u32, &SetState)| {
                    let (embargo, ready) = set.waiting_at(now);
                    HeldKeys { set: id, embargo, ready, leaving: set.leaving() }
                };
                (o.state().sets().map(of).collect::<Vec<_>>(), files)
            })
        });
        let findings = self.findings(Duration::ZERO);
        let Some((held, (options, identity))) = held.and_then(Result::ok) else {
            return self.counters.page(&self.view.load(), &findings, &[], None, now);
        };
        let to_base = bytes_to_oldest_base(&*options.disk, &options.dir, &identity).ok();
        self.counters.page(&self.view.load(), &findings, &held, to_base, now)
    }

    fn snapshot(&self) -> Done {
        let origin = self.origin()?;
        match origin.base().map_err(asked)? {
            Reply::Based(base) => {
                Ok(json!({ "seq": base.seq, "gno": base.gno, "digest": hex::encode(base.digest) }))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn drain(&self, draining: bool) -> Done {
        self.view.load().set_draining(draining);
        Ok(json!({ "draining": draining }))
    }
}
