//! Configuration files of any text, with and without variables of the environment.
//!
//! Beside not panicking: an error is a text that names the file, and what was resolved keeps the
//! limits that its types promise.

#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tekd::service::config::{
    Config, ConfigError, ConfigFile, FIELDS, MAX_INTERFACE_NAME, MAX_NODE_NAME, MAX_XDP_INTERFACES,
    Overrides, Xdp, resolve, template,
};
use tekd::service::sizetext::{format_size, parse_size};
use tekd::service::timetext::{format_duration, parse_duration};

fuzz_target!(init: tekd_fuzz::seeds::offer(seeds), |input: &[u8]| {
    // Each variable is all of the input once in a while: the first byte chooses which.
    let field = input.first().and_then(|first| FIELDS.get(usize::from(*first)));
    let variable = field.and_then(|field| field.env);
    let environment = |name: &str| {
        (variable == Some(name)).then(|| OsString::from_vec(input[1..].to_vec()))
    };
    judge(resolve(None, environment, &Overrides::default()));
    let Ok(text) = std::str::from_utf8(input) else { return };
    let file = ConfigFile { path: Path::new("tekd.toml"), text };
    judge(resolve(Some(file), |_| None, &Overrides::default()));
    if let Ok(seconds) = parse_duration(text) {
        assert_eq!(parse_duration(&format_duration(seconds)).ok(), Some(seconds));
    }
    if let Ok(bytes) = parse_size(text) {
        assert_eq!(parse_size(&format_size(bytes)).ok(), Some(bytes));
    }
});

fn judge(resolved: Result<Config, ConfigError>) {
    match resolved {
        Ok(config) => {
            assert!(config.node.id > 0 && config.node.name.len() <= MAX_NODE_NAME);
            assert!(config.journal_segment.is_multiple_of(4096));
            assert!(config.listen.metrics.is_none_or(|address| address.ip().is_loopback()));
            if let Xdp::Interfaces(names) = &config.listen.xdp {
                assert!((1..=MAX_XDP_INTERFACES).contains(&names.len()) && config.listen.udp.is_some());
                assert!(names.iter().all(|name| name.len() <= MAX_INTERFACE_NAME && !name.contains('/')));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let uncommented: String =
        template().lines().map(|line| line.trim_start_matches("# ").to_owned() + "\n").collect();
    let small = "version = 1\n[listen]\nudp = \"[::1]:0\"\n[upstream]\naddress = \"a:1\"\ntrust = \"t\"\npoll = \"5s\"\n";
    let shared = "[listen]\nudp = \"[::]:8354\"\nxdp = \"eth0,eth1\"\nxdp-mode = \"zero-copy\"\n";
    let wrong = "[listen]\nudpp = 3\n\n[node]\nid = 0x10\nname = \"\u{e9}\u{1f600}\"\n";
    [&template()[..], &uncommented, small, shared, wrong].map(|text| text.as_bytes().to_vec()).to_vec()
}
