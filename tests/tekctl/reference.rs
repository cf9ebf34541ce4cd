//! The independent reference client against the real server: what was written from the specification alone verifies what
//! the server says, over both transports, and ends with the same set and root as `tekctl`.
//!
//! Needs `python3` with the package `cryptography`, which the test command installs.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
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
    assert_eq!(second["withdrawn"], 1, "{second}");
    let state = server.path("udp.state");
    let synced = reference(&server, "udp", &["sync", "--state", state.to_str().expect("plain")]);
    assert_eq!((&synced["root"], &synced["mode"]), (&second["root"], &Value::from("delta")));
    assert_eq!(reference(&server, "udp", &["lookup", key])["present"], false);
}
