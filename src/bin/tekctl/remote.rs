//! The client's commands: one or a few questions to any server, the answers verified where they can be.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekd::client::{Carrier, Client, ClientError, FailureKind, QuicCarrier, TlsCarrier, UdpCarrier};
use tekd::release::{
    Age, Checkpoint, DEFAULT_TOO_OLD_S, MAX_TRUST_FILE, Manifest, NodeTransport, Schema, Trust, age,
};
use tekd::service::control::Exit;
use tekd::service::timetext::{format_duration, format_interval, format_time};
use tekd::store::{RealDisk, read_file};
use tekd::wire::layout::MAX_BUCKET_SPAN;
use tekd::wire::{Key, ResultCode};

use crate::args::{ClientCommand, Global};
use crate::entry::Entry;
use crate::output::{Done, Failure, Outcome};
use crate::tables;
use crate::values::{Prefix, Transport};

/// Port of UDP and of TLS where none is named.
const DEFAULT_PORT: u16 = 8353;
/// Port of QUIC where none is named.
const DEFAULT_QUIC_PORT: u16 = 8354;

/// Carries out a command that is a question or a few.
pub(crate) fn run(global: &Global, command: &ClientCommand) -> Done {
    match command {
        ClientCommand::Info => info(global),
        ClientCommand::Checkpoint => checkpoint(global),
        ClientCommand::Manifest => manifest(global),
        ClientCommand::Lookup { key } => lookup(global, key),
        ClientCommand::Bucket { prefix } => bucket(global, *prefix),
        ClientCommand::Sync(_)
        | ClientCommand::Submit(_)
        | ClientCommand::ReportStatus(_)
        | ClientCommand::ReportCancel(_)
        | ClientCommand::ReportAmend(_)
        | ClientCommand::Receipt { .. } => unreachable!("syncs and reports are carried out elsewhere"),
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = Exit::try_from(error.exit_code()).unwrap_or(Exit::Failed);
        Failure::exiting(exit, error)
    }
}

/// How a server is reached: what asks first, and what takes over where that cannot.
pub(crate) struct Carriers {
    pub(crate) first: Box<dyn Carrier + Send>,
    pub(crate) stream: Option<Box<dyn Carrier + Send>>,
}

impl Carriers {
    /// As the command line says. Nothing is sent yet.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let server = global.server.as_deref().ok_or_else(|| {
            Failure::usage(
                "whom to ask? name the server with --server HOST:PORT and its trust.json with --trust FILE",
            )
        })?;
        let port = match global.transport {
            Transport::Udp | Transport::Tls => DEFAULT_PORT,
            Transport::Quic => DEFAULT_QUIC_PORT,
        };
        let (address, host) = resolve(server, port)?;
        let first: Box<dyn Carrier + Send> = match global.transport {
            Transport::Udp => Box::new(UdpCarrier::new(address)),
            Transport::Tls => Box::new(TlsCarrier::new(address, Some(&host))),
            Transport::Quic => Box::new(QuicCarrier::new(address, Some(&host))),
        };
        let mut stream: Option<Box<dyn Carrier + Send>> = None;
        if let Some(text) = &global.stream {
            let (address, host) = resolve(text, DEFAULT_PORT)?;
            stream = Some(Box::new(TlsCarrier::new(address, Some(&host))));
        }
        Ok(Self { first, stream })
    }
}

/// A client of `set` over these carriers.
pub(crate) fn client(
    first: impl Carrier + Send + 'static,
    stream: Option<impl Carrier + Send + 'static>,
    trust: Trust,
    set: u32,
) -> Client<'static> {
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the system has randomness");
    let client = Client::new(first, trust, set, random, std::thread::sleep);
    match stream {
        Some(stream) => client.with_stream(stream),
        None => client,
    }
}

/// The newest checkpoints that the server of the command line shows, verified under `trust`: one of each of
/// its sets that has a release there.
pub(crate) fn newest_checkpoints(global: &Global, trust: &Path) -> Result<Vec<Checkpoint>, Failure> {
    let mut found = Vec::new();
    for set in read_trust(trust)?.sets {
        let asked = Global { set: Some(set), trust: Some(trust.to_path_buf()), ..global.clone() };
        match client_of(&asked)?.checkpoint() {
            Err(ClientError::Refused { refused, .. })
                if matches!(refused.result, ResultCode::Set | ResultCode::Unavailable) => {}
            checkpoint => found.push(checkpoint?),
        }
    }
    Ok(found)
}

fn client_of(global: &Global) -> Result<Client<'static>, Failure> {
    let Carriers { first, stream } = Carriers::new(global)?;
    Ok(client(first, stream, trust_for(global)?, global.set()))
}

/// The trust of the command line, which has the set that is asked for.
pub(crate) fn trust_for(global: &Global) -> Result<Trust, Failure> {
    let path = global.trust.as_deref().ok_or_else(|| {
        Failure::usage("whom to trust? name the trust.json of the service with --trust FILE")
    })?;
    let trust = read_trust(path)?;
    let set = global.set();
    if trust.sets.contains(&set) {
        return Ok(trust);
    }
    let known = trust.sets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let path = path.display();
    Err(Failure::usage(format!(
        "{path} trusts the service for sets {known}, not for set {set}: choose with --set"
    )))
}

/// The trust in a file.
pub(crate) fn read_trust(path: &Path) -> Result<Trust, Failure> {
    let wrong = |what: String| Failure::usage(format!("cannot use {}: {what}", path.display()));
    let bytes = read_file(&RealDisk, path, MAX_TRUST_FILE as u64).map_err(|e| wrong(e.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
    Trust::parse_json(&text).map_err(|e| wrong(e.to_string()))
}

/// The address of `HOST`, `HOST:PORT` or an address, and the host's name; `port` where none is named.
fn resolve(text: &str, port: u16) -> Result<(SocketAddr, String), Failure> {
    let (host, port) = split(text, port).ok_or_else(|| {
        Failure::usage(format!("{text} is no address: write HOST, HOST:PORT, or [::1]:PORT"))
    })?;
    let found = (host.as_str(), port).to_socket_addrs();
    let found = found.map_err(|e| Failure::unreachable(format!("no address of {host} was found: {e}")))?;
    let mut found = found;
    let address = found.next().ok_or_else(|| Failure::unreachable(format!("{host} has no address")))?;
    Ok((address, host))
}

fn split(text: &str, default: u16) -> Option<(String, u16)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_string(), address.port()));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Some((bare.to_owned(), default));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (text, default),
    };
    (!host.is_empty() && !host.contains(':')).then(|| (host.to_owned(), port))
}

/// Unix seconds by this machine's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// What may be said on the ground of data of this age.
pub(crate) fn age_name(age: Age) -> &'static str {
    match age {
        Age::Fresh => "fresh",
        Age::Stale => "stale",
        Age::TooOld => "too-old",
    }
}

/// The outcome of a command whose data are of this age: nothing may be called absent on the ground of data
/// that are too old, which is a property that does not hold.
pub(crate) fn aged(mut outcome: Outcome, age: Age, seconds: u64) -> Outcome {
    if age == Age::TooOld {
        outcome.exit = Exit::Degraded;
        let old = format_duration(seconds);
        outcome.notes.push(format!(
            "tekctl: the newest checkpoint is {old} old: no key may be called absent any more"
        ));
    }
    outcome
}

/// The serial in a version.
pub(crate) fn serial(version: u64) -> u64 {
    version & u64::from(u32::MAX)
}

fn info(global: &Global) -> Done {
    let sets = match global.set {
        Some(set) => vec![set],
        None => {
            let path = global.trust.as_deref().ok_or_else(|| {
                Failure::usage("whom to trust? name the trust.json of the service with --trust FILE")
            })?;
            read_trust(path)?.sets
        }
    };
    let (mut versions, mut last) = (Vec::new(), None);
    for set in sets {
        let global = Global { set: Some(set), ..global.clone() };
        let report = client_of(&global)?.info()?;
        versions.push(json!({ "set": set, "serial": serial(report.version), "stale": report.stale }));
        last = Some(report);
    }
    let last = last.expect("trust has at least one set");
    let document = json!({
        "version": last.newest,
        "least_version": last.least,
        "node": last.node,
        "draining": last.draining,
        "sets": versions,
        "min_wait_s": last.wait_s,
    });
    let text = tables::lines(&document);
    Ok(Outcome::new(document, text))
}

fn checkpoint(global: &Global) -> Done {
    let mut client = client_of(global)?;
    let first = client.checkpoint()?;
    // How old is too old stands in the manifest; a server that does not give it does not hide the checkpoint.
    let too_old_s = match client.manifest() {
        Ok(report) => report.manifest.too_old_s,
        Err(error) if error.kind() == FailureKind::Refused => DEFAULT_TOO_OLD_S,
        Err(error) => return Err(error.into()),
    };
    let checkpoint = client.newest().copied().unwrap_or(first);
    let (state, seconds) = age(&checkpoint, now(), checkpoint.time(), too_old_s);
    let outcome =
        Outcome::new(checkpoint_document(&checkpoint, state, seconds), checkpoint_text(&checkpoint, state));
    Ok(aged(outcome, state, seconds))
}

fn checkpoint_document(c: &Checkpoint, state: Age, seconds: u64) -> Value {
    json!({
        "set": c.set(),
        "serial": c.serial(),
        "incarnation": c.version() >> 32,
        "time": format_time(c.time()),
        "fresh_until": format_time(c.fresh_until()),
        "horizon": c.horizon(),
        "live": c.count(),
        "bits": c.bits(),
        "root": hex::encode(c.root()),
        "log_size": c.log_size(),
        "key_epoch": c.key_epoch(),
        "verified": true,
        "age_s": seconds,
        "state": age_name(state),
    })
}

fn checkpoint_text(c: &Checkpoint, state: Age) -> String {
    format!(
        "set {}, release {} of {}, {}, verified: {} live keys that end after {}, root {}",
        c.set(),
        c.serial(),
        format_time(c.time()),
        age_name(state),
        c.count(),
        format_interval(c.horizon()),
        hex::encode(c.root())
    )
}

fn manifest(global: &Global) -> Done {
    let report = client_of(global)?.manifest()?;
    let document = manifest_document(&report.manifest, &report.digest);
    let text = tables::lines(&document);
    Ok(Outcome::new(document, text))
}

fn manifest_document(m: &Manifest, digest: &[u8]) -> Value {
    let nodes: Vec<Value> = m
        .nodes
        .iter()
        .map(|node| json!({ "transport": transport_name(node.transport), "address": node.address }))
        .collect();
    let witnesses: Vec<Value> =
        m.witnesses.iter().map(|w| json!({ "name": w.name, "key": STANDARD.encode(w.key.0) })).collect();
    let seal_keys: Vec<Value> = m
        .seal_keys
        .iter()
        .map(|k| {
            json!({
                "id": hex::encode(k.id),
                "kem": k.kem,
                "kdf": k.kdf,
                "aead": k.aead,
                "not_before": format_time(k.not_before),
                "not_after": format_time(k.not_after),
                "public": STANDARD.encode(&k.public),
            })
        })
        .collect();
    json!({
        "set": m.set,
        "number": m.number,
        "digest": hex::encode(digest),
        "time": format_time(m.time),
        "service": hex::encode(m.service),
        "schema": Schema::from_number(m.schema).map(Schema::name),
        "retention_days": m.retention_days,
        "interval_s": m.interval_s,
        "fresh_s": m.fresh_s,
        "too_old_s": m.too_old_s,
        "embargo_s": m.embargo_s,
        "min_reports": m.min_reports,
        "max_wait_s": m.max_wait_s,
        "decoys": m.decoys,
        "min_protocol": m.min_protocol,
        "max_keys": m.max_keys,
        "max_keys_per_start": m.max_keys_per_start,
        "min_period": m.min_period,
        "max_period": m.max_period,
        "max_ahead_s": m.max_ahead_s,
        "client_wait_s": m.client_wait_s,
        "key_epoch": m.key_epoch,
        "nodes": nodes,
        "seal_keys": seal_keys,
        "witnesses": witnesses,
        "verified": true,
    })
}

fn transport_name(transport: NodeTransport) -> String {
    format!("{transport:?}").to_lowercase()
}

fn lookup(global: &Global, key: &Key) -> Done {
    let mut client = client_of(global)?;
    let report = client.lookup(std::slice::from_ref(key))?;
    let schema = client.newest().and_then(|c| Schema::from_number(c.schema()));
    let found = report.keys.first().copied().flatten().zip(schema);
    let entry = found.map(|(fields, schema)| Entry::new(schema, key.as_bytes(), &fields));
    let entry = serde_json::to_value(&entry).map_err(Failure::failed)?;
    let (present, serial) = (found.is_some(), serial(report.version));
    let is = if present { "is published" } else { "is not published" };
    let mut text = format!("the key {is} as of release {serial}, says the server; `tekctl bucket` proves it");
    if present {
        text = format!("{text}\n{}", tables::lines(&entry));
    }
    let document = json!({ "present": present, "serial": serial, "key": entry, "proved": false });
    Ok(Outcome::new(document, text))
}

fn bucket(global: &Global, prefix: Prefix) -> Done {
    let mut client = client_of(global)?;
    let report = client.bucket(&prefix.bytes, prefix.bits).map_err(|error| out_of_range(error, prefix))?;
    let checkpoint = report.checkpoint;
    let schema = Schema::from_number(checkpoint.schema()).expect("a bucket was read by its schema");
    let keys: Vec<Entry> =
        report.keys.iter().map(|(key, fields)| Entry::new(schema, key.as_bytes(), fields)).collect();
    let count = keys.len();
    let document = json!({
        "prefix": prefix.to_string(),
        "serial": checkpoint.serial(),
        "bits": checkpoint.bits(),
        "keys": keys,
        "proved": true,
    });
    let mut text = format!(
        "{} under {prefix} in release {}, proved: no others",
        tables::counted(count as u64, "key"),
        checkpoint.serial()
    );
    if count > 0 {
        text = format!("{text}\n{}", tables::lines(&document["keys"]));
    }
    Ok(Outcome::new(document, text))
}

/// A tree that is shallower or much deeper than what was asked for: says which question it answers.
fn out_of_range(error: ClientError, prefix: Prefix) -> Failure {
    let refused = error.refused().filter(|r| r.result == ResultCode::Range);
    let Some(depth) = refused.and_then(|r| u8::try_from(r.info).ok()) else { return error.into() };
    let instead = if depth < prefix.bits {
        format!("ask for {}", Prefix::new(prefix.bytes, depth))
    } else {
        format!("ask for {} to {depth} bits", depth.saturating_sub(MAX_BUCKET_SPAN))
    };
    Failure::exiting(
        Exit::Refused,
        format!(
            "BUCKET {prefix} was refused: the tree of the newest release has {depth} bits (RANGE); {instead}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_port() {
        for (text, host, port) in [
            ("192.0.2.1:9", "192.0.2.1", 9),
            ("192.0.2.1", "192.0.2.1", 8353),
            ("[::1]:9", "::1", 9),
            ("[::1]", "::1", 8353),
            ("::1", "::1", 8353),
            ("example.org:9", "example.org", 9),
            ("example.org", "example.org", 8353),
        ] {
            assert_eq!(split(text, DEFAULT_PORT), Some((host.to_owned(), port)), "{text}");
        }
        assert_eq!(split("::1", DEFAULT_QUIC_PORT), Some(("::1".to_owned(), 8354)));
        for text in ["", ":9", "example.org:", "example.org:x", "example.org:70000", "a:b:9"] {
            assert_eq!(split(text, DEFAULT_PORT), None, "{text}");
        }
    }

    #[test]
    fn data_that_are_too_old_are_degraded() {
        let fresh = aged(Outcome::new(Value::Null, ""), Age::Stale, 1000);
        assert_eq!(fresh.exit, Exit::Ok);
        let old = aged(Outcome::new(Value::Null, ""), Age::TooOld, 8 * 86_400);
        assert_eq!(old.exit, Exit::Degraded);
        assert!(old.notes[0].contains("8d old"));
    }
}
