//! Operators and those who may report: providers, codes, what was reported, what is taken back and brought
//! back, the keys all of it rests on. Reports are imported here; phones make theirs elsewhere.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tekd::gaen::{ExportedKey, write_package};

use super::package::meta;
use super::server::{Server, text};
use super::{ED25519, journal_seq, number};

/// A public key of P-256.
const P256: &str = "-----BEGIN PUBLIC KEY-----\n\
                    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqO2wGlftjUFEnBwCnE2ovPFJJmfs\n\
                    31n2VRk5z6ONThwMLf3bW8sbvpm9b9I804s0KS+140IVFMgYpjfvO+DCZA==\n\
                    -----END PUBLIC KEY-----\n";
/// Keys of one import, which is one report.
const KEYS: u8 = 20;
/// Provider of what is imported, the first one there is.
const IMPORTER: u64 = 1;

/// Imports a report of keys `first`, `first` + 1, …
fn import(server: &Server, first: u8) {
    let key = |n: u8| ExportedKey {
        key: [n; 16],
        risk: 3,
        start: 2_651_040,
        period: 144,
        report_type: 1,
        onset: None,
    };
    let keys: Vec<ExportedKey> = (first..first + KEYS).map(key).collect();
    let file = server.path("report.zip");
    std::fs::write(&file, write_package(&keys, &meta(), None).expect("writable keys")).expect("a package");
    let done = server.operate(&format!("import {} --rebase", text(&file))).ok();
    assert_eq!(done["accepted"], KEYS);
}

fn said<'d>(document: &'d Value, name: &str) -> &'d str {
    document[name].as_str().unwrap_or_else(|| panic!("{name} is no text in {document}"))
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array().expect("a list").iter().filter_map(Value::as_str).collect()
}

fn live(server: &Server) -> u64 {
    server.operate("release now --allow-small").ok();
    number(&server.operate("set show 1").ok(), "live")
}

#[test]
fn a_provider_is_registered_suspended_revoked_and_comes_back() {
    let server = Server::start();
    let (pem, hexed) = (server.path("p256.pem"), server.path("ed25519.hex"));
    std::fs::write(&pem, P256).expect("a key");
    std::fs::write(&hexed, ED25519).expect("a key");
    let (pem, hexed) = (text(&pem), text(&hexed));
    server.operate("provider add Lab --issuer iss.lab --audience tekd").ok();

    let added = server.operate(&format!("provider key add 1 --key {hexed} --key-until 90d")).ok();
    let fingerprint = said(&added, "fingerprint").to_owned();
    server.operate(&format!("provider key add 1 --key {pem} --key-id kid-1")).ok();
    for (line, code, told) in [
        (format!("provider key add 1 --key {hexed}"), 4, "already"),
        (format!("provider key add 1 --key {pem}"), 2, "--key-id"),
        (format!("provider key add 1 --key {hexed} --key-id k"), 2, "fingerprint"),
        (format!("provider key add 7 --key {hexed}"), 2, "no provider 7"),
        (format!("provider add Clinic --key {pem} --key-id k"), 2, "issuer"),
        (format!("provider add Clinic --key {}", text(&server.ready.trust)), 2, "nothing was sent"),
        ("provider add Clinic --issuer iss.lab --audience other".to_owned(), 4, "iss.lab"),
        ("provider key revoke 1 00 --reason lost".to_owned(), 2, "16 hex digits"),
        ("provider key revoke 1 0000000000000000 --reason lost".to_owned(), 4, "no key 0000000000000000"),
    ] {
        let document = server.operate(&line).ended(code);
        assert!(said(&document, "error").contains(told), "{line}: {document}");
    }
    server.operate(&format!("provider key revoke 1 {fingerprint} --reason lost")).ok();

    let page = server.operate("provider show 1").ok();
    assert_eq!((&page["issuer"], &page["audience"]), (&json!("iss.lab"), &json!("tekd")));
    let keys = page["keys"].as_array().expect("keys");
    assert_eq!((said(&keys[0], "fingerprint"), said(&keys[0], "algorithm")), (&*fingerprint, "ed25519"));
    assert!(keys[0]["revoked"].is_string() && keys[0]["until"].is_string());
    assert_eq!((&keys[1]["key_id"], &keys[1]["revoked"]), (&json!("kid-1"), &Value::Null));

    let standing = |expected: &str| {
        assert_eq!(said(&server.operate("provider show 1").ok(), "standing"), expected);
    };
    server.operate("provider suspend 1").ok();
    standing("suspended");
    assert!(
        said(&server.operate("codes issue --provider 1 --count 1").ended(4), "error").contains("suspended")
    );
    assert_eq!(server.operate("provider suspend 1").code, 4, "it is so already");
    server.operate("provider resume 1 --reason cleared").ok();
    standing("active");
    let before = journal_seq(&server);
    let planned = server.operate("provider revoke 1 --since 1h --reason fraud --dry-run").ok();
    assert_eq!(
        (&planned["seq"], &planned["dry_run"], journal_seq(&server)),
        (&Value::Null, &json!(true), before)
    );
    standing("active");
    assert_eq!(server.operate("provider revoke 1").code, 2, "without a reason");
    let revoked = server.operate("provider revoke 1 --reason fraud").ok();
    assert_eq!((number(&revoked, "seq"), number(&revoked, "reports")), (before + 1, 0));
    standing("revoked");
    let lines = server.say("provider list");
    assert!(lines.stdout.contains("provider") && lines.stdout.contains("revoked"), "{lines:?}");
}

#[test]
fn codes_are_issued_printed_checked_and_revoked() {
    let server = Server::start();
    server.operate("provider add Clinic").ok();
    let issued =
        server.operate("codes issue --provider 1 --count 10 --report-type likely --onset 2026-01-01").ok();
    let codes = strings(&issued["codes"]);
    assert_eq!((number(&issued, "batch"), number(&issued, "provider"), codes.len()), (1, 1, 10));
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), 10);
    assert_eq!((said(&issued, "report_type"), said(&issued, "onset")), ("likely", "2026-01-01"));

    let check = |code: &str| server.operate(&format!("codes check {code}"));
    let good = check(codes[3]).ok();
    assert_eq!(
        (said(&good, "state"), &good["accepted"], number(&good, "batch")),
        ("unused", &json!(true), 1)
    );
    let sloppy = codes[3].to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
    assert_eq!(check(&sloppy).ok(), good, "as people type");
    let mut wrong = codes[3].to_owned();
    wrong.replace_range(..1, if wrong.starts_with('7') { "8" } else { "7" });
    let mistyped = check(&wrong).ended(4);
    assert_eq!((said(&mistyped, "state"), &mistyped["accepted"]), ("mistyped", &json!(false)));
    assert!(said(&mistyped, "why").contains("check symbol"), "{mistyped}");
    assert!(said(&check("0000").ended(4), "why").contains("8 to 24 characters"));
    assert_eq!(said(&check("0000-0000-0000").ended(4), "state"), "unknown");

    let csv = server.say("codes show --batch 1 --csv");
    let rows: Vec<&str> = csv.stdout.lines().collect();
    assert_eq!((rows[0], rows.len()), ("code,batch,expires", 11));
    assert_eq!(rows[4], format!("{},1,{}", codes[3], said(&issued, "expires")));
    let plain = server.say("codes show --batch 1 --plain").stdout;
    let (heading, list) = plain.split_once("\n\n").expect("a heading");
    assert!(
        heading.starts_with("Clinic: batch 1, 10 codes (likely)") && heading.contains(" UTC."),
        "{heading}"
    );
    assert_eq!(list.lines().collect::<Vec<_>>(), codes);
    assert!(server.say("codes issue --provider 1 --count 2").stdout.contains("2 codes, valid until"));
    assert_eq!(server.operate("codes show --batch 1 --csv").code, 2, "two formats");
    let printed = server.say("codes issue --provider 1 --count 3 --csv").stdout;
    let rows: Vec<&str> = printed.lines().collect();
    assert_eq!((rows[0], rows.len()), ("code,batch,expires", 4));
    let code = rows[1].split_once(',').expect("three columns").0;
    assert_eq!(said(&check(code).ok(), "state"), "unused");
    let printed = server.say("codes issue --provider 1 --count 2 --plain").stdout;
    let (heading, list) = printed.split_once("\n\n").expect("a heading");
    assert!(heading.starts_with("Clinic: batch 4, 2 codes"), "{heading}");
    assert_eq!(list.lines().filter(|code| said(&check(code).ok(), "state") == "unused").count(), 2);

    for (line, code, told) in [
        ("codes issue --provider 1 --count 0", 2, "1 to 100000"),
        ("codes issue --provider 1 --count 100001", 2, "1 to 100000"),
        ("codes issue --provider 1 --count 1 --expires 91d", 2, "the life of the codes"),
        ("codes issue --provider 1 --count 1 --report-type ill", 2, "confirmed"),
        ("codes issue --provider 1 --count 1 --set 9", 2, "no set 9"),
        ("codes issue --provider 9 --count 1", 2, "no provider 9"),
        ("codes revoke --batch 9 --reason lost", 2, "no batch 9"),
    ] {
        let document = server.operate(line).ended(code);
        assert!(said(&document, "error").contains(told), "{line}: {document}");
    }

    server.operate("provider suspend 1").ok();
    let waits = check(codes[3]).ended(4);
    assert_eq!((said(&waits, "state"), said(&waits, "provider_standing")), ("unused", "suspended"));
    server.operate("provider resume 1").ok();
    let planned = server.operate("codes revoke --batch 1 --reason lost --dry-run").ok();
    assert_eq!((number(&planned, "codes"), &planned["seq"]), (10, &Value::Null));
    server.operate("codes revoke --batch 1 --retroactive --reason lost").ok();
    assert_eq!(said(&check(codes[3]).ended(4), "state"), "revoked");
    assert_eq!(server.operate("codes show --batch 1").code, 4, "what does not hold is not printed");
    let list = server.operate("codes list").ok();
    assert_eq!((said(&list[0], "standing"), number(&list[0], "outstanding")), ("revoked", 0));
    assert_eq!((said(&list[1], "standing"), number(&list[1], "outstanding")), ("active", 2));
    let page = server.operate("provider show 1").ok();
    assert_eq!(page["codes"], json!({ "issued": 17, "spent": 0, "outstanding": 7, "spent_share": 0.0 }));
    let dump = server.operate("journal dump --keys").stdout;
    assert!(dump.contains("\"kind\":\"codes-issued\"") && dump.contains("\"kind\":\"batch-revoked\""));
    assert!(!codes.iter().any(|code| dump.contains(code)), "codes stand nowhere");
}

#[test]
fn reports_are_taken_back_one_by_one_after_an_event_and_by_provider_and_brought_back() {
    let server = Server::start();
    server.operate("set configure 1 --decoys off").ok();
    import(&server, 1);
    import(&server, 101);
    let keys = u64::from(KEYS);
    assert_eq!(live(&server), 2 * keys);
    let list = server.operate("report list").ok();
    let list = list.as_array().expect("reports");
    let (newest, oldest) = (&list[0], &list[1]);
    assert!(list.len() == 2 && number(newest, "seq") > number(oldest, "seq"));
    assert_eq!(server.operate("report list --limit 1").ok(), json!([newest]));
    assert_eq!(server.operate("report list --batch 4").ok(), json!([]));
    assert_eq!(server.operate("report list --provider 9").code, 2);

    let id = said(oldest, "report").to_owned();
    let show = || server.operate(&format!("report show {id}")).ok();
    let page = show();
    assert_eq!(&page, oldest);
    assert_eq!(
        (said(&page, "state"), number(&page, "keys"), number(&page, "live")),
        ("released", keys, keys)
    );
    assert_eq!((number(&page, "provider"), &page["batch"]), (IMPORTER, &Value::Null));

    let withdraw = format!("report withdraw {id} --reason mixed-up");
    let planned = server.operate(&format!("{withdraw} --dry-run")).ok();
    let counts = |reports: u64, keys: u64, live: u64| json!([reports, keys, live]);
    let of = |d: &Value| json!([d["reports"], d["keys"], d["live"]]);
    assert_eq!((of(&planned), &planned["seq"]), (counts(1, keys, keys), &Value::Null));
    let urgent = server.operate(&format!("{withdraw} --urgent"));
    assert!(urgent.stderr.contains("belong together"), "what it costs: {urgent:?}");
    let taken = urgent.ok();
    assert_eq!((of(&taken), &taken["urgent"]), (counts(1, keys, keys), &json!(true)));
    assert_eq!(server.operate(&withdraw).code, 4, "nothing is left");
    assert_eq!((live(&server), said(&show(), "state")), (keys, "withdrawn"));
    let back = server.operate(&format!("reinstate {}", number(&taken, "seq"))).ok();
    assert_eq!((of(&back), &back["undone"]), (counts(1, keys, 0), &taken["seq"]));
    assert_eq!(server.operate(&format!("reinstate {}", number(&taken, "seq"))).code, 4);
    assert_eq!((live(&server), said(&show(), "state")), (2 * keys, "released"));

    let rollback = format!("rollback --to {} --reason flood", number(oldest, "seq"));
    assert_eq!(
        of(&server.operate(&format!("{rollback} --provider {IMPORTER} --dry-run")).ok()),
        counts(1, keys, keys)
    );
    let taken = server.operate(&rollback).ok();
    assert_eq!(of(&taken), counts(1, keys, keys));
    assert_eq!(live(&server), keys);
    server.operate(&format!("reinstate {}", number(&taken, "seq"))).ok();
    assert_eq!(live(&server), 2 * keys);

    let revoked = server.operate(&format!("provider revoke {IMPORTER} --since 1h --reason fraud")).ok();
    assert_eq!(of(&revoked), counts(2, 2 * keys, 2 * keys));
    assert!(revoked["since"].is_string());
    assert_eq!(live(&server), 0);
    let page = server.operate(&format!("provider show {IMPORTER}")).ok();
    assert_eq!(page["counts"], json!({ "reports": 2, "keys": 2 * keys, "withdrawn": 4 * keys }));
    server.operate(&format!("reinstate {}", number(&revoked, "seq"))).ok();
    assert_eq!(live(&server), 2 * keys);
    let kinds = server.operate("journal dump").stdout;
    for kind in ["withdrawn", "reinstated", "provider-standing"] {
        assert!(kinds.contains(&format!("\"kind\":\"{kind}\"")), "{kind}");
    }
    assert_eq!(server.operate("journal verify").ok()["ok"], true);
}

#[test]
fn seal_keys_are_made_and_a_directory_without_its_codes_key_gives_up_its_codes() {
    let mut server = Server::start();
    server.operate("provider add Clinic").ok();
    server.operate("codes issue --provider 1 --count 7").ok();
    let ids = || -> Vec<String> {
        let list = server.operate("keys list").ok();
        let seal = list["seal"].as_array().expect("seal keys").clone();
        assert!(seal.iter().all(|key| key["secret"] == "here" && key["not_after"].is_string()), "{list}");
        seal.iter().map(|key| said(key, "id").to_owned()).collect()
    };
    let first = ids();
    let made = server.operate("keys rotate-seal").ok();
    assert_eq!(ids(), [&first[..], &[said(&made["seal"], "id").to_owned()]].concat());
    let codes = server.operate("keys list").ok()["codes"].clone();
    assert_eq!((&codes["secret"], number(&codes, "outstanding")), (&json!("here"), 7));

    let (kept, copy) = (server.data().join("keys/codes.key"), server.path("codes.key"));
    let export = format!("keys export-codes --to {}", text(&copy));
    assert_eq!(server.operate(&export).ok()["codes_key"], codes["id"]);
    assert_eq!(std::fs::read(&copy).expect("exported"), std::fs::read(&kept).expect("still there"));
    assert_eq!(server.operate(&export).code, 1, "what is there is not written over");

    assert!(server.stop().success());
    let adopted = server.operate("adopt").ok();
    assert_eq!((number(&adopted, "incarnation"), &adopted["void_codes"]), (2, &json!(0)));
    std::fs::remove_file(&kept).expect("lost");
    let adopted = server.operate("adopt");
    assert!(adopted.stderr.contains("7 outstanding codes"), "{adopted:?}");
    assert_eq!(number(&adopted.ended(5), "void_codes"), 7);
    server.start_again();
    let list = server.operate("codes list").ok();
    assert_eq!((said(&list[0], "standing"), number(&list[0], "outstanding")), ("voided", 0));
    server.operate("codes issue --provider 1 --count 1").ok();
}
