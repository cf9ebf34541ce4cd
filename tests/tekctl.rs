//! The real programs: a server, its operator, and clients over UDP, TLS and QUIC, through the life of a
//! package.

#[path = "tekctl/server.rs"]
mod server;
#[path = "tekctl/package.rs"]
mod package;
#[path = "tekctl/reference.rs"]
mod reference;
#[path = "tekctl/authority.rs"]
mod authority;
#[path = "tekctl/phone.rs"]
mod phone;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use package::{Fixture, Shown, expected_lines, expired_package, meta, shared_data};
use serde_json::{Value, json};
use server::{Run, Server, tekctl, text};
use tekd::client::{Client, UdpCarrier};
use tekd::gaen::{ExportedKey, PackageSigner, SignError, SignatureInfo, write_package};
use tekd::release::Trust;
use tekd::service::control::{ControlClient, ControlRequest};
use tekd::wire::Key;

/// Random keys that are looked up; none is published.
const STRANGERS: usize = 10_000;
/// Releases after each of which a client asks at once.
const RELEASES: usize = 10;
/// Keys of a set whose deltas take a while.
const LARGE_SET: u64 = 50_000;

/// A public key of Ed25519 (RFC 8410, section 10.1).
const ED25519: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

type Lines = BTreeMap<[u8; 16], Value>;

fn number(document: &Value, name: &str) -> u64 {
    document[name].as_u64().unwrap_or_else(|| panic!("{name} is no number in {document}"))
}

/// Sequence number of the newest event.
fn journal_seq(server: &Server) -> u64 {
    number(&server.operate("status").ok()["journal"], "seq")
}

/// The lines of `--keys-out`, which are in key order.
fn read_lines(path: &Path) -> Lines {
    let text = std::fs::read_to_string(path).expect("sync wrote the keys");
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let keyed: Vec<([u8; 16], Value)> = lines.into_iter().map(|line| (key_of(&line), line)).collect();
    assert!(keyed.is_sorted_by(|a, b| a.0 < b.0), "the lines are in key order");
    keyed.into_iter().collect()
}

fn key_of(line: &Value) -> [u8; 16] {
    let bytes = STANDARD.decode(line["key"].as_str().expect("a key")).expect("base64");
    bytes.try_into().expect("16 bytes")
}

/// Everything under a prefix of these bits is proved to be just what is expected there.
fn bucket_holds(run: &Run, expected: &Lines, prefix: &[u8; 16], bits: u32) {
    let document = run.ok();
    assert_eq!(document["proved"], true);
    let head = |key: &[u8; 16]| u128::from_be_bytes(*key).checked_shr(128 - bits).unwrap_or(0);
    let under: Vec<&Value> =
        expected.iter().filter(|(key, _)| head(key) == head(prefix)).map(|(_, line)| line).collect();
    let found: Vec<&Value> = document["keys"].as_array().expect("keys").iter().collect();
    assert_eq!(found, under, "{}", run.line);
}

/// A client of set 1 over UDP, without a process of its own.
fn udp_client(server: &Server) -> Client<'static> {
    let trust = std::fs::read_to_string(&server.ready.trust).expect("the server wrote its trust");
    let trust = Trust::parse_json(&trust).expect("trust");
    let carrier = UdpCarrier::new(server.ready.udp.expect("UDP is on"));
    let random = |bytes: &mut [u8]| getrandom::fill(bytes).expect("the system has randomness");
    Client::new(carrier, trust, 1, random, std::thread::sleep)
}

/// Looks keys up, 32 in a datagram.
fn lookup(server: &Server, keys: &[Key]) -> Vec<bool> {
    let report = udp_client(server).lookup(keys).expect("the server answers");
    report.keys.iter().map(Option::is_some).collect()
}

/// The package in three sets: 1 with 30 days, 2 with all metadata, 3 with 14 days. Gives the days of the
/// shift.
fn import_into_three_sets(server: &Server, fixture: &Fixture) -> i64 {
    let total = fixture.keys.len() as u64;
    let zip = server.path("package.zip");
    std::fs::write(&zip, &fixture.zip).expect("a package to import");
    let zip = text(&zip);

    let page = server.operate("set configure 1 --retention 30d --decoys off").ok();
    assert_eq!((&page["params"]["retention_days"], &page["params"]["decoys"]), (&json!(30), &json!(false)));
    assert!(page["horizon_moves_from"].is_string());
    server.operate("set create 2 --schema gaen-full --retention 30d --decoys off --interval 24h").ok();
    server.operate("set create 3 --retention 14d --decoys off --interval 24h").ok();

    let before = journal_seq(server);
    let plain = server.operate(&format!("import {zip} --set 1"));
    let counts = json!({
        "keys": total, "accepted": 0, "rejected": { "expired": total }, "shift_days": 0,
        "signature": "unchecked",
    });
    assert_eq!(plain.ended(1), counts);
    assert_eq!(journal_seq(server), before, "nothing of a refused import is stored");

    let rebased = server.operate(&format!("import {zip} --set 1 --rebase")).ok();
    assert_eq!((number(&rebased, "accepted"), &rebased["rejected"]), (total, &json!({})));
    let shift_days = rebased["shift_days"].as_i64().expect("days");
    let full = server.operate(&format!("import {zip} --set 2 --rebase")).ok();
    assert_eq!(number(&full, "accepted"), total);
    let short = server.operate(&format!("import {zip} --set 3 --rebase")).ok();
    let accepted = number(&short, "accepted");
    assert_eq!(number(&short["rejected"], "expired"), total - accepted);
    if let Some(known) = fixture.within_14_days {
        assert_eq!(accepted, known);
    }
    assert!((1..total).contains(&accepted));
    for (set, live) in [(1, total), (2, total), (3, accepted)] {
        let released = server.operate(&format!("release now --set {set}")).ok();
        assert_eq!((number(&released, "added"), number(&released, "decoys")), (live, 0));
        assert_eq!((number(&released, "live"), &released["held"]), (live, &json!({})));
    }
    shift_days
}

/// Fresh clients over UDP, TLS and QUIC end with exactly these keys and one root; gives the serial and the
/// root.
fn sync_afresh(server: &Server, set: u32, expected: &Lines) -> (u64, String) {
    let stream = server.ready.tls.expect("TLS is on");
    let mut ends = Vec::new();
    for (name, transport) in
        [("udp", ""), ("both", &*format!("--stream {stream}")), ("tls", ""), ("quic", "")]
    {
        let (state, keys) =
            (server.path(&format!("{set}-{name}")), server.path(&format!("{set}-{name}.keys")));
        let (state, out) = (text(&state), text(&keys));
        let line = format!("sync --set {set} --state {state} --keys-out {out} {transport}");
        let run = match name {
            "tls" => server.tls(&line),
            "quic" => server.quic(&line),
            _ => server.udp(&line),
        };
        let report = run.ok();
        assert_eq!((&report["mode"], number(&report, "from")), (&json!("full"), 0), "{report}");
        assert_eq!(
            (number(&report, "added"), number(&report, "live")),
            (expected.len() as u64, expected.len() as u64)
        );
        assert_eq!(report["verified"], true);
        assert_eq!(&read_lines(&keys), expected, "set {set} over {name}");
        ends.push((number(&report, "to"), report["root"].as_str().expect("a root").to_owned()));
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "{ends:?}");
    ends.swap_remove(0)
}

/// LOOKUP and BUCKET say what the sync says.
fn present_and_absent(server: &Server, expected: &Lines) {
    let published: Vec<Key> = expected.keys().map(|key| Key::from_slice(key).expect("16 bytes")).collect();
    assert!(lookup(server, &published).iter().all(|present| *present));
    let mut bytes = vec![0; STRANGERS * 16];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    let strangers: Vec<Key> =
        bytes.chunks_exact(16).map(|key| Key::from_slice(key).expect("16 bytes")).collect();
    assert!(lookup(server, &strangers).iter().all(|present| !present));

    let checkpoint = server.udp("checkpoint").ok();
    assert_eq!((&checkpoint["verified"], &checkpoint["state"]), (&json!(true), &json!("fresh")));
    let bits = u32::try_from(number(&checkpoint, "bits")).expect("at most 28");
    let some = expected.keys().step_by(expected.len() / 5).copied();
    for prefix in some.chain([[0; 16], [0xff; 16]]) {
        let line = format!("bucket {}/{bits}", hex::encode(prefix));
        bucket_holds(&server.udp(&line), expected, &prefix, bits);
        bucket_holds(&server.tls(&line), expected, &prefix, bits);
        bucket_holds(&server.quic(&line), expected, &prefix, bits);
        let found = server.udp(&format!("lookup {}", hex::encode(prefix))).ok();
        assert_eq!(
            (&found["present"], &found["proved"]),
            (&json!(expected.contains_key(&prefix)), &json!(false))
        );
        assert_eq!(&found["key"], expected.get(&prefix).unwrap_or(&Value::Null));
    }
    bucket_holds(&server.tls("bucket /0"), expected, &[0; 16], 0);
    let deep = server.udp("bucket ffffffff/28");
    assert!(deep.ended(4)["error"].as_str().is_some_and(|e| e.contains(&format!("/{bits}"))), "{deep:?}");
}

/// A key is taken back and leaves by a delta; gives the new root.
fn withdraw(server: &Server, expected: &mut Lines) -> String {
    let key = *expected.keys().nth(expected.len() / 2).expect("there are keys");
    let line = format!("key withdraw {} --reason mistaken", STANDARD.encode(key));
    let before = journal_seq(server);
    let planned = server.operate(&format!("{line} --dry-run")).ok();
    assert_eq!((number(&planned, "keys"), journal_seq(server)), (1, before));
    server.operate(&line).ok();
    let again = server.operate(&line);
    assert!(again.ended(4)["error"].as_str().is_some_and(|e| e.contains("withdrawn already")), "{again:?}");
    let released = server.operate("release now --allow-small").ok();
    assert_eq!((number(&released, "added"), number(&released, "withdrawn")), (0, 1));
    let line = |name: &str| format!("sync --state {}", text(&server.path(name)));
    for run in [server.udp(&line("1-udp")), server.tls(&line("1-tls"))] {
        let report = run.ok();
        assert_eq!(report["mode"], "delta");
        assert_eq!((number(&report, "added"), number(&report, "removed")), (0, 1));
        assert_eq!(report["root"], released["root"]);
        assert!(number(&report, "bytes") < 512, "{report}");
    }
    assert_eq!(server.udp(&line("1-udp")).ok()["mode"], "current");
    expected.remove(&key);
    let absent = server.udp(&format!("lookup {}", hex::encode(key))).ok();
    assert_eq!((&absent["present"], &absent["key"]), (&json!(false), &Value::Null));
    let bits = u32::try_from(number(&server.udp("checkpoint").ok(), "bits")).expect("at most 28");
    bucket_holds(&server.udp(&format!("bucket {}/{bits}", hex::encode(key))), expected, &key, bits);
    released["root"].as_str().expect("a root").to_owned()
}

/// The journal is whole beside the running server, and everything follows from it to the byte.
fn rebuild(server: &Server, roots: &BTreeMap<u64, String>) {
    let verified = server.operate("journal verify").ok();
    assert_eq!(verified["ok"], true);
    assert_eq!(number(&verified, "events"), journal_seq(server), "what was confirmed is in the files");
    let audited = server.operate("journal audit").ok();
    let kinds =
        ["delegation", "manifest", "checkpoint", "receipt"].map(|kind| number(&audited["kinds"], kind));
    assert_eq!((&audited["ok"], &audited["events"]), (&Value::Bool(true), &verified["events"]));
    assert_eq!(number(&audited, "signatures"), kinds.iter().sum::<u64>(), "{audited}");
    assert!(kinds[..3].iter().all(|n| *n > 0), "{audited}");
    for (how, computed) in [("", "newest"), (" --every-serial", "every-serial")] {
        rebuild_into(server, &server.path(computed), how, computed, roots, &verified);
    }
}

fn rebuild_into(
    server: &Server,
    into: &Path,
    how: &str,
    computed: &str,
    roots: &BTreeMap<u64, String>,
    verified: &Value,
) {
    let rebuilt = server.operate(&format!("journal rebuild --into {}{how}", text(into))).ok();
    assert_eq!((&rebuilt["events"], &rebuilt["chain"]), (&verified["events"], &verified["chain"]));
    assert_eq!((&rebuilt["recomputed"], &rebuilt["sets"][0]["compared"]), (&json!(computed), &json!(true)));
    let sets = rebuilt["sets"].as_array().expect("sets");
    let found: BTreeMap<u64, String> =
        sets.iter().map(|s| (number(s, "set"), s["root"].as_str().expect("a root").to_owned())).collect();
    assert_eq!(&found, roots);
    for set in roots.keys() {
        let folder = format!("sets/{set}");
        let files: Vec<_> = std::fs::read_dir(into.join(&folder)).expect("rebuilt").flatten().collect();
        assert_eq!(files.len(), 1, "the newest generation of set {set}");
        let origin = server.data().join(&folder).join(files[0].file_name());
        let (rebuilt, made) = (std::fs::read(files[0].path()), std::fs::read(origin));
        assert!(rebuilt.expect("rebuilt") == made.expect("made by the origin"), "set {set} to the byte");
    }
    assert_eq!(server.operate(&format!("journal rebuild --into {}", text(into))).code, 2);
}

/// The journal as lines: one per event, without keys unless they are asked for.
fn dump(server: &Server, key: &[u8; 16]) {
    let lines = |run: Run| -> Vec<Value> {
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    };
    let all = lines(server.operate("journal dump"));
    assert!(all.iter().map(|line| number(line, "seq")).eq(1..=journal_seq(server)));
    let kinds: Vec<&str> = all.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds[0], "founded");
    let wanted = ["reported", "released", "published", "withdrawn", "configured"];
    assert!(wanted.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    let key = STANDARD.encode(key);
    assert!(!all.iter().any(|line| line.to_string().contains(&key)));
    let with_keys = lines(server.operate("journal dump --keys --from 5"));
    assert_eq!(number(&with_keys[0], "seq"), 5);
    assert!(with_keys.iter().any(|line| line.to_string().contains(&key)));
}

/// One flipped byte in a copy of the journal is found.
fn damage(server: &Server) {
    let copy = server.path("copy");
    std::fs::create_dir_all(copy.join("journal")).expect("a directory");
    for file in std::fs::read_dir(server.data().join("journal")).expect("a journal").flatten() {
        std::fs::copy(file.path(), copy.join("journal").join(file.file_name())).expect("a copy");
    }
    let verify = ["--json", "journal", "verify", "--data", text(&copy)];
    assert_eq!(tekctl(&verify).ok()["ok"], true);
    let path = copy.join("journal/segment-0000000001.journal");
    let mut bytes = std::fs::read(&path).expect("a segment");
    bytes[3 * 4096 + 100] ^= 1;
    std::fs::write(&path, bytes).expect("written back");
    let damaged = tekctl(&verify);
    assert_eq!(damaged.ended(1)["ok"], false);
    assert!(damaged.stderr.contains("damaged"), "{}", damaged.stderr);
}

#[test]
fn a_package_is_imported_released_synced_withdrawn_and_rebuilt() {
    let mut server = Server::start();
    let fixture = expired_package();
    let shift_days = import_into_three_sets(&server, &fixture);
    let mut minimal = expected_lines(&fixture.keys, shift_days, Shown::Minimal);
    let full = expected_lines(&fixture.keys, shift_days, Shown::Full);
    let (first, _) = sync_afresh(&server, 1, &minimal);
    let (_, root_full) = sync_afresh(&server, 2, &full);
    let root_short = server.udp("checkpoint --set 3").ok()["root"].as_str().expect("a root").to_owned();
    present_and_absent(&server, &minimal);
    let info = server.udp("info").ok();
    assert_eq!(info["sets"].as_array().map(Vec::len), Some(3), "{info}");
    let root = withdraw(&server, &mut minimal);
    rebuild(&server, &BTreeMap::from([(1, root.clone()), (2, root_full), (3, root_short)]));
    dump(&server, minimal.keys().next().expect("a key"));
    damage(&server);

    let list = server.operate("release list").ok();
    assert_eq!(list[0]["root"], *root);
    assert_eq!(server.operate(&format!("release show {first}")).ok()["added"], fixture.keys.len());
    assert!(server.stop().success());
    assert_eq!(server.operate("journal verify").ok()["ok"], true);
    assert_eq!(server.operate("status").code, 3);
}

/// A signed package of two keys and its public key: the field's golden one, or one made here.
fn signed_package() -> (Vec<u8>, Vec<u8>) {
    let golden = shared_data("gaen-export-golden/testExport-2-records-1-of-1.zip");
    if let (Some(zip), Some(pem)) = (golden, shared_data("gaen-export-golden/public.pem")) {
        return (zip, pem);
    }
    let pair = SigningKey::from_bytes(&[1; 32].into()).expect("a small scalar that is not zero");
    let mut der = hex::decode("3059301306072a8648ce3d020106082a8648ce3d030107034200").expect("hex");
    der.extend_from_slice(pair.verifying_key().to_sec1_point(false).as_bytes());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der));
    let key =
        ExportedKey { key: [1; 16], risk: 3, start: 2_651_040, period: 144, report_type: 1, onset: None };
    let mut sign = |bytes: &[u8]| -> Result<Vec<u8>, SignError> {
        let signature: DerSignature = pair.sign(bytes);
        Ok(signature.as_bytes().to_vec())
    };
    let signer = PackageSigner { info: SignatureInfo::default(), sign: &mut sign };
    let zip = write_package(&[key, ExportedKey { key: [2; 16], ..key }], &meta(), Some(signer));
    (zip.expect("writable keys"), pem.into_bytes())
}

/// The package with one bit of a member flipped, packed again as if nothing had happened.
fn flipped(zip: &[u8], member: &str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip)).expect("a ZIP");
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).expect("a member");
        let (name, mut bytes) = (file.name().expect("a plain name").into_owned(), Vec::new());
        file.read_to_end(&mut bytes).expect("unpacked");
        if name == member {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
        writer.start_file(name, zip::write::SimpleFileOptions::default()).expect("a member");
        writer.write_all(&bytes).expect("packed");
    }
    writer.finish().expect("a ZIP").into_inner()
}

#[test]
fn a_signature_is_checked_before_anything_is_sent() {
    let server = Server::start();
    server.operate("set configure 1 --decoys off").ok();
    let (zip, pem) = signed_package();
    let (file, key) = (server.path("signed.zip"), server.path("public.pem"));
    std::fs::write(&key, pem).expect("a key");
    let line = format!("import {} --rebase --public-key {}", text(&file), text(&key));
    let before = journal_seq(&server);
    for member in ["export.bin", "export.sig"] {
        std::fs::write(&file, flipped(&zip, member)).expect("a package");
        let run = server.operate(&line);
        let error = run.ended(1)["error"].as_str().expect("an error").to_owned();
        assert!(error.contains("nothing was sent"), "{member}: {error}");
    }
    std::fs::write(&file, b"no package").expect("a file");
    assert!(server.operate(&line).ended(1)["error"].as_str().is_some_and(|e| e.contains("nothing was sent")));
    assert_eq!(journal_seq(&server), before);
    std::fs::write(&file, &zip).expect("a package");
    let imported = server.operate(&line).ok();
    assert_eq!((&imported["signature"], number(&imported, "accepted")), (&json!("valid"), 2));
    std::fs::write(&key, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    assert_eq!(server.operate(&line).code, 2, "another kind of file is a slip of the command line");
}

#[test]
fn every_end_has_its_exit_code_and_one_document() {
    let server = Server::start();
    let degraded = server.operate("health").ended(5);
    assert_eq!(degraded["healthy"], false);
    let properties = |health: &Value| -> Vec<String> {
        let findings = health["findings"].as_array().expect("findings");
        findings.iter().filter_map(|f| f["property"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(properties(&degraded), ["released", "root-key-offline"]);
    server.operate("release now").ok();
    let root = server.path("root.key");
    server.operate(&format!("keys export-root --to {}", text(&root))).ok();
    assert!(root.exists() && !server.data().join("keys/root.key").exists());
    assert_eq!(server.operate("health").ok(), json!({ "healthy": true, "findings": [] }));
    server.operate("drain").ok();
    assert_eq!(properties(&server.operate("health").ended(5)), ["serving"]);
    assert_eq!(server.udp("info").ok()["draining"], true);
    server.operate("undrain").ok();

    let second = server.operate(&format!("keys export-root --to {}", text(&server.path("again.key"))));
    assert!(second.ended(4)["error"].as_str().is_some_and(|e| e.contains("exported already")), "{second:?}");
    for (line, code) in [
        ("keys rotate-online", 4),
        ("key withdraw 00000000000000000000000000000000 --reason x", 4),
        ("key withdraw abc --reason x", 2),
        ("set show 9", 2),
        ("set configure 1", 2),
        ("set configure 1 --retention 400d", 2),
        ("set configure 1 --interval 15", 2),
        ("set create 1", 2),
        ("codes show --batch 9", 2),
        ("codes issue --provider 9 --count 1", 2),
        ("provider show 9", 2),
        ("report show 00", 2),
        ("report show 00000000000000000000000000000000", 4),
        ("rollback --to 999999 --reason x", 2),
        ("reinstate 1", 4),
        ("import /nonexistent.zip", 1),
        ("journal verify --data /nonexistent", 2),
        ("status --control /nonexistent/control.sock", 3),
        ("info", 2),
    ] {
        let document = server.operate(line).ended(code);
        assert!(document["error"].is_string(), "{line}: {document}");
    }
    let udp = server.ready.udp.expect("UDP is on").to_string();
    for (line, code) in [
        ("info --transport tcp", 2),
        ("info --set 7", 2),
        ("lookup abc", 2),
        ("info --server 127.0.0.1:1", 3),
        ("info --server 127.0.0.1:1 --transport tls", 3),
        ("manifest --trust /nonexistent", 2),
    ] {
        let mut words: Vec<&str> = ["--json"].into_iter().chain(line.split_ascii_whitespace()).collect();
        if !line.contains("--server") {
            words.extend(["--server", &udp]);
        }
        if !line.contains("--trust") {
            words.extend(["--trust", text(&server.ready.trust)]);
        }
        assert!(tekctl(&words).ended(code)["error"].is_string(), "{line}");
    }
}

#[test]
fn readers_see_a_release_before_the_operator_hears_of_it() {
    let server = Server::start();
    server.operate("set configure 1 --decoys off").ok();
    // A set so large that readers get a release of it noticeably later than it is durable.
    let zip = server.path("large.zip");
    std::fs::write(&zip, package::generated(LARGE_SET)).expect("a package");
    server.operate(&format!("import {} --rebase", text(&zip))).ok();
    let mut operator = ControlClient::connect(&server.ready.control).expect("it listens");
    let mut client = udp_client(&server);
    for _ in 0..RELEASES {
        let request = ControlRequest::ReleaseNow { set: 1, allow_small: true };
        let reply = operator.call(&request, |_| ()).expect("it answers");
        let seen = client.info().expect("it answers").version & u64::from(u32::MAX);
        let released = number(reply.result.as_ref().unwrap_or_else(|| panic!("{reply:?}")), "serial");
        assert!(seen >= released, "told of release {released}, a client sees {seen}");
    }
}

#[test]
fn operators_see_providers_keys_counters_and_snapshots() {
    let server = Server::start();
    let key = server.path("provider.key");
    std::fs::write(&key, ED25519).expect("a key");
    assert_eq!(server.operate("provider add Lab").ok(), json!({ "provider": 1, "name": "Lab" }));
    let second = server.operate(&format!("provider add Clinic --key {}", text(&key))).ok();
    assert_eq!(second, json!({ "provider": 2, "name": "Clinic", "fingerprint": second["fingerprint"] }));
    assert_eq!(server.operate("provider add Lab").code, 4);
    let list = server.operate("provider list").ok();
    assert_eq!((&list[0]["keys"], &list[1]["keys"][0]["algorithm"]), (&json!([]), &json!("ed25519")));

    server.operate("release now").ok();
    let manifest = server.udp("manifest").ok();
    assert_eq!((&manifest["schema"], &manifest["retention_days"]), (&json!("gaen-minimal"), &json!(14)));
    let stats = server.operate("stats").ok();
    assert!(number(&stats["questions"], "checkpoint") > 0);
    assert!(server.operate("metrics").ok()["text"].as_str().is_some_and(|t| t.contains("tekd_")));
    let page = tekctl(&["metrics", "--data", text(&server.data())]);
    assert!(page.code == 0 && page.stdout.starts_with("# HELP tekd_"), "{page:?}");

    let snapshot = server.operate("snapshot now").ok();
    assert_eq!(number(&snapshot, "seq") + 1, journal_seq(&server), "the next event names it");
    let epoch = |document: &Value| number(&document["online"], "epoch");
    assert_eq!(epoch(&server.operate("keys list").ok()), 1);
    assert_eq!(epoch(&server.operate("keys rotate-online").ok()), 2);
    assert_eq!(epoch(&server.operate("keys list").ok()), 2);
    server.operate("keys rotate-tls").ok();
    server.operate("release now").ok();
    assert_eq!(server.udp("checkpoint").ok()["key_epoch"], 2, "the next release is signed by the new key");
    assert_eq!(server.operate("release held").ok()["sets"][0]["set"], 1);
    assert_eq!(server.operate("release approve --reason checked").ok()["approved"], false);
}

#[test]
fn the_format_of_a_directory_is_told_and_is_not_raised_under_a_server() {
    let mut server = Server::start();
    let told = server.operate("upgrade status").ok();
    assert_eq!(told, json!({ "format": 1, "newest": 1, "raised": false }));
    let refused = server.operate("upgrade finalize");
    assert!(refused.code == 1 && refused.stderr.contains("another tekd (pid "), "{refused:?}");
    server.stop();
    assert_eq!(server.operate("upgrade finalize").ok(), told, "nothing is to be raised yet");
    server.start_again();
}
