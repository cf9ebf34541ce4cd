//! Every kind of configuration error, with its whole text.

use std::path::Path;

use super::tests::{from_env, from_file, from_flags, nothing};
use super::*;

/// Asserts the whole text of the error that `file` gives.
fn assert_refused(file: &str, expected: &str) {
    let e = from_file(file).unwrap_err();
    assert_eq!(e.to_string(), expected, "\n{e}\n");
}

#[test]
fn an_unknown_field_is_refused_with_what_was_meant() {
    assert_refused(
        "version = 1\n\n[listen]\ntls = \"off\"\nudpp = \"[::]:8353\"\n",
        "tekd.toml:5:1: unknown field `udpp` in [listen]\n  \
           |\n\
         5 | udpp = \"[::]:8353\"\n  \
           | ^^^^\n  \
           = did you mean `udp`?\n  \
           = allowed here: udp, tls, quic, udp-workers, udp-steering, udp-idle, xdp, xdp-mode, \
           control, metrics",
    );
}

#[test]
fn an_unknown_section_is_refused_with_what_was_meant() {
    assert_refused(
        "[lisen]\nudp = \"off\"\n",
        "tekd.toml:1:2: unknown field `lisen` at the top\n  \
           |\n\
         1 | [lisen]\n  \
           |  ^^^^^\n  \
           = did you mean [listen]?\n  \
           = allowed here: version, data, [listen], [upstream], [node], [limits], [log], [memory], [journal]",
    );
}

#[test]
fn a_field_in_the_wrong_section_is_refused_with_its_place() {
    assert_refused(
        "[node]\nsegment = \"16MiB\"\n",
        "tekd.toml:2:1: unknown field `segment` in [node]\n  \
           |\n\
         2 | segment = \"16MiB\"\n  \
           | ^^^^^^^\n  \
           = there is segment of [journal]\n  \
           = allowed here: id, name",
    );
}

#[test]
fn the_first_of_several_mistakes_is_the_one_named() {
    let e = from_file("zzz = 1\naaa = 1\n").unwrap_err();
    assert!(matches!(e.place, Place::Spot { line: 1, .. }), "{e}");
}

#[test]
fn what_is_not_toml_is_refused_at_its_spot() {
    assert_refused(
        "[listen]\nudp = [::]:8353\n",
        "tekd.toml:2:11: not TOML: unexpected key or value, expected newline, `#`\n  \
           |\n\
         2 | udp = [::]:8353\n  \
           |           ^",
    );
}

#[test]
fn a_field_given_twice_is_refused() {
    assert_refused(
        "data = \"/a\"\ndata = \"/b\"\n",
        "tekd.toml:2:1: not TOML: duplicate key\n  \
           |\n\
         2 | data = \"/b\"\n  \
           | ^^^^",
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_with_an_example() {
    assert_refused(
        "[upstream]\npoll = 60\n",
        "tekd.toml:2:8: poll of [upstream] is a string, not a number\n  \
           |\n\
         2 | poll = 60\n  \
           |        ^^\n  \
           = write it like poll = \"60s\"",
    );
    assert_refused(
        "[node]\nid = \"7\"\n",
        "tekd.toml:2:6: id of [node] is a whole number, not a string\n  \
           |\n\
         2 | id = \"7\"\n  \
           |      ^^^\n  \
           = write it like id = 1",
    );
    for (value, kind) in [
        ("1.5", "a fraction"),
        ("true", "true or false"),
        ("[1]", "a list"),
        ("0x1f", "a number in hex, octal or binary"),
    ] {
        let e = from_file(&format!("[node]\nid = {value}\n")).unwrap_err();
        assert_eq!(e.message, format!("id of [node] is a whole number, not {kind}"));
    }
    let e = from_file("[data]\nx = 1\n").unwrap_err();
    assert_eq!(e.message, "data is a string, not a section");
}

#[test]
fn a_section_given_as_a_value_is_refused() {
    assert_refused(
        "listen = \"[::]:8353\"\n",
        "tekd.toml:1:1: listen is a section, not a value\n  \
           |\n\
         1 | listen = \"[::]:8353\"\n  \
           | ^^^^^^\n  \
           = write [listen] on a line of its own and its fields below",
    );
}

#[test]
fn another_version_of_the_format_is_refused() {
    assert_refused(
        "version = 2\n",
        "tekd.toml:1:11: this tekd reads configuration files of version 1\n  \
           |\n\
         1 | version = 2\n  \
           |           ^\n  \
           = write version = 1, or run the tekd this file was written for",
    );
}

#[test]
fn what_is_no_address_is_refused_with_examples() {
    assert_refused(
        "[listen]\n  tls = \"example.org:8353\" # a name\n",
        "tekd.toml:2:9: tls of [listen] is an address with a port, or \"off\"\n  \
           |\n\
         2 |   tls = \"example.org:8353\" # a name\n  \
           |         ^^^^^^^^^^^^^^^^^^\n  \
           = an address is numbers, not a name: \"192.0.2.1:8353\", \"[2001:db8::1]:8353\", \"[::]:0\"",
    );
}

#[test]
fn quic_is_refused_where_the_datagrams_are() {
    assert_refused(
        "[listen]\nudp = \"[::]:8354\"\nquic = \"[::]:8354\"\n",
        "tekd.toml:3:8: quic of [listen] is the address of udp, and both are UDP\n  \
           |\n\
         3 | quic = \"[::]:8354\"\n  \
           |        ^^^^^^^^^^^\n  \
           = give quic a port of its own: 8354 is the usual one",
    );
    assert_refused(
        "[listen]\nudp = \"[::]:8354\"\n",
        "tekd.toml:2:7: udp of [listen] is the address that quic has by default, and both are UDP\n  \
           |\n\
         2 | udp = \"[::]:8354\"\n  \
           |       ^^^^^^^^^^^\n  \
           = give udp a port of its own, 8353 is the usual one, or set quic as well",
    );
    let any = || Some("[::]:0".into());
    assert!(from_flags(Overrides { udp: any(), quic: any(), ..Overrides::default() }).is_ok());
}

#[test]
fn af_xdp_is_refused_without_udp_and_for_what_is_no_interface() {
    assert_refused(
        "[listen]\nudp = \"off\"\nxdp = \"eth0\"\n",
        "tekd.toml:3:7: xdp of [listen] answers datagrams, and udp is off\n  \
           |\n\
         3 | xdp = \"eth0\"\n  \
           |       ^^^^^^\n  \
           = give udp an address and a port, or set xdp to \"off\"",
    );
    assert_refused(
        "[listen]\nxdp = \"eth0;eth1/2\"\n",
        "tekd.toml:2:7: xdp of [listen]: `eth0;eth1/2` is not the name of an interface; write \"off\", \"auto\", \
         or names like \"eth0,eth1\"\n  \
           |\n\
         2 | xdp = \"eth0;eth1/2\"\n  \
           |       ^^^^^^^^^^^^^",
    );
}

#[test]
fn metrics_are_refused_anywhere_but_on_loopback() {
    assert_refused(
        "[listen]\nmetrics = \"0.0.0.0:8355\"\n",
        "tekd.toml:2:11: metrics are served on loopback only\n  \
           |\n\
         2 | metrics = \"0.0.0.0:8355\"\n  \
           |           ^^^^^^^^^^^^^^\n  \
           = use \"127.0.0.1:8355\" or \"[::1]:8355\", and a proxy with access control to go further",
    );
}

#[test]
fn a_control_path_too_long_for_a_socket_is_refused_at_what_made_it_long() {
    let long = format!("/{}", "d".repeat(107));
    let spot = "^".repeat(110);
    assert_refused(
        &format!("[listen]\ncontrol = \"{long}\"\n"),
        &format!(
            "tekd.toml:2:11: the path of the control socket has 108 bytes, at most 107 are possible\n  \
               |\n\
             2 | control = \"{long}\"\n  \
               |           {spot}\n  \
               = set control in [listen] to a shorter path"
        ),
    );
    let data = Overrides { data: Some(format!("/{}", "d".repeat(95)).into()), ..Overrides::default() };
    let e = from_flags(data.clone()).unwrap_err();
    assert!(matches!(e.place, Place::Given { name: "--data", .. }), "{e}");
    let control = Some("/run/c.sock".into());
    assert!(from_flags(Overrides { control, ..data }).is_ok());
}

#[test]
fn an_upstream_and_its_trust_go_together_wherever_they_are_given() {
    assert_refused(
        "[upstream]\naddress = \"origin.example.org:8353\"\n",
        "tekd.toml:2:11: an upstream without its trust\n  \
           |\n\
         2 | address = \"origin.example.org:8353\"\n  \
           |           ^^^^^^^^^^^^^^^^^^^^^^^^^\n  \
           = name the origin's trust.json too: trust in [upstream], or --trust FILE",
    );
    assert_refused(
        "[upstream]\ntrust = \"/t.json\"\n",
        "tekd.toml:2:9: a trust without its upstream\n  \
           |\n\
         2 | trust = \"/t.json\"\n  \
           |         ^^^^^^^^^\n  \
           = name the origin's address too: address in [upstream], or --upstream ADDR\n  \
           = an origin has no upstream: leave both out",
    );
    let file = ConfigFile { path: Path::new("t"), text: "[upstream]\ntrust = \"/t.json\"\n" };
    let flags = Overrides { upstream: Some("192.0.2.1:8353".into()), ..Overrides::default() };
    assert_eq!(resolve(Some(file), nothing, &flags).unwrap().upstream.unwrap().address, "192.0.2.1:8353");
}

#[test]
fn an_upstream_is_a_host_and_a_port() {
    let with = |address: &str| {
        let upstream = Some(address.to_owned());
        from_flags(Overrides { upstream, trust: Some("/t".into()), ..Overrides::default() })
    };
    for address in ["localhost:1", "192.0.2.1:8353", "[2001:db8::1]:8353", "a-b.example.org:65535"] {
        assert!(with(address).is_ok(), "{address}");
    }
    for address in
        ["", "host", "host:", ":8353", "host:0", "192.0.2.1:0", "::1:8353", "host:65536", "ho st:1"]
    {
        assert_eq!(
            with(address).unwrap_err().to_string(),
            format!(
                "--upstream \"{address}\": address of [upstream] is a host and a port\n \
                 = write \"origin.example.org:8353\", \"192.0.2.1:8353\" or \"[2001:db8::1]:8353\""
            )
        );
    }
}

#[test]
fn a_number_out_of_range_is_refused_with_the_range() {
    assert_refused(
        "[node]\nid = 65536\n",
        "tekd.toml:2:6: id of [node] is a whole number from 1 to 65535\n  \
           |\n\
         2 | id = 65536\n  \
           |      ^^^^^",
    );
    for (variable, name, high) in [
        ("TEKD_NODE_ID", "id of [node]", 65_535),
        ("TEKD_LISTEN_UDP_WORKERS", "udp-workers of [listen]", 1024),
        ("TEKD_LIMITS_TLS_CONNECTIONS", "tls-connections of [limits]", 1_000_000),
    ] {
        for value in ["0", "-1", "many", "99999999999999999999"] {
            assert_eq!(
                from_env(variable, value).unwrap_err().to_string(),
                format!("{variable} \"{value}\": {name} is a whole number from 1 to {high}")
            );
        }
    }
}

#[test]
fn a_duration_without_a_unit_or_out_of_range_is_refused() {
    assert_refused(
        "[upstream]\npoll = \"60\"\n",
        "tekd.toml:2:8: poll of [upstream]: `60` has no unit: write 60s, 60m, 60h or 60d\n  \
           |\n\
         2 | poll = \"60\"\n  \
           |        ^^^^",
    );
    let e = from_env("TEKD_UPSTREAM_POLL", "2h").unwrap_err();
    assert_eq!(e.to_string(), "TEKD_UPSTREAM_POLL \"2h\": poll of [upstream] is from 1s to 1h");
}

#[test]
fn a_size_with_a_wrong_unit_or_out_of_range_is_refused() {
    assert_refused(
        "[limits]\nanswer-rate = \"64KB\"\n",
        "tekd.toml:2:15: answer-rate of [limits]: `KB` in `64KB` is not a unit of size: use B, KiB, MiB or GiB\n  \
           |\n\
         2 | answer-rate = \"64KB\"\n  \
           |               ^^^^^^",
    );
    for (value, message) in [
        ("512KiB", "segment of [journal] is from 1MiB to 64MiB"),
        ("65MiB", "segment of [journal] is from 1MiB to 64MiB"),
        ("1025KiB", "segment of [journal] is a multiple of 4KiB"),
    ] {
        assert_eq!(from_env("TEKD_JOURNAL_SEGMENT", value).unwrap_err().message, message);
    }
    let e = from_env("TEKD_LIMITS_ANSWER_RATE", "1KiB").unwrap_err();
    assert_eq!(e.message, "answer-rate of [limits] is from 2KiB to 1GiB");
}

#[test]
fn a_word_that_is_none_of_the_allowed_is_refused_with_them() {
    assert_refused(
        "[log]\nlevel = \"verbose\"\n",
        "tekd.toml:2:9: level of [log]: `verbose` is not one of error, warn, info, debug, trace\n  \
           |\n\
         2 | level = \"verbose\"\n  \
           |         ^^^^^^^^^",
    );
    for (variable, message) in [
        ("TEKD_LOG_FORMAT", "format of [log]: `x` is not one of text, json"),
        ("TEKD_MEMORY_MODE", "mode of [memory]: `x` is not one of copy, map"),
        ("TEKD_LISTEN_XDP_MODE", "xdp-mode of [listen]: `x` is not one of copy, zero-copy"),
    ] {
        assert_eq!(from_env(variable, "x").unwrap_err().message, message);
    }
}

#[test]
fn a_name_of_a_node_that_could_not_be_a_label_is_refused() {
    assert_refused(
        "[node]\nname = \"zürich 1\"\n",
        "tekd.toml:2:8: a node's name is at most 63 letters, digits, dots, hyphens, underscores\n  \
           |\n\
         2 | name = \"zürich 1\"\n  \
           |        ^^^^^^^^^^",
    );
    assert!(from_file(&format!("[node]\nname = \"{}\"\n", "n".repeat(MAX_NODE_NAME))).is_ok());
    assert!(from_file(&format!("[node]\nname = \"{}\"\n", "n".repeat(MAX_NODE_NAME + 1))).is_err());
}

#[test]
fn a_mirror_in_the_data_directory_is_refused() {
    for inside in ["/var/lib/tekd/journal", "/var/lib/tekd"] {
        let e = from_env("TEKD_JOURNAL_MIRROR", inside).unwrap_err();
        assert_eq!(e.message, "mirror of [journal] is inside of data");
    }
    assert!(from_env("TEKD_JOURNAL_MIRROR", "/var/lib/tekd-mirror").is_ok());
}

#[test]
fn an_empty_path_is_refused() {
    assert_refused(
        "data = \"\"\n",
        "tekd.toml:1:8: data is empty: name a path\n  \
           |\n\
         1 | data = \"\"\n  \
           |        ^^",
    );
}
