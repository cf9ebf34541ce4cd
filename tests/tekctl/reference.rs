//! The independent reference client against the real server: what was written from the specification alone
//! verifies what the server says, over both transports, and ends with the same set and root as `tekctl`.
//!
//! Needs `python3` with the package `cryptography`, which the test command installs.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tekd::gaen::{Epidemic, ExportedKey, PackageMeta, write_package};

use super::server::Server;

/// Keys of the generated package.
const KEYS: u64 = 3_000;

/// Runs the reference client; its one document.
fn reference(server: &Server, transport: &str, words: &[&str]) -> Value {
    let address = match transport {
        "udp" => server.ready.udp,
        _ => server.ready.tls,
    };
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol-spec/reference");
    let mut command = Command::new("python3");
    command.current_dir(home).env("PYTHONDONTWRITEBYTECODE", "1").args(["-m", "tekd_reference", "--server"]);
    command.arg(address.expect("both transports are on").to_string());
    command.args(["--trust", server.ready.trust.to_str().expect("a plain path"), "--transport", transport]);
    let output = command.args(words).output().expect("python3 is there");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{transport} {words:?}: {}\n{out}\n{err}", output.status);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{transport} {words:?}: {e}\n{out}"))
}

fn generated_package() -> Vec<u8> {
    let reports = Epidemic::new(1).reports(KEYS, 2_900_016).expect("a UTC midnight");
    let mut keys: Vec<ExportedKey> = reports.flat_map(|r| r.keys).collect();
    keys.iter_mut().for_each(|k| k.period = 144);
    let meta = PackageMeta { region: "xx".to_owned(), start: 0, end: 86_400, batch_num: 1, batch_size: 1 };
    write_package(&keys, &meta, None).expect("a package of good keys")
}

fn keys_file(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("the keys were written");
    text.lines().map(|line| serde_json::from_str(line).expect("one document a line")).collect()
}

#[test]
fn the_reference_client_verifies_what_the_server_says() {
    let server = Server::start();
    // No release but those of this test.
    server.operate("set configure 1 --interval 24h").ok();
    let package = server.path("keys.zip");
    std::fs::write(&package, generated_package()).expect("room for a package");
    let package = package.to_str().expect("a plain path");
    let imported = server.operate(&format!("import {package} --set 1 --rebase")).ok();
    assert!(imported["accepted"].as_u64() > Some(KEYS / 2), "{imported}");
    let released = server.operate("release now --set 1").ok();
    let root = &released["root"];

    let ours = server.path("ours.keys");
    let ours_text = ours.to_str().expect("a plain path");
    let state = server.path("ours.state");
    let line = format!("sync --state {} --keys-out {ours_text}", state.display());
    assert_eq!(&server.tls(&line).ok()["root"], root);
    let ours = keys_file(&ours);

    for transport in ["udp", "tls"] {
        let info = reference(&server, transport, &["info"]);
        assert_eq!(info["sets"][0]["serial"], released["serial"], "{info}");
        let checkpoint = reference(&server, transport, &["checkpoint"]);
        assert_eq!((&checkpoint["root"], &checkpoint["verified"]), (root, &Value::Bool(true)));
        assert_eq!(checkpoint["state"], "fresh");
        if transport == "tls" {
            // spec 1.5.5
            let manifest = reference(&server, transport, &["manifest"]);
            assert!(manifest.is_object(), "{manifest}");
        }
        let theirs = server.path(&format!("{transport}.keys"));
        let state = server.path(&format!("{transport}.state"));
        let words =
            ["--state", state.to_str().expect("plain"), "--keys-out", theirs.to_str().expect("plain")];
        let synced = reference(&server, transport, &[&["sync"][..], &words].concat());
        assert_eq!((&synced["root"], &synced["mode"]), (root, &Value::from("full")));
        assert_eq!(keys_file(&theirs), ours, "the same keys with the same fields, in the same order");
        assert_eq!(reference(&server, transport, &[&["sync"][..], &words].concat())["mode"], "current");

        let key = ours[7]["key"].as_str().expect("base64");
        let found = reference(&server, transport, &["lookup", key]);
        assert_eq!((&found["present"], &found["proved"]), (&Value::Bool(true), &Value::Bool(false)));
        let absent = reference(&server, transport, &["lookup", "AAAAAAAAAAAAAAAAAAAAAA=="]);
        assert_eq!(absent["present"], false);
        let bucket = reference(&server, transport, &["bucket", "a5/8"]);
        assert_eq!(bucket["proved"], true, "{bucket}");
        let history = reference(&server, transport, &["history"]);
        assert_eq!(&history["root"], root, "{history}");
    }

    let key = ours[7]["key"].as_str().expect("base64");
    server.operate(&format!("key withdraw {key} --set 1 --reason test")).ok();
    let second = server.operate("release now --set 1").ok();
    // Whether it was a real key or a decoy only the journal tells.
    let left = second["withdrawn"].as_u64().zip(second["decoys_withdrawn"].as_u64());
    assert!(left.is_some_and(|(real, decoys)| real + decoys > 0), "{second}");
    let state = server.path("udp.state");
    let synced = reference(&server, "udp", &["sync", "--state", state.to_str().expect("plain")]);
    assert_eq!((&synced["root"], &synced["mode"]), (&second["root"], &Value::from("delta")));
    assert_eq!(reference(&server, "udp", &["lookup", key])["present"], false);
}

/// A file of `n` keys of the days before today, in the field's words.
pub(crate) fn key_file(server: &Server, name: &str, n: u32) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let today = u32::try_from(now.as_secs() / 86_400 * 144).expect("this century");
    let key = |i: u32| {
        let bytes: [u8; 16] =
            std::array::from_fn(|at| (name.as_bytes()[at % name.len()] ^ at as u8) ^ i as u8);
        json!({
            "key": STANDARD.encode(bytes),
            "rollingStartNumber": today - 144 * (i + 2),
            "rollingPeriod": 144,
            "transmissionRisk": i % 9,
        })
    };
    let document = json!({ "temporaryExposureKeys": (0..n).map(key).collect::<Vec<_>>() });
    let path = server.path(name);
    std::fs::write(&path, document.to_string()).expect("room for keys");
    path.to_str().expect("a plain path").to_owned()
}

/// Both clients report, each by its own code; the one written from the specification alone and ours are told
/// the same, and a report of one is no secret to its author's other client.
#[test]
fn the_reference_client_reports_amends_cancels_and_feigns() {
    let server = Server::start();
    server.operate("set configure 1 --interval 24h").ok();
    server.operate("release now --set 1").ok();
    server.operate("provider add Clinic").ok();
    let issued = server.operate("codes issue --provider 1 --count 3").ok();
    let code = |i: usize| issued["codes"][i].as_str().expect("a code").to_owned();
    let (first, more) = (key_file(&server, "first.json", 5), key_file(&server, "more.json", 2));

    let report = reference(&server, "tls", &["submit", "--code", &code(0), "--keys", &first]);
    assert_eq!(report["verdicts"].as_array().map(Vec::len), Some(5), "{report}");
    assert!(
        report["verdicts"].as_array().is_some_and(|v| v.iter().all(|v| v["accepted"] == true)),
        "{report}"
    );
    let (id, secret) = (report["report"].as_str().expect("hex"), report["secret"].as_str().expect("hex"));
    let repeated = ["submit", "--code", &code(0), "--keys", &first, "--report-id", id, "--secret", secret];
    let again = reference(&server, "tls", &repeated);
    assert_eq!((&again["seq"], &again["receipt"]), (&report["seq"], &report["receipt"]));
    let ours = server.tls(&format!("report-status {id} --secret {secret}")).ok();
    assert_eq!((&ours["state"], &ours["keys"]["all"]), (&json!("accepted"), &json!(5)), "{ours}");
    let shown = server.operate(&format!("report show {id}")).ok();
    assert_eq!((&shown["provider"], &shown["seq"]), (&json!(1), &report["seq"]), "{shown}");

    reference(&server, "tls", &["report-amend", id, "--secret", secret, "--keys", &more]);
    let released = server.operate("release now --set 1").ok();
    assert_eq!(released["added"], 7, "{released}");
    reference(&server, "tls", &["report-status", id, "--secret", secret]);
    reference(&server, "tls", &["report-cancel", id, "--secret", secret]);
    let ours = server.tls(&format!("report-status {id} --secret {secret}")).ok();
    assert_eq!(ours["state"], "withdrawn", "{ours}");
    reference(&server, "tls", &["submit", "--dummy"]);

    // By our client over each stream transport.
    let receipt = server.path("receipt");
    let words = |code: &str, keys: &str| {
        format!("submit --code {code} --keys {keys} --receipt-out {}", receipt.display())
    };
    let other = key_file(&server, "other.json", 3);
    let mine = server.quic(&words(&code(1), &other)).ok();
    assert_eq!((&mine["outcome"], &mine["durability"]), (&json!("done"), &json!("disk")), "{mine}");
    let kept = server.tls(&format!("receipt {}", receipt.display())).ok();
    assert_eq!((&kept["verified"], &kept["report"]), (&json!(true), &mine["report"]));
    let spent = server.tls(&words(&code(1), &first)).ended(4);
    assert_eq!(spent["outcome"], "spent", "{spent}");
    let checked = server.operate(&format!("codes check {}", code(1))).ended(4);
    assert_eq!((&checked["state"], &checked["report"]), (&json!("spent"), &mine["report"]), "{checked}");
    server.tls("submit --dummy").ok();
    let cancelled = server.quic(&format!(
        "report-cancel {} --secret {}",
        mine["report"].as_str().expect("hex"),
        mine["secret"].as_str().expect("hex")
    ));
    assert_eq!(cancelled.ok()["state"], "withdrawn");
}

/// An answer is lost, the operator replaces the online key, the phone asks again: by either client the
/// receipt is the same, and what is kept of it holds without a server.
#[test]
fn receipts_outlive_the_online_key_that_signed_them() {
    let server = Server::start();
    server.operate("set configure 1 --interval 24h").ok();
    server.operate("release now --set 1").ok();
    server.operate("provider add Clinic").ok();
    let issued = server.operate("codes issue --provider 1 --count 2").ok();
    let code = |i: usize| issued["codes"][i].as_str().expect("a code").to_owned();
    let keys = key_file(&server, "keys.json", 4);
    let (report, secret) = ("11".repeat(16), "22".repeat(32));
    let (before, after) = (server.path("before"), server.path("after"));
    let words = |out: &Path| {
        format!(
            "submit --code {} --keys {keys} --report-id {report} --secret {secret} --receipt-out {}",
            code(0),
            out.display()
        )
    };
    server.tls(&words(&before)).ok();
    let theirs = reference(&server, "tls", &["submit", "--code", &code(1), "--keys", &keys]);
    let of = |name: &str| theirs[name].as_str().expect("hex").to_owned();
    server.operate("keys rotate-online").ok();
    for released in [false, true] {
        if released {
            server.operate("release now --set 1").ok();
        }
        server.tls(&words(&after)).ok();
        assert!(std::fs::read(&before).expect("kept") == std::fs::read(&after).expect("kept"));
        let kept = server.tls(&format!("receipt {}", after.display())).ok();
        assert_eq!((&kept["verified"], &kept["key_epoch"]), (&json!(true), &json!(1)), "{kept}");
        let (code, id, secret) = (code(1), of("report"), of("secret"));
        let repeated = ["submit", "--code", &code, "--keys", &keys, "--report-id", &id, "--secret", &secret];
        let again = reference(&server, "tls", &repeated);
        for part in ["receipt", "signatures", "delegation"] {
            assert_eq!(again[part], theirs[part], "{part}");
        }
    }
    // What is done from now on is signed by the new key.
    let cancelled = reference(&server, "tls", &["report-cancel", &report, "--secret", &secret]);
    let of_new = [of("receipt"), cancelled["receipt"].as_str().expect("hex").to_owned()];
    assert_eq!(of_new.map(|receipt| receipt[104..106].to_owned()), ["01", "02"], "{cancelled}");
}
