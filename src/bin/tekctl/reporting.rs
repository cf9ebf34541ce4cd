//! A phone's reports: submitted, amended, asked about and cancelled, all sealed to the origin.
//!
//! UDP carries none of it: where no stream is named, the server's address is taken for that of TLS, which has
//! the same default port.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tekd::authority::Code;
use tekd::client::{Author, Client, ClientError, DummyForm, ReportAnswer, ReportDraft};
use tekd::release::ReceiptBundle;
use tekd::service::control::Exit;
use tekd::service::timetext::format_time;
use tekd::store::{RealDisk, read_file};
use tekd::wire::outcome::ReportCounts;
use tekd::wire::report::{
    Durability, GRANT_CERTIFICATE, GRANT_CODE, GRANT_JWT, MAX_GRANT, MAX_SENT_KEYS, Outcome as Ended,
    ReportState, SentKey, Verdict,
};
use tekd::wire::{Operation, ResultCode};

use crate::args::Global;
use crate::output::{Done, Failure, Outcome};
use crate::remote::{self, Carriers};
use crate::report_args::{AmendArgs, GrantArgs, OwnArgs, SubmitArgs};
use crate::tables::counted;
use crate::values::Transport;

/// Longest file of keys, certificate or receipt, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// Keys of a dummy: a phone has as many as days it keeps them.
const DUMMY_KEYS: usize = 14;

/// Submits a report, or nothing in its form.
pub(crate) fn submit(global: &Global, args: &SubmitArgs) -> Done {
    let mut client = client_of(global)?;
    let now = remote::now();
    if args.dummy {
        let mut drawn = [0; 8];
        random(&mut drawn);
        let code = Code::from_first_bits(drawn).to_text();
        let form = DummyForm { grant: (GRANT_CODE, code.as_bytes()), keys: DUMMY_KEYS, key_len: 16 };
        let answer = client.dummy(now, &form)?;
        let document = json!({ "dummy": true, "answered": true, "time": format_time(answer.server_time) });
        return Ok(Outcome::new(document, "answered; nothing was reported"));
    }
    let grant = args.grant.read()?.ok_or_else(|| {
        Failure::usage("what authorises the report? give --code CODE, --certificate FILE or --jwt FILE")
    })?;
    let keys = Keys::read(args.keys.as_deref())?;
    let fresh = Author::new(&mut random);
    let author = Author {
        report: args.report_id.unwrap_or(fresh.report),
        secret: args.secret.unwrap_or(fresh.secret),
    };
    let draft = ReportDraft {
        grant: Some((grant.0, &grant.1)),
        keys: &keys.sent(),
        report_type: args.report_type,
        onset_day: args.onset,
    };
    let given = args.report_id.is_some() || args.secret.is_some();
    let answer = client.submit(now, &author, &draft).map_err(|e| unanswered(e, &author))?;
    // What was drawn for a report that was not made is of no use to anybody.
    let holds = given || matches!(answer.outcome, Ended::Done | Ended::Busy);
    finish(&answer, holds.then_some(&author), &keys, args.receipt_out.as_deref())
}

fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has randomness");
}

/// Why there is no answer. Who may have made a report nevertheless repeats the same one: it must know which.
fn unanswered(error: ClientError, author: &Author) -> Failure {
    let released =
        error.refused().is_none_or(|r| r.result != ResultCode::Unavailable || is_about_sealed(&error));
    if !released {
        return before_release(error);
    }
    match error {
        ClientError::NeedsStream { .. }
        | ClientError::NoSealKey { .. }
        | ClientError::Question(_)
        | ClientError::Request(_) => error.into(),
        error => unknown(Failure::from(error), author),
    }
}

fn is_about_sealed(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { operation: Operation::Sealed, .. })
}

/// A set without a release has no signed manifest to take a key from, so nothing can be sealed to it.
fn before_release(error: ClientError) -> Failure {
    let ClientError::Refused { set, .. } = &error else { return error.into() };
    let what = format!(
        "set {set} has no release yet, so there is no signed key to seal a report to: nothing was sent and the \
         grant is not spent; submit again after its first release, which comes by itself or by the \
         operator's `tekctl release now --set {set}`"
    );
    Failure::exiting(Exit::Refused, what)
}

fn unknown(failure: Failure, author: &Author) -> Failure {
    let (report, secret) = (hex::encode(author.report), hex::encode(author.secret));
    let text = format!("repeat with --report-id {report} --secret {secret}: it stays one report");
    failure.with(json!({ "report": report, "secret": secret, "answered": false }), text)
}

/// Adds keys to a report, or changes its type.
pub(crate) fn amend(global: &Global, args: &AmendArgs) -> Done {
    let mut client = client_of(global)?;
    let grant = args.grant.read()?;
    let keys = match &args.keys {
        Some(file) => Keys::read(Some(file))?,
        None => Keys(Vec::new()),
    };
    let author = args.own.author();
    let draft = ReportDraft {
        grant: grant.as_ref().map(|(ty, value)| (*ty, &value[..])),
        keys: &keys.sent(),
        report_type: None,
        onset_day: args.onset,
    };
    let answer = client.amend(remote::now(), &author, &draft)?;
    finish(&answer, Some(&author), &keys, args.receipt_out.as_deref())
}

/// How a report stands.
pub(crate) fn status(global: &Global, args: &OwnArgs) -> Done {
    let author = args.author();
    let answer = client_of(global)?.report_status(remote::now(), &author)?;
    finish(&answer, Some(&author), &Keys(Vec::new()), None)
}

/// Takes a report back.
pub(crate) fn cancel(global: &Global, args: &OwnArgs) -> Done {
    let author = args.author();
    let answer = client_of(global)?.cancel(remote::now(), &author)?;
    finish(&answer, Some(&author), &Keys(Vec::new()), None)
}

/// Verifies a receipt that was kept, without a server.
pub(crate) fn receipt(global: &Global, file: &Path) -> Done {
    let trust = remote::trust_for(global)?;
    let bytes = read(file)?;
    let name = file.display();
    let bundle = ReceiptBundle::from_bytes(&bytes)
        .map_err(|e| Failure::failed(format!("{name} is no kept receipt: {e}")))?;
    bundle
        .verify(&trust)
        .map_err(|e| Failure::failed(format!("the receipt in {name} does not hold: {e}")))?;
    let mut document = receipt_document(&bundle);
    document["verified"] = true.into();
    let r = &bundle.receipt;
    let text = format!(
        "report {} of set {} with {} was stored at {} as event {}: the receipt holds",
        hex::encode(r.report()),
        r.set(),
        counted(r.keys().into(), "key"),
        format_time(r.time()),
        r.sequence()
    );
    Ok(Outcome::new(document, text))
}

impl OwnArgs {
    fn author(&self) -> Author {
        Author { report: self.report, secret: self.secret }
    }
}

impl GrantArgs {
    /// Type and value of the grant, if one was given.
    fn read(&self) -> Result<Option<(u16, Vec<u8>)>, Failure> {
        let (ty, value) = if let Some(code) = &self.code {
            (GRANT_CODE, code.as_bytes().to_vec())
        } else if let Some(file) = &self.certificate {
            (GRANT_CERTIFICATE, certificate(read(file)?))
        } else if let (Some(file), Some(mac_key)) = (&self.jwt, &self.mac_key) {
            (GRANT_JWT, jwt(&read(file)?, mac_key)?)
        } else {
            return Ok(None);
        };
        if value.len() > MAX_GRANT {
            let len = value.len();
            return Err(Failure::usage(format!(
                "the grant has {len} bytes, at most {MAX_GRANT} are allowed"
            )));
        }
        Ok(Some((ty, value)))
    }
}

/// A certificate as bytes, however it was kept.
fn certificate(kept: Vec<u8>) -> Vec<u8> {
    let text = kept.trim_ascii();
    STANDARD.decode(text).unwrap_or(kept)
}

/// A JWT grant: length and bytes of the MAC key, then the token (spec 7.8.7).
fn jwt(token: &[u8], mac_key: &str) -> Result<Vec<u8>, Failure> {
    let key =
        STANDARD.decode(mac_key).map_err(|e| Failure::usage(format!("--mac-key is not base64: {e}")))?;
    let length = u8::try_from(key.len())
        .map_err(|_| Failure::usage(format!("--mac-key has {} bytes, 16 to 64 are allowed", key.len())))?;
    Ok([&[length][..], &key, token.trim_ascii()].concat())
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    read_file(&RealDisk, file, MAX_FILE)
        .map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))
}

fn client_of(global: &Global) -> Result<Client<'static>, Failure> {
    let global = match global.transport {
        Transport::Udp if global.stream.is_none() => Global { transport: Transport::Tls, ..global.clone() },
        _ => global.clone(),
    };
    let Carriers { first, stream } = Carriers::new(&global)?;
    Ok(remote::client(first, stream, remote::trust_for(&global)?, global.set()))
}

/// The file of keys, in the field's words.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    temporary_exposure_keys: Vec<KeyLine>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyLine {
    key: String,
    rolling_start_number: u32,
    rolling_period: u32,
    #[serde(default)]
    transmission_risk: u8,
}

/// Keys as they were read.
struct Keys(Vec<(Vec<u8>, KeyLine)>);

impl Keys {
    fn read(file: Option<&Path>) -> Result<Self, Failure> {
        let file = file.ok_or_else(|| Failure::usage("which keys? name their file with --keys FILE"))?;
        let wrong = |what: String| Failure::usage(format!("{}: {what}", file.display()));
        let parsed: KeyFile = serde_json::from_slice(&read(file)?).map_err(|e| wrong(e.to_string()))?;
        let lines = parsed.temporary_exposure_keys;
        if lines.is_empty() || lines.len() > MAX_SENT_KEYS {
            return Err(wrong(format!("{} keys, 1 to {MAX_SENT_KEYS} can be sent", lines.len())));
        }
        let bytes = |line: KeyLine| match STANDARD.decode(&line.key) {
            Ok(key) if matches!(key.len(), 16 | 32) => Ok((key, line)),
            Ok(key) => Err(wrong(format!("{} has {} bytes, a key has 16 or 32", line.key, key.len()))),
            Err(e) => Err(wrong(format!("{} is not base64: {e}", line.key))),
        };
        lines.into_iter().map(bytes).collect::<Result<_, _>>().map(Keys)
    }

    fn sent(&self) -> Vec<SentKey<'_>> {
        let sent = self.0.iter().map(|(key, line)| SentKey {
            key,
            start: line.rolling_start_number,
            period: line.rolling_period,
            risk: line.transmission_risk,
        });
        sent.collect()
    }
}

fn receipt_document(bundle: &ReceiptBundle) -> Value {
    let r = &bundle.receipt;
    json!({
        "report": hex::encode(r.report()),
        "set": r.set(),
        "seq": r.sequence(),
        "received": format_time(r.time()),
        "durability": r.durability().map(Durability::name),
        "keys": r.keys(),
        "key_epoch": r.key_epoch(),
    })
}

/// Shows an answer; anything but DONE is a refusal. `author`: what amends, asks and cancels, if there is such
/// a report.
fn finish(answer: &ReportAnswer, author: Option<&Author>, keys: &Keys, receipt_out: Option<&Path>) -> Done {
    let verdicts: Vec<Value> = answer.verdicts.iter().zip(&keys.0).map(verdict).collect();
    let c = &answer.counts;
    let mut document = json!({
        "report": author.map(|a| hex::encode(a.report)),
        "seq": answer.receipt.as_ref().map(|bundle| bundle.receipt.sequence()),
        "durability": answer.receipt.as_ref().and_then(|b| b.receipt.durability()).map(Durability::name),
        "secret": author.map(|a| hex::encode(a.secret)),
        "verdicts": verdicts,
        "outcome": answer.outcome.name(),
        "state": answer.state.map(ReportState::name),
        "serial": answer.serial,
        "keys": { "all": c.keys, "live": c.live, "embargo": c.embargo, "waiting": c.waiting, "withdrawn": c.withdrawn },
        "receipt": answer.receipt.as_ref().map(|bundle| hex::encode(bundle.to_bytes())),
    });
    if let (Some(file), Some(bundle)) = (receipt_out, &answer.receipt) {
        std::fs::write(file, bundle.to_bytes()).map_err(|e| {
            Failure::failed(format!("the report is stored, but {} cannot be written: {e}", file.display()))
        })?;
        document["receipt_file"] = file.display().to_string().into();
    }
    let text = lines(answer, author, &document);
    if answer.outcome == Ended::Done {
        return Ok(Outcome::new(document, text));
    }
    let exit = if answer.outcome == Ended::Busy { Exit::Failed } else { Exit::Refused };
    Err(Failure::exiting(exit, advice(answer.outcome)).with(document, text))
}

fn verdict((verdict, (_, line)): (&Verdict, &(Vec<u8>, KeyLine))) -> Value {
    let accepted = *verdict == Verdict::Accepted;
    json!({ "key": line.key, "accepted": accepted, "reason": (!accepted).then(|| verdict.name()) })
}

fn lines(answer: &ReportAnswer, author: Option<&Author>, document: &Value) -> String {
    let mut text = String::new();
    if let (Some(author), true) = (author, answer.outcome == Ended::Done) {
        text += &format!("report   {}\n", hex::encode(author.report));
    }
    if let (Some(author), Ended::Busy) = (author, answer.outcome) {
        let (report, secret) = (hex::encode(author.report), hex::encode(author.secret));
        text += &format!("repeat with --report-id {report} --secret {secret}: it stays one report\n");
    }
    if let Some(state) = answer.state {
        text += &format!("state    {}\n", standing(state, &answer.counts, answer.serial));
    }
    if let Some(bundle) = &answer.receipt {
        let r = &bundle.receipt;
        text += &format!("receipt  event {} at {}, verified\n", r.sequence(), format_time(r.time()));
    }
    if let (Some(author), true, false) =
        (author, answer.receipt.is_some(), answer.state == Some(ReportState::Withdrawn))
    {
        text += &format!("secret   {}  (keep it: it amends, asks and cancels)\n", hex::encode(author.secret));
    }
    for line in document["verdicts"].as_array().into_iter().flatten() {
        let reason = line["reason"].as_str().unwrap_or("accepted");
        text += &format!("key      {}  {reason}\n", line["key"].as_str().unwrap_or_default());
    }
    text
}

/// Where a report stands, in a sentence.
fn standing(state: ReportState, c: &ReportCounts, serial: u32) -> String {
    let keys = counted(c.keys.into(), "key");
    match state {
        ReportState::Withdrawn if c.live > 0 => format!(
            "taken back: {} of its {keys} {} still in the newest release until the next one is out, or for \
             longer if another report has the same",
            c.live,
            if c.live == 1 { "is" } else { "are" }
        ),
        ReportState::Withdrawn if serial == 0 => format!("taken back before any of its {keys} was published"),
        ReportState::Withdrawn => {
            format!(
                "taken back: none of its {keys} is published any more, phones drop them when they next ask"
            )
        }
        ReportState::Accepted => format!("stored, nothing is published yet: {keys}{}", parts(c)),
        ReportState::Released => format!("published, newest in release {serial}: {keys}{}", parts(c)),
    }
}

/// How the keys of a report divide, those that there are.
fn parts(c: &ReportCounts) -> String {
    let known = [
        (c.live, "published"),
        (c.embargo, "held until some time after the end of validity (embargo)"),
        (c.waiting, "waiting for the next release with enough company"),
        (c.withdrawn, "taken back"),
    ];
    let told: Vec<String> =
        known.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if told.is_empty() { String::new() } else { format!(", of these {}", told.join(", ")) }
}

/// What a refusal means and what to do.
fn advice(outcome: Ended) -> String {
    let what = match outcome {
        Ended::Done => "done",
        Ended::Malformed => "the origin cannot read the request; is this tekctl newer than the server?",
        Ended::Nothing => {
            "no key was accepted, see the verdicts; nothing was stored and the grant is not spent"
        }
        Ended::Mistyped => "the code is mistyped: compare it symbol by symbol with what was told",
        Ended::Unknown => {
            "there is no such code, provider or key of a provider: compare it with what was told; nothing was stored"
        }
        Ended::Early => "the grant is not valid yet: try again later; is the clock right?",
        Ended::Expired => "the grant is not valid any more: ask the provider for another",
        Ended::Spent => {
            "the grant was used for another report already: ask the provider for another, or, if that report's answer was lost, repeat with its --report-id and --secret"
        }
        Ended::Revoked => "the grant or its provider was revoked: ask the provider for another",
        Ended::Suspended => "the provider is suspended at the moment: try again later",
        Ended::Set => "the grant is for another set: choose it with --set",
        Ended::Type => {
            "the grant does not allow this report type: leave out --report-type, or ask the provider for another grant"
        }
        Ended::Keys => {
            "the certificate is over other keys than those sent: send just the keys it was asked for with, or have another made"
        }
        Ended::Signature => "the certificate is not signed by the key it names: ask the provider for another",
        Ended::Audience => {
            "the certificate is meant for another service: ask the provider for one for this service"
        }
        Ended::Kind => "the origin does not know this type of grant; is this tekctl newer than the server?",
        Ended::Grant => "the grant cannot be read: is it the whole file, unchanged?",
        Ended::Puzzle => {
            "the origin is flooded with wrong grants and its puzzles could not be solved: try again later"
        }
        Ended::Report => {
            "there is no such report (any more), or this is not its secret: compare both with what submit printed"
        }
        Ended::Late => "the report is more than 48 hours old and takes no more keys",
        Ended::Change => "this change of the report's type is not allowed; the report stays as it is",
        Ended::Conflict => {
            "this report id stands for another report: leave out --report-id to make a new one"
        }
        Ended::Withdrawn => {
            "the report was taken back and takes no more keys: submit a new one under a new grant"
        }
        Ended::Busy => {
            "the origin cannot tell now: try again a little later, a submission with the same id and secret"
        }
    };
    format!("{}: {what}", outcome.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author() -> Author {
        Author { report: [0xa7; 16], secret: [0xbd; 32] }
    }

    fn answer(outcome: Ended) -> ReportAnswer {
        ReportAnswer {
            outcome,
            state: None,
            verdicts: Vec::new(),
            receipt: None,
            counts: ReportCounts::default(),
            serial: 0,
            wait_s: 0,
            server_time: 0,
        }
    }

    #[test]
    fn a_report_that_was_not_made_has_no_id_and_no_secret() {
        let none = Keys(Vec::new());
        let refused = finish(&answer(Ended::Unknown), None, &none, None).expect_err("refused");
        let (document, text) = refused.shown();
        assert!(document["report"].is_null() && document["secret"].is_null(), "{document}");
        assert_eq!((document["outcome"].as_str(), text), (Some("unknown"), ""));
        let busy = finish(&answer(Ended::Busy), Some(&author()), &none, None).expect_err("not now");
        let (document, text) = busy.shown();
        assert_eq!(document["secret"], "bd".repeat(32));
        assert!(text.contains(&"a7".repeat(16)) && text.contains("repeat with --report-id"), "{text}");
    }

    #[test]
    fn what_may_have_been_made_can_be_repeated_and_what_was_not_sent_is_said_to_be_so() {
        let refused = |operation, result| ClientError::Refused {
            operation,
            set: 3,
            refused: tekd::client::Refused { result, info: 0, wait_s: 0, text: None },
        };
        let early = unanswered(refused(Operation::Checkpoint, ResultCode::Unavailable), &author());
        assert!(early.message().starts_with("set 3 has no release yet"), "{early:?}");
        assert_eq!(early.text(), "");
        let late = unanswered(refused(Operation::Sealed, ResultCode::Pending), &author());
        assert!(late.text().contains("repeat with --report-id"), "{late:?}");
        let no_key = ClientError::NoSealKey { set: 3, at: 1, ends: Vec::new() };
        assert_eq!(unanswered(no_key, &author()).text(), "");
    }

    #[test]
    fn where_a_report_stands_is_a_sentence() {
        let counts =
            |live, embargo, waiting, withdrawn| ReportCounts { keys: 3, live, embargo, waiting, withdrawn };
        for (state, counts, serial, said) in [
            (
                ReportState::Accepted,
                counts(0, 1, 2, 0),
                0,
                "stored, nothing is published yet: 3 keys, of these 1 held until some time after the end of validity (embargo), 2 waiting for the next release with enough company",
            ),
            (
                ReportState::Released,
                counts(3, 0, 0, 0),
                7,
                "published, newest in release 7: 3 keys, of these 3 published",
            ),
            (
                ReportState::Withdrawn,
                counts(0, 0, 0, 3),
                0,
                "taken back before any of its 3 keys was published",
            ),
            (
                ReportState::Withdrawn,
                counts(1, 0, 0, 3),
                7,
                "taken back: 1 of its 3 keys is still in the newest release until the next one is out, or for longer if another report has the same",
            ),
            (
                ReportState::Withdrawn,
                counts(0, 0, 0, 3),
                7,
                "taken back: none of its 3 keys is published any more, phones drop them when they next ask",
            ),
        ] {
            assert_eq!(standing(state, &counts, serial), said);
        }
    }
}
