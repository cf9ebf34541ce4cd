//! What each operator's command does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::clock::Clock;
use super::entropy::SystemRandom;
use super::handle::{AskError, OriginHandle};
use super::health::{self, OriginHealth, ReportingHealth};
use super::keys::Keys;
use super::listing;
use super::metrics::Counters;
use super::origin::write_snapshot;
use super::sealed_counts::SealedCounts;
use crate::authority::Scope;
use crate::engine::{
    DEFAULT_PARAMS, ImportedKey, Input, MAX_IMPORT_KEYS, Params, ParamsChange, Refusal, ReleaseSummary,
    Reply, View,
};
use crate::release::{Checkpoint, Fields, ONSET_NONE, Schema};
use crate::service::control::{ControlReply, ControlRequest, ImportKey, MAX_IMPORT_CHUNK, SetSettings};
use crate::store::{Disk, Published};
use crate::wire::Key;

/// Imports one connection may have begun.
const MAX_OPEN_IMPORTS: usize = 4;

/// What a control connection remembers between its commands.
#[derive(Debug, Default)]
pub(crate) struct Session {
    next: u64,
    imports: BTreeMap<u64, Import>,
}

#[derive(Debug)]
struct Import {
    set: u32,
    keys: Vec<ImportedKey>,
    /// Keys whose bytes are no key.
    malformed: u64,
}

/// Everything commands act on.
pub struct Commands {
    /// Present at an origin, absent at a public node.
    pub origin: Option<Arc<OriginHandle>>,
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

fn asked(e: AskError) -> ControlReply {
    match e {
        AskError::Refused(
            refusal @ (Refusal::Params(_)
            | Refusal::Text { .. }
            | Refusal::NoSet { .. }
            | Refusal::SetExists { .. }),
        ) => ControlReply::usage(refusal.to_string()),
        AskError::Refused(refusal) => ControlReply::refused(refusal.to_string()),
        AskError::Busy | AskError::Stopped(_) => failed(e),
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
        match request {
            ControlRequest::Status {} => self.status(),
            ControlRequest::Health {} => self.health(),
            ControlRequest::Stats {} => Ok(self.stats()),
            ControlRequest::Metrics {} => Ok(json!({ "text": self.metrics_page() })),
            ControlRequest::SetList {} => self.list_sets(),
            ControlRequest::SetShow { set } => self.show_set(set),
            ControlRequest::SetCreate { set, settings } => self.create_set(set, &settings),
            ControlRequest::SetConfigure { set, settings } => self.configure(set, &settings),
            ControlRequest::ProviderAdd { name, key } => self.add_provider(name, key.map(|k| k.0)),
            ControlRequest::ProviderList {} => self.list_providers(),
            ControlRequest::ImportBegin { set, .. } => begin_import(session, set),
            ControlRequest::ImportKeys { import, keys } => add_keys(session, import, &keys),
            ControlRequest::ImportCommit { import } => self.commit_import(session, import),
            ControlRequest::KeyWithdraw { set, key, reason, urgent, dry_run } => {
                self.withdraw_key(set, &key.0, reason, urgent, dry_run)
            }
            ControlRequest::ReleaseNow { set, allow_small } => self.release_now(set, allow_small),
            ControlRequest::ReleaseList { set } => self.releases(set, None).map(Value::from),
            ControlRequest::ReleaseShow { set, serial } => self.release(set, serial),
            ControlRequest::ReleaseHeld { set } => self.held(set),
            ControlRequest::ReleaseApprove { reason, .. } => self.approve(&reason),
            ControlRequest::SnapshotNow {} => self.snapshot(),
            ControlRequest::KeysList {} => self.list_keys(),
            ControlRequest::KeysExportRoot { path } => self.export_root(path),
            ControlRequest::KeysRotateOnline {} => self.rotate_online(),
            ControlRequest::KeysRotateTls {} => self.rotate_tls(),
            ControlRequest::Drain {} => self.drain(true),
            ControlRequest::Undrain {} => self.drain(false),
            ControlRequest::Shutdown {} => {
                (self.shutdown)();
                Ok(json!({ "stopping": true }))
            }
        }
    }

    fn origin(&self) -> Result<&Arc<OriginHandle>, ControlReply> {
        self.origin.as_ref().ok_or_else(|| {
            ControlReply::refused("this is a public node: it has no journal; give the command to its origin")
        })
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
        let journal = match &self.origin {
            Some(origin) => {
                let head = origin.look(super::origin::Origin::head).map_err(asked)?;
                json!({ "seq": head.seq, "groups": head.gno, "chain": hex::encode(head.chain) })
            }
            None => Value::Null,
        };
        Ok(json!({
            "role": if self.origin.is_some() { "origin" } else { "node" },
            "version": env!("CARGO_PKG_VERSION"),
            "service": hex::encode(view.service),
            "node": view.node,
            "draining": view.is_draining(),
            "pid": std::process::id(),
            "sets": sets,
            "journal": journal,
        }))
    }

    /// What does not hold here.
    pub(crate) fn findings(&self) -> Vec<health::Finding> {
        let origin = self.origin.as_ref().map(|o| self.origin_health(o));
        let polls = self.counters.polls.as_ref().map(|polls| polls.state());
        health::findings(&self.view.load(), origin.as_ref(), polls.as_ref(), self.clock.now().unix)
    }

    fn origin_health(&self, origin: &OriginHandle) -> OriginHealth {
        let root_here =
            Keys::open(&*self.disk, &self.data).and_then(|k| k.root()).is_ok_and(|root| root.is_some());
        let (now, sealed_until) = (self.clock.now().unix, origin.keyhole().look().ring.sealed_until());
        let looked = origin.look(move |o| {
            let reporting = ReportingHealth::of(o, sealed_until, now);
            let alarm = o.writer().clock_alarm().map(ToString::to_string);
            let signed = o.state().delegation();
            let delegation =
                signed.get(..crate::release::DELEGATION_LEN).map(crate::release::Delegation::parse);
            (alarm, delegation.and_then(Result::ok).map(|d| d.not_after()), Some(reporting))
        });
        let (clock_alarm, delegation_ends, reporting) = looked.unwrap_or_default();
        let deadlines = self.counters.desk.as_ref().map(|desk| desk.last_hour()).unwrap_or_default();
        let stopped = origin.stopped();
        OriginHealth { stopped, clock_alarm, root_here, delegation_ends, deadlines, reporting }
    }

    fn health(&self) -> Done {
        Ok(health::as_json(&self.findings()))
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
        let sealed = self.counters.desk.as_ref().map(|desk| desk.counts());
        json!({
            "questions": named(answers.asked().map(|(o, n)| (o.label(), n)).collect()),
            "answers": named(answers.results().map(|(r, n)| (r.name(), n)).collect()),
            "silent": named(answers.silent().map(|(r, n)| (r.name(), n)).collect()),
            "udp": named(self.counters.udp_counts().named().collect()),
            "tls": named(self.counters.tls_counts().named().collect()),
            "quic": named(self.counters.quic_counts().named().collect()),
            "sealed": named(sealed.as_ref().map(SealedCounts::named).unwrap_or_default()),
            "sealed_outcomes": named(sealed.map(|counts| counts.outcomes).unwrap_or_default()),
        })
    }

    /// The metrics page.
    pub(crate) fn metrics_page(&self) -> String {
        self.counters.page(&self.view.load(), self.findings().len(), self.clock.now().unix)
    }

    fn list_sets(&self) -> Done {
        let sets = self
            .origin()?
            .look(|o| o.state().sets().map(|(id, s)| listing::set_line(id, s)).collect::<Vec<_>>())
            .map_err(asked)?;
        Ok(sets.into())
    }

    fn show_set(&self, set: u32) -> Done {
        let now = self.clock.now().unix;
        let page = self.origin()?.look(move |o| o.state().set(set).map(|s| listing::set_page(set, s, now)));
        page.map_err(asked)?.ok_or_else(|| asked(Refusal::NoSet { set }.into()))
    }

    fn create_set(&self, set: u32, settings: &SetSettings) -> Done {
        let params: Params = change_of(settings)?.apply_to(DEFAULT_PARAMS);
        self.ask(Input::CreateSet { set, params })?;
        let written = self.origin()?.look(super::origin::Origin::write_trust).map_err(asked)?;
        written.map_err(failed)?;
        self.show_set(set)
    }

    fn configure(&self, set: u32, settings: &SetSettings) -> Done {
        let change = change_of(settings)?;
        self.ask(Input::Configure { set, change })?;
        self.show_set(set)
    }

    fn add_provider(&self, name: String, key: Option<Vec<u8>>) -> Done {
        let _ = key;
        match self.ask(Input::AddProvider { name, issuer: None, key: None })? {
            Reply::Provider { provider, name } => Ok(json!({ "provider": provider, "name": name })),
            other => Err(unexpected(&other)),
        }
    }

    fn list_providers(&self) -> Done {
        let list = self
            .origin()?
            .look(|o| o.state().providers().map(|(id, p)| listing::provider_line(id, p)).collect::<Vec<_>>())
            .map_err(asked)?;
        Ok(list.into())
    }

    fn commit_import(&self, session: &mut Session, import: u64) -> Done {
        let Some(begun) = session.imports.remove(&import) else { return Err(no_import(import)) };
        let input = Input::Import { set: begun.set, provider: "import".to_owned(), keys: begun.keys };
        let Reply::Imported(counts) = self.ask(input)? else {
            return Err(failed("the import got no counts"));
        };
        let mut rejected: BTreeMap<&str, u64> = counts.rejected.into_iter().collect();
        if begun.malformed > 0 {
            *rejected.entry("malformed").or_default() += begun.malformed;
        }
        let keys = counts.keys + begun.malformed;
        let result = json!({ "keys": keys, "accepted": counts.accepted, "rejected": rejected });
        if counts.accepted == 0 && keys > 0 {
            let why = format!("none of {keys} keys was accepted: {}; nothing was stored", reasons(&rejected));
            return Err(ControlReply::failed_with(result, why));
        }
        Ok(result)
    }

    fn withdraw_key(&self, set: u32, key: &[u8], reason: String, urgent: bool, dry_run: bool) -> Done {
        let len = key.len();
        let key = Key::from_slice(key)
            .ok_or_else(|| ControlReply::usage(format!("a key has 16 or 32 bytes, this one has {len}")))?;
        let scope = Scope::Key { set, key };
        match self.ask(Input::Withdraw { scope, urgent, reason, dry_run })? {
            Reply::Withdrawn(w) => Ok(json!({
                "reports": w.claims.reports, "keys": w.claims.keys, "live": w.claims.live, "seq": w.seq,
                "dry_run": dry_run, "urgent": urgent,
            })),
            other => Err(unexpected(&other)),
        }
    }

    fn release_now(&self, set: u32, allow_small: bool) -> Done {
        match self.ask(Input::Release { set, allow_small })? {
            Reply::Released(summary) => self.seen(&summary),
            other => Err(unexpected(&other)),
        }
    }

    /// The summary of a release, if readers see it.
    fn seen(&self, summary: &ReleaseSummary) -> Done {
        let document = listing::release_summary(summary);
        let (set, serial) = (summary.set, summary.serial);
        let shown = self.view.load().set(set).and_then(|s| Some(s.release.as_ref()?.checkpoint.serial()));
        if shown.is_some_and(|shown| shown >= serial) {
            return Ok(document);
        }
        let seen = shown.map_or("no release".to_owned(), |shown| format!("release {shown}"));
        let what =
            format!("release {serial} of set {set} is durable, but readers still see {seen}; see the log");
        Err(ControlReply::degraded(document, what))
    }

    /// The newest releases of a set, or the one of that serial.
    fn releases(&self, set: u32, only: Option<u32>) -> Result<Vec<Value>, ControlReply> {
        self.origin()?;
        listing::releases(Arc::clone(&self.disk), &self.data, set, only).map_err(failed)
    }

    fn release(&self, set: u32, serial: u32) -> Done {
        let found = self.releases(set, Some(serial))?.into_iter().next();
        found.ok_or_else(|| {
            ControlReply::usage(format!(
                "set {set} has no release {serial} in its journal; `tekctl release list` shows them"
            ))
        })
    }

    fn held(&self, only: Option<u32>) -> Done {
        let now = self.clock.now().unix;
        let origin = self.origin()?;
        let sets = origin.look(move |o| {
            let alarm = o.writer().clock_alarm().map(ToString::to_string);
            let sets: Vec<Value> = o
                .state()
                .sets()
                .filter(|(id, _)| only.is_none_or(|o| o == *id))
                .map(|(id, s)| {
                    let (embargo, ready) = s.waiting_at(now);
                    let held = json!({ "embargo": embargo, "ready": ready, "leaving": s.leaving() });
                    json!({ "set": id, "held": held })
                })
                .collect();
            json!({ "clock": alarm, "sets": sets })
        });
        sets.map_err(asked)
    }

    fn approve(&self, reason: &str) -> Done {
        if reason.trim().is_empty() {
            return Err(ControlReply::usage("an approval needs a reason: say it with --reason TEXT"));
        }
        match self.ask(Input::ApproveClock)? {
            Reply::Approved { was } => {
                if was.is_some() {
                    tracing::warn!("the clock was approved by an operator: {reason}");
                }
                Ok(json!({ "approved": was.is_some(), "was": was.map(|a| a.to_string()) }))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn snapshot(&self) -> Done {
        let origin = self.origin()?;
        let looked = origin.look(|o| (o.options().clone(), *o.identity(), o.snapshot()));
        let (options, identity, (head, payload)) = looked.map_err(asked)?;
        let digest = write_snapshot(&options, &identity, &head, &payload).map_err(failed)?;
        Ok(json!({ "seq": head.seq, "bytes": payload.len(), "digest": hex::encode(digest) }))
    }

    fn keys(&self) -> Result<Keys<'_>, ControlReply> {
        Keys::open(&*self.disk, &self.data).map_err(failed)
    }

    fn list_keys(&self) -> Done {
        let files = self.keys()?.names().map_err(failed)?;
        let online = match &self.origin {
            Some(origin) => origin.look(listing::delegation).map_err(asked)?,
            None => None,
        };
        let root_here = files.iter().any(|name| name == "root.key");
        Ok(json!({ "files": files, "online": online, "root": if root_here { "here" } else { "exported" } }))
    }

    fn export_root(&self, path: PathBuf) -> Done {
        self.origin()?;
        let keys = self.keys()?;
        if keys.root().map_err(failed)?.is_none() {
            let why = "the root key is not on this machine: it was exported already";
            return Err(ControlReply::refused(why));
        }
        keys.export_root(&path).map_err(failed)?;
        Ok(json!({ "exported": path }))
    }

    fn rotate_online(&self) -> Done {
        let origin = self.origin()?;
        let has_root = self.keys()?.root().map_err(failed)?.is_some();
        if !has_root {
            let why = "the root key is not on this machine, so no delegation can be signed here: \
                       put keys/root.key back for this command";
            return Err(ControlReply::refused(why));
        }
        let before = origin.look(|o| o.state().key_epoch()).map_err(asked)?;
        let acted = origin.act(|o, clock| match o.next_online(clock.now().unix, &mut SystemRandom) {
            Ok(input) => input.into_iter().collect(),
            Err(e) => {
                tracing::error!("no new online key: {e}");
                Vec::new()
            }
        });
        acted.map_err(asked)?;
        self.note_head()?;
        if origin.look(|o| o.state().key_epoch()).map_err(asked)? == before {
            return Err(failed(format!(
                "no new online key was made, epoch {before} goes on; the log says why"
            )));
        }
        let online = origin.look(listing::delegation).map_err(asked)?;
        Ok(json!({ "online": online }))
    }

    fn rotate_tls(&self) -> Done {
        self.keys()?.rotate_tls().map_err(failed)?;
        Ok(json!({ "rotated": true, "in_force": "after a restart" }))
    }

    fn drain(&self, draining: bool) -> Done {
        self.view.load().set_draining(draining);
        Ok(json!({ "draining": draining }))
    }
}

fn reasons(rejected: &BTreeMap<&str, u64>) -> String {
    rejected.iter().map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ")
}

fn no_import(import: u64) -> ControlReply {
    ControlReply::usage(format!("no import {import} was begun on this connection"))
}

fn begin_import(session: &mut Session, set: u32) -> Done {
    if session.imports.len() >= MAX_OPEN_IMPORTS {
        let why = format!(
            "{MAX_OPEN_IMPORTS} imports are open on this connection, the most allowed; commit one first"
        );
        return Err(ControlReply::usage(why));
    }
    session.next += 1;
    session.imports.insert(session.next, Import { set, keys: Vec::new(), malformed: 0 });
    Ok(json!({ "import": session.next }))
}

fn add_keys(session: &mut Session, import: u64, keys: &[ImportKey]) -> Done {
    let begun = session.imports.get_mut(&import).ok_or_else(|| no_import(import))?;
    if keys.len() > MAX_IMPORT_CHUNK || begun.keys.len() + keys.len() > MAX_IMPORT_KEYS {
        let why = format!(
            "{} keys after {} are too many: at most {MAX_IMPORT_CHUNK} at a time and {MAX_IMPORT_KEYS} \
             in all; nothing of this import was stored",
            keys.len(),
            begun.keys.len()
        );
        session.imports.remove(&import);
        return Err(ControlReply::usage(why));
    }
    for key in keys {
        match imported(key) {
            Some(key) => begun.keys.push(key),
            None => begun.malformed += 1,
        }
    }
    Ok(json!({ "keys": begun.keys.len() }))
}

/// A key as it was sent; what is out of range is left for the writer to judge. An onset beyond what schemas
/// know counts as none.
fn imported(k: &ImportKey) -> Option<ImportedKey> {
    let key = Key::from_slice(&k.key.0)?;
    let small = |v: Option<i64>| v.map_or(0, |v| u8::try_from(v).unwrap_or(u8::MAX));
    let onset = k.days_since_onset.and_then(|d| i8::try_from(d).ok()).filter(|d| (-14..=14).contains(d));
    let fields = Fields {
        start: k.rolling_start_number,
        period: u16::try_from(k.rolling_period).unwrap_or(0),
        report: small(k.report_type.map(i64::from)),
        risk: small(k.transmission_risk.map(i64::from)),
        onset: onset.unwrap_or(ONSET_NONE),
    };
    Some(ImportedKey { key, fields, period: k.rolling_period })
}

fn change_of(settings: &SetSettings) -> Result<ParamsChange, ControlReply> {
    let schema = match &settings.schema {
        None => None,
        Some(name) => Some(Schema::from_name(name).ok_or_else(|| {
            ControlReply::usage(format!(
                "there is no schema {name:?}; choose gaen-minimal, gaen-full or dp3t"
            ))
        })?),
    };
    Ok(ParamsChange {
        schema,
        retention_days: settings.retention_days,
        interval_s: settings.interval_s,
        embargo_s: settings.embargo_s,
        min_reports: settings.min_reports,
        max_wait_s: settings.max_wait_s,
        decoys: settings.decoys,
    })
}
