//! Taking values: defaults, template, file, environment, flags.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::service::logging::{LogFormat, LogLevel};
use crate::store::RealDisk;

pub(super) fn nothing(_: &str) -> Option<OsString> {
    None
}

pub(super) fn from_file(text: &str) -> Result<Config, ConfigError> {
    resolve(Some(ConfigFile { path: Path::new("tekd.toml"), text }), nothing, &Overrides::default())
}

pub(super) fn from_env(name: &'static str, value: &'static str) -> Result<Config, ConfigError> {
    resolve(None, |asked| (asked == name).then(|| value.into()), &Overrides::default())
}

pub(super) fn from_flags(overrides: Overrides) -> Result<Config, ConfigError> {
    resolve(None, nothing, &overrides)
}

fn defaults() -> Config {
    from_flags(Overrides::default()).unwrap()
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = defaults();
    assert_eq!(config.data, Path::new("/var/lib/tekd"));
    assert_eq!(config.listen.udp, Some("[::]:8353".parse().unwrap()));
    assert_eq!(config.listen.tls, Some("[::]:8353".parse().unwrap()));
    assert_eq!(config.listen.quic, Some("[::]:8354".parse().unwrap()));
    assert_eq!(config.listen.udp_workers, None);
    assert_eq!((config.listen.udp_steering, config.listen.udp_idle), (UdpSteering::Auto, UdpIdle::Spin));
    assert_eq!((config.listen.xdp, config.listen.xdp_mode), (Xdp::Off, XdpMode::Copy));
    assert_eq!(config.listen.control, Path::new("/var/lib/tekd/control.sock"));
    assert_eq!(config.listen.metrics, None);
    assert_eq!(config.upstream, None);
    assert_eq!(config.node, Node { id: 1, name: String::new() });
    assert_eq!(config.limits, Limits { tls_connections: 4096, quic_connections: 4096, answer_rate: 65_536 });
    assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Text));
    assert_eq!(config.memory, MemoryMode::Copy);
    assert_eq!(config.journal_segment, 16 << 20);
    assert_eq!(config.journal_mirror, None);
    assert_eq!(config.ready_file, None);
}

#[test]
fn the_template_is_the_default() {
    assert_eq!(from_file(&template()).unwrap(), defaults());
}

#[test]
fn the_template_comments_on_every_field_and_its_examples_are_taken() {
    let text = template();
    for info in &FIELDS {
        assert!(!info.help.is_empty(), "{}", info.title());
        assert!(text.contains(&format!("{} = ", info.name)), "{}", info.title());
        assert!(text.contains(info.env.unwrap_or("")), "{}", info.title());
    }
    let examples: String = text
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = from_file(&examples).unwrap();
    assert_eq!(config.listen.udp_workers, Some(4));
    assert_eq!(config.upstream.unwrap().trust, Path::new("/etc/tekd/trust.json"));
}

#[test]
fn the_table_is_in_the_order_of_its_fields_and_names_follow_the_rule() {
    let mut names = BTreeSet::new();
    for (at, info) in FIELDS.iter().enumerate() {
        assert_eq!(info.field as usize, at, "{}", info.title());
        if let Some(env) = info.env {
            let rule = format!("TEKD_{}_{}", info.section, info.name).to_uppercase().replace('-', "_");
            assert_eq!(env, rule.replace("__", "_"));
            assert!(names.insert(env));
            assert!(environment_help().contains(&info.title()));
        }
        if let Some(flag) = info.flag {
            assert!(flag.starts_with("--") && names.insert(flag));
        }
    }
}

#[test]
fn every_field_is_taken_from_the_file() {
    let config = from_file(
        r#"
        version = 1
        data = "/srv/tekd"
        listen = { udp = "127.0.0.1:0", tls = "off", quic = "off", udp-steering = "cpu", udp-idle = "sleep",
          xdp = "eth0", xdp-mode = "zero-copy" }
        [upstream]
        address = "origin.example.org:8353"
        trust = "trust.json"
        poll = "1m 30s"
        [node]
        id = 65_535
        name = "ams-1.example"
        [limits]
        tls-connections = 10
        quic-connections = 20
        answer-rate = "1MiB"
        [log]
        level = "trace"
        format = "json"
        [memory]
        mode = "map"
        [journal]
        segment = "1028KiB"
        mirror = "/mnt/second"
        "#,
    )
    .unwrap();
    assert_eq!((config.listen.udp_steering, config.listen.udp_idle), (UdpSteering::Cpu, UdpIdle::Sleep));
    assert_eq!(config.listen.control, Path::new("/srv/tekd/control.sock"));
    assert_eq!((config.listen.udp.unwrap().port(), config.listen.tls, config.listen.quic), (0, None, None));
    let interfaces = Xdp::Interfaces(vec!["eth0".to_owned()]);
    assert_eq!((config.listen.xdp, config.listen.xdp_mode), (interfaces, XdpMode::ZeroCopy));
    let upstream = config.upstream.unwrap();
    assert_eq!(upstream.address, "origin.example.org:8353");
    assert_eq!(upstream.trust, Path::new("trust.json"));
    assert_eq!(upstream.poll, Duration::from_secs(90));
    assert_eq!(config.node, Node { id: 65_535, name: "ams-1.example".into() });
    assert_eq!(config.limits, Limits { tls_connections: 10, quic_connections: 20, answer_rate: 1 << 20 });
    assert_eq!((config.log.level, config.log.format), (LogLevel::Trace, LogFormat::Json));
    assert_eq!(config.memory, MemoryMode::Map);
    assert_eq!(config.journal_segment, 1028 << 10);
    assert_eq!(config.journal_mirror.unwrap(), Path::new("/mnt/second"));
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let file =
        ConfigFile { path: Path::new("t"), text: "data = \"/file\"\n[node]\nname = \"file\"\nid = 2\n" };
    let environment = |name: &str| match name {
        "TEKD_DATA" => Some("/env".into()),
        "TEKD_NODE_NAME" => Some("env".into()),
        "TEKD_LISTEN_UDP_WORKERS" => Some("3".into()),
        "TEKD_NODE_ID" => Some("".into()),
        _ => None,
    };
    let flags = Overrides { data: Some("/flag".into()), ..Overrides::default() };
    let config = resolve(Some(file), environment, &flags).unwrap();
    assert_eq!(config.data, Path::new("/flag"));
    assert_eq!(config.node, Node { id: 2, name: "env".into() });
    assert_eq!(config.listen.udp_workers, Some(3));
}

#[test]
fn every_flag_reaches_its_field() {
    let config = from_flags(Overrides {
        data: Some("/d".into()),
        udp: Some("127.0.0.1:1".into()),
        tls: Some("127.0.0.1:2".into()),
        quic: Some("127.0.0.1:5".into()),
        xdp: Some("auto".into()),
        control: Some("/c".into()),
        metrics: Some("[::1]:3".into()),
        ready_file: Some("/r".into()),
        upstream: Some("[::1]:4".into()),
        trust: Some("/t".into()),
        poll: Some("5s".into()),
        log_level: Some("error".into()),
        log_format: Some("json".into()),
    })
    .unwrap();
    let listen = &config.listen;
    assert_eq!((listen.udp.unwrap().port(), listen.tls.unwrap().port()), (1, 2));
    assert_eq!((listen.quic.unwrap().port(), &listen.xdp), (5, &Xdp::Auto));
    assert_eq!((listen.control.as_path(), listen.metrics.unwrap().port()), (Path::new("/c"), 3));
    assert_eq!((config.data, config.ready_file), (PathBuf::from("/d"), Some(PathBuf::from("/r"))));
    let poll = Duration::from_secs(5);
    assert_eq!(config.upstream, Some(Upstream { address: "[::1]:4".into(), trust: "/t".into(), poll }));
    assert_eq!((config.log.level, config.log.format), (LogLevel::Error, LogFormat::Json));
}

#[test]
fn a_wrong_value_that_something_stronger_replaces_does_no_harm() {
    let file = ConfigFile { path: Path::new("t"), text: "[listen]\nudp = \"nonsense\"\n" };
    let flags = Overrides { udp: Some("off".into()), ..Overrides::default() };
    assert_eq!(resolve(Some(file), nothing, &flags).unwrap().listen.udp, None);
}

#[test]
fn a_path_that_is_not_utf8_is_taken_and_other_text_is_not() {
    let bytes = OsString::from_vec(b"/d\xff".to_vec());
    let data = resolve(None, |name| (name == "TEKD_DATA").then(|| bytes.clone()), &Overrides::default());
    assert_eq!(data.unwrap().data, PathBuf::from(bytes.clone()));
    let udp = resolve(None, |name| (name == "TEKD_LISTEN_UDP").then(|| bytes.clone()), &Overrides::default());
    assert_eq!(udp.unwrap_err().to_string(), "TEKD_LISTEN_UDP \"/d\u{fffd}\": not UTF-8 text");
}

#[test]
fn a_file_is_loaded_and_one_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let load = |path: &Path| load(&RealDisk, Some(path), nothing, &Overrides::default());
    let path = dir.path().join("tekd.toml");

    assert_eq!(
        load(Path::new("/nonexistent/tekd.toml")).unwrap_err().to_string(),
        "/nonexistent/tekd.toml: cannot be read: No such file or directory (os error 2)\n \
         = name another file with --config, or none to run on the defaults"
    );
    std::fs::write(&path, "[node]\nid = 9\n").unwrap();
    assert_eq!(load(&path).unwrap().node.id, 9);
    std::fs::write(&path, b"[node]\nname = \"a\xff\"\n").unwrap();
    assert_eq!(
        load(&path).unwrap_err().to_string(),
        format!("{}:2:10: not UTF-8 text\n  |\n2 | name = \"a\u{fffd}\"\n  |          ^", path.display())
    );
    std::fs::write(&path, vec![b'\n'; MAX_CONFIG_FILE as usize + 1]).unwrap();
    let e = load(&path).unwrap_err();
    assert!(e.message.contains("has 1048577 bytes, more than the 1048576 it may have"), "{e}");
    assert_eq!(super::load(&RealDisk, None, nothing, &Overrides::default()).unwrap(), defaults());
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}") {
        if let Err(e) = from_file(&text) {
            prop_assert!(!e.to_string().is_empty());
        }
    }

    #[test]
    fn a_template_with_one_byte_changed_is_taken_or_refused_with_a_spot(
        at in 0..template().len(), byte in 0x20u8..0x7f,
    ) {
        let mut bytes = template().into_bytes();
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        if let Err(e) = from_file(&text) {
            let spot = matches!(e.place, Place::Spot { .. });
            prop_assert!(spot, "{}", e);
        }
    }
}
