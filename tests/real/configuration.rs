//! A configuration that says something else than the operator can have meant: refused before anything starts.

use std::path::Path;
use std::process::{Command, Output};

fn tekd(args: &[&str], config: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tekd"));
    command.args(args).arg("--config").arg(config).output().expect("tekd can be run")
}

/// Asserts that `check` and `serve` refuse `text` with `says`, all of them, and make no directory.
#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let (config, data) = (dir.path().join("tekd.toml"), dir.path().join("data"));
    std::fs::write(&config, text).expect("written");
    let serve = ["serve", "--data", data.to_str().expect("text")];
    for args in [&["check"][..], &serve] {
        let output = tekd(args, &config);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "stdout is for data");
        for part in says {
            assert!(stderr.contains(part), "{args:?}: {part:?} is not in:\n{stderr}");
        }
        assert!(!data.exists(), "nothing was made");
    }
}

#[test]
fn an_unknown_field_is_named_with_its_place() {
    refused(
        "version = 1\n\n[listen]\nudp = \"127.0.0.1:0\"\ntsl = \"127.0.0.1:0\"\n",
        &["tekd.toml:5:1: ", "tsl", "5 | tsl = \"127.0.0.1:0\"", "  | ^^^"],
    );
    refused("[lisen]\n", &["tekd.toml:1:2: ", "lisen", "1 | [lisen]", "  |  ^^^^^"]);
}

#[test]
fn a_value_that_cannot_be_is_named_with_its_place() {
    refused("[listen]\nudp = \"nowhere\"\n", &["tekd.toml:2:7: ", "2 | udp = \"nowhere\"", "^^^^^^^^^"]);
    refused("[limits]\ntls-connections = 0\n", &["tekd.toml:2:19: ", "^"]);
    refused("version = 2\n", &["tekd.toml:1:11: "]);
    refused("version = \"1\n", &["tekd.toml:1:"]);
}

#[test]
fn a_flag_and_a_variable_that_cannot_be_are_named() {
    for (flag, variable) in
        [("--udp", "TEKD_LISTEN_UDP"), ("--tls", "TEKD_LISTEN_TLS"), ("--quic", "TEKD_LISTEN_QUIC")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tekd"));
        let output = command.args(["serve", flag, "nowhere"]).output().expect("tekd can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("{flag} \"nowhere\": ")), "{stderr}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tekd"));
        let output = command.arg("serve").env(variable, "nowhere").output().expect("tekd can be run");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("{variable} \"nowhere\": ")), "{stderr}");
    }
}

#[test]
fn the_template_is_a_good_configuration() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("tekd.toml");
    let template = tekd(&["check", "--template"], &config);
    assert_eq!(template.status.code(), Some(0));
    std::fs::write(&config, &template.stdout).expect("written");
    let checked = tekd(&["check"], &config);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    std::fs::remove_file(&config).expect("removed");
    let missing = tekd(&["check"], &config);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("tekd.toml"));
}
