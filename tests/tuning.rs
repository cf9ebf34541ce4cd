//! The scripts of `tuning/`: they say what they would do, do it once, and undo it; and `tekctl doctor` tells
//! this machine without changing it. What is changed here is a made-up tree.

#![cfg(feature = "net")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const CPUS: &str = "sys/devices/system/cpu";

/// By what the kernel tells one start of the machine from another.
const BOOT: &str = "proc/sys/kernel/random/boot_id";
/// What nobody may write, root neither.
const REFUSING: &str = "/proc/sys/kernel/osrelease";

/// What the scripts change, as on a machine that nobody tuned.
const UNTUNED: [(&str, &str); 18] = [
    (BOOT, "first"),
    ("proc/sys/net/core/rmem_max", "212992"),
    ("proc/sys/net/core/wmem_max", "212992"),
    ("proc/sys/net/core/netdev_max_backlog", "1000"),
    ("proc/sys/net/core/netdev_budget", "300"),
    ("proc/sys/net/core/netdev_budget_usecs", "8000"),
    ("proc/sys/net/core/busy_poll", "50"),
    ("proc/irq/30/smp_affinity_list", "0-1"),
    ("proc/irq/31/smp_affinity_list", "0-1"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state3/latency", "133"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state3/disable", "0"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state1/latency", "2"),
    ("sys/devices/system/cpu/cpu1/cpuidle/state1/disable", "0"),
    ("sys/class/net/eth0/device/msi_irqs/30", "msix"),
    ("sys/class/net/eth0/device/msi_irqs/31", "msix"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
    ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0"),
];

/// An `ethtool` of a card with rings of at most 1024, two queues already, fixed times of interrupts, pause
/// frames one way, addresses alone for one family of UDP. It keeps what it is told to set and ends with CODE.
const ETHTOOL: &str = r"
rings() { printf 'Pre-set maximums:\nRX: 1024\nTX: 1024\n'
    printf 'Current hardware settings:\nRX: 256\nTX: 1024\n'; }
queues() { printf 'Pre-set maximums:\nCombined: 2\nCurrent hardware settings:\nCombined: 2\n'; }
spread() { printf 'UDP flows use these fields for the key:\nIP DA\nL4 bytes 0 & 1 [src port]\n'
    [ $1 = udp4 ] || printf 'L4 bytes 2 & 3 [dst port]\n'; }
case $1 in
-g) rings ;;
-l) queues ;;
-c) printf 'Coalesce parameters for eth0:\nrx-usecs: 3\ntx-usecs: n/a\n' ;;
-n) spread $4 ;;
-a) printf 'Pause parameters for eth0:\nAutonegotiate: off\nRX: on\nTX: off\n' ;;
-C) echo 'netlink error: Operation not supported' >&2; exit 1 ;;
*) echo $* >>LOG; exit CODE ;;
esac";

/// An `ethtool` of a card that has nothing of what is asked for.
const ETHTOOL_OF_NOTHING: &str = "echo 'netlink error: Operation not supported' >&2\nexit 95";

/// A `systemctl` of one service, which runs as long as there is a file.
const SYSTEMCTL: &str = r#"#!/usr/bin/env bash
running=$(dirname "$0")/../../running
case $* in
*is-active*) [ -e "$running" ] ;;
stop*) rm "$running" ;;
start*) touch "$running" ;;
esac"#;

fn tuning() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning")
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("below the root")).expect("a directory");
    fs::write(path, format!("{text}\n")).expect("a file");
}

fn untuned() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    for (path, text) in UNTUNED {
        write(root.path(), path, text);
    }
    root
}

/// All files below a directory and what is in them.
fn files(root: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

/// Runs a script on a tree; `path` is searched for commands first.
fn ran(script: &str, arguments: &[&str], root: &Path, path: Option<&Path>) -> Output {
    let mut command = Command::new("bash");
    command.arg(tuning().join(script)).args(arguments).env("TUNING_ROOT", root);
    let places = path.map(Path::to_path_buf).into_iter();
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let places = places.chain(std::env::split_paths(&usual));
    command.env("PATH", std::env::join_paths(places).expect("paths"));
    command.output().expect("bash runs")
}

/// What a script says that ends well.
fn run(script: &str, arguments: &[&str], root: &Path, path: Option<&Path>) -> String {
    said(&ran(script, arguments, root, path), script)
}

/// What a script says on both ways that does not end well.
fn run_in_vain(script: &str, arguments: &[&str], root: &Path) -> String {
    let output = ran(script, arguments, root, None);
    assert_eq!(output.status.code(), Some(1), "{script}");
    String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
}

fn said(output: &Output, what: &str) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {errors}", output.status);
    assert_eq!(errors, "", "{what}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Puts something in the place of a file that cannot be written.
fn refuse(root: &Path, path: &str) {
    fs::remove_file(root.join(path)).expect("it was there");
    std::os::unix::fs::symlink(REFUSING, root.join(path)).expect("a link");
}

fn text(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).expect(path).trim().to_owned()
}

/// A command that tests put in the place of the real one.
fn command(name: &str, script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join(name);
    fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).expect("a file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    dir
}

#[test]
fn every_script_is_understood_by_bash_and_says_what_it_does() {
    for script in ["steps", "sysctl", "cpu", "irq", "nic", "bgp/announce"] {
        let path = tuning().join(script);
        let checked = Command::new("bash").arg("-n").arg(&path).output().expect("bash runs");
        said(&checked, script);
        let text = fs::read_to_string(&path).expect("a script");
        assert!(text.lines().nth(1).is_some_and(|line| line.starts_with("# ")), "{script} has no purpose");
    }
    for script in ["sysctl", "cpu", "irq", "nic"] {
        let root = untuned();
        let help = run(script, &["--help"], root.path(), None);
        assert!(help.contains("[--dry-run] [--undo]") && !help.contains("here="), "{help}");
    }
}

#[test]
fn what_a_dry_run_says_is_not_done() {
    for (script, arguments, change) in [
        ("sysctl", &["--dry-run"][..], "rmem_max from 212992 to 8388608"),
        ("cpu", &["--dry-run"], "scaling_governor from powersave to performance"),
        ("irq", &["eth0", "--dry-run"], "/proc/irq/31/smp_affinity_list from 0-1 to 1"),
    ] {
        let root = untuned();
        let before = files(root.path());
        let said = run(script, arguments, root.path(), None);
        assert!(said.contains("would be changed") && said.contains(change), "{said}");
        assert_eq!(files(root.path()), before, "{script} changed something");
    }
}

#[test]
fn what_is_done_is_done_once_and_undone_whole() {
    for (script, arguments, changed, value) in [
        ("sysctl", &[][..], "proc/sys/net/core/busy_poll", "0\n"),
        ("sysctl", &[], "proc/sys/net/core/rmem_max", "8388608\n"),
        ("sysctl", &[], "proc/sys/net/core/netdev_budget_usecs", "8000\n"),
        ("cpu", &[], "sys/devices/system/cpu/cpu0/cpuidle/state3/disable", "1\n"),
        ("cpu", &[], "sys/devices/system/cpu/cpu1/cpuidle/state1/disable", "0\n"),
        ("irq", &["eth0"], "proc/irq/30/smp_affinity_list", "0\n"),
        ("irq", &["eth0"], "proc/irq/31/smp_affinity_list", "1\n"),
    ] {
        let root = untuned();
        let before = files(root.path());
        assert!(run(script, arguments, root.path(), None).contains("changed"), "{script}");
        let after = files(root.path());
        assert_eq!(after[&root.path().join(changed)], value, "{script}");
        let again = run(script, arguments, root.path(), None);
        assert!(!again.contains("changed") && again.contains("holds"), "{again}");
        assert_eq!(files(root.path()), after, "{script} did something twice");
        let undo = [arguments, &["--undo"]].concat();
        run(script, &undo, root.path(), None);
        assert_eq!(files(root.path()), before, "{script} left something");
        assert!(run(script, &undo, root.path(), None).contains("nothing to undo"));
    }
}

#[test]
fn what_the_kernel_refuses_is_skipped_and_nothing_is_kept_of_it() {
    let root = untuned();
    refuse(root.path(), "proc/irq/30/smp_affinity_list");
    let said = run("irq", &["eth0"], root.path(), None);
    assert!(said.contains("skipped: /proc/irq/30/smp_affinity_list is refused: "), "{said}");
    assert_eq!(text(root.path(), "proc/irq/31/smp_affinity_list"), "1", "the rest goes on");
    let state = text(root.path(), "var/lib/tekd-tuning/irq-eth0");
    assert!(state.contains("/31/") && !state.contains("/30/"), "{state}");
    run("irq", &["eth0", "--undo"], root.path(), None);
    assert_eq!(text(root.path(), "proc/irq/31/smp_affinity_list"), "0-1");

    refuse(root.path(), "proc/irq/31/smp_affinity_list");
    run("irq", &["eth0"], root.path(), None);
    assert!(!root.path().join("var/lib/tekd-tuning/irq-eth0").exists(), "nothing was changed");
}

#[test]
fn what_cannot_be_undone_stays_for_the_next_time_and_the_rest_is_undone() {
    let (root, state) = (untuned(), "var/lib/tekd-tuning/irq-eth0");
    run("irq", &["eth0"], root.path(), None);
    refuse(root.path(), "proc/irq/31/smp_affinity_list");
    let said = run_in_vain("irq", &["eth0", "--undo"], root.path());
    assert!(said.contains("not back: /proc/irq/31/smp_affinity_list to 0-1: "), "{said}");
    assert_eq!(text(root.path(), "proc/irq/30/smp_affinity_list"), "0-1");
    assert_eq!(text(root.path(), state), "boot first\nvalue /proc/irq/31/smp_affinity_list 0-1");

    fs::remove_file(root.path().join("proc/irq/31/smp_affinity_list")).expect("the link");
    write(root.path(), "proc/irq/31/smp_affinity_list", "1");
    run("irq", &["eth0", "--undo"], root.path(), None);
    assert_eq!(text(root.path(), "proc/irq/31/smp_affinity_list"), "0-1");
    assert!(!root.path().join(state).exists());
}

#[test]
fn what_a_start_undid_is_forgotten_and_what_lasts_is_not() {
    let (root, queue) = (untuned(), "proc/irq/30/smp_affinity_list");
    run("irq", &["eth0"], root.path(), None);
    run("sysctl", &[], root.path(), None);
    write(root.path(), BOOT, "second");
    write(root.path(), queue, "1");
    let before = files(root.path());
    let said = run("irq", &["eth0", "--undo", "--dry-run"], root.path(), None);
    assert!(said.contains("would be forgotten") && files(root.path()) == before, "{said}");
    let said = run("irq", &["eth0", "--undo"], root.path(), None);
    assert!(said.contains("forgotten") && said.contains("nothing to undo"), "{said}");
    assert_eq!(text(root.path(), queue), "1", "what this start found is not overwritten");
    run("sysctl", &["--undo"], root.path(), None);
    assert_eq!(text(root.path(), "proc/sys/net/core/rmem_max"), "212992");
}

#[test]
fn an_interface_is_undone_by_itself_and_irqbalance_starts_after_the_last() {
    let root = untuned();
    for (path, text) in [
        ("proc/irq/40/smp_affinity_list", "0-1"),
        ("sys/class/net/eth1/device/msi_irqs/40", "msix"),
        ("sys/class/net/eth1/queues/rx-0/rps_cpus", "0"),
        ("usr/bin/systemctl", SYSTEMCTL),
        ("running", ""),
    ] {
        write(root.path(), path, text);
    }
    let systemctl = root.path().join("usr/bin/systemctl");
    fs::set_permissions(systemctl, fs::Permissions::from_mode(0o755)).expect("executable");
    let running = root.path().join("running");
    assert!(run("irq", &["eth0"], root.path(), None).contains("stopped: irqbalance"));
    run("irq", &["eth1"], root.path(), None);
    assert!(!running.exists());
    let said = run("irq", &["eth0", "--undo"], root.path(), None);
    assert!(said.contains("irqbalance is stopped for eth1") && !running.exists(), "{said}");
    assert_eq!(text(root.path(), "proc/irq/31/smp_affinity_list"), "0-1");
    assert_eq!(text(root.path(), "proc/irq/40/smp_affinity_list"), "0");
    run("irq", &["eth1", "--undo"], root.path(), None);
    assert_eq!(text(root.path(), "proc/irq/40/smp_affinity_list"), "0-1");
    assert!(running.exists());
}

#[test]
fn a_number_that_is_greater_already_is_as_great_at_the_next_start() {
    let (root, installed) = (untuned(), "etc/sysctl.d/60-tekd.conf");
    write(root.path(), "proc/sys/net/core/rmem_max", "33554432");
    run("sysctl", &[], root.path(), None);
    let shipped = fs::read_to_string(tuning().join("sysctl.d/60-tekd.conf")).expect("what is shipped");
    let wanted = shipped
        .replace("net.core.rmem_max = 8388608", "net.core.rmem_max = 33554432")
        .replace("netdev_budget_usecs = 4000", "netdev_budget_usecs = 8000");
    assert_eq!(text(root.path(), installed), wanted.trim());
    // What is installed is replaced by itself, and by nobody's else.
    write(root.path(), "proc/sys/net/core/wmem_max", "16777216");
    assert!(run("sysctl", &[], root.path(), None).contains("installed: /etc"));
    assert!(text(root.path(), installed).contains("wmem_max = 16777216"));
    run("sysctl", &["--undo"], root.path(), None);
    write(root.path(), installed, "somebody's");
    assert!(run_in_vain("sysctl", &[], root.path()).contains("is there and is another"));
}

#[test]
fn huge_pages_that_are_off_are_given_on_request() {
    let (root, path) = (untuned(), "sys/kernel/mm/transparent_hugepage/enabled");
    write(root.path(), path, "always madvise [never]");
    run("cpu", &[], root.path(), None);
    assert_eq!(files(root.path())[&root.path().join(path)], "madvise\n");
    run("cpu", &["--undo"], root.path(), None);
    assert_eq!(files(root.path())[&root.path().join(path)], "never\n");
    assert!(root.path().join(CPUS).exists());
}

#[test]
fn a_network_card_is_set_as_far_as_it_goes_and_set_back() {
    // With 80 older ones say that all is as it should be already.
    for code in ["0", "80"] {
        let (root, log) = (untuned(), tempfile::NamedTempFile::new().expect("a file"));
        let script = ETHTOOL.replace("LOG", &log.path().display().to_string()).replace("CODE", code);
        let ethtool = command("ethtool", &script);
        let said = run("nic", &["eth0"], root.path(), Some(ethtool.path()));
        assert!(said.contains("holds: combined is 2") && said.contains("holds: tx is 1024"), "{said}");
        assert!(said.contains("rx-usecs is refused: netlink error: Operation not supported"), "{said}");
        assert!(said.contains("tx-usecs of eth0 is not supported") && said.contains("holds: udp6"), "{said}");
        run("nic", &["eth0", "--undo"], root.path(), Some(ethtool.path()));
        let done = fs::read_to_string(log.path()).expect("what ethtool was asked");
        let wanted = [
            "-G eth0 rx 1024",
            "-A eth0 rx off tx off",
            "-N eth0 rx-flow-hash udp4 sdfn",
            "-N eth0 rx-flow-hash udp4 df",
            "-A eth0 rx on tx off",
            "-G eth0 rx 256",
        ];
        assert_eq!(done.lines().collect::<Vec<_>>(), wanted);
    }
}

#[test]
fn what_a_network_card_does_not_have_is_skipped_each_by_its_name() {
    let root = untuned();
    let ethtool = command("ethtool", ETHTOOL_OF_NOTHING);
    let before = files(root.path());
    let said = run("nic", &["eth0"], root.path(), Some(ethtool.path()));
    for what in ["combined", "rx", "tx", "rx-usecs", "tx-usecs", "pause", "the spreading of udp4"] {
        assert!(said.contains(&format!("skipped: {what} of eth0 is not supported")), "{what}: {said}");
    }
    assert_eq!(said.lines().count(), 8, "{said}");
    assert_eq!(files(root.path()), before);
}

/// What is announced when the client ends with these codes, one after another.
fn announced(codes: &[u8], arguments: &[&str]) -> Vec<String> {
    announced_and_logged(codes, arguments).0
}

/// The same, and what is logged.
fn announced_and_logged(codes: &[u8], arguments: &[&str]) -> (Vec<String>, String) {
    let list = codes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    let asked = tempfile::NamedTempFile::new().expect("a file");
    let asked = asked.path().display();
    let tekctl = command(
        "tekctl",
        &format!(
            "codes=({list})\nn=$(wc -l <{asked})\necho asked >>{asked}\n\
             [ ${{codes[$n]}} = 0 ] || echo code ${{codes[$n]}} >&2\nexit ${{codes[$n]}}"
        ),
    );
    let rounds = codes.len().to_string();
    let mut given =
        vec!["192.0.2.53/32", "192.0.2.53:8353", "trust.json", "--every", "0", "--rounds", &rounds];
    given.extend(arguments);
    let root = untuned();
    let output = ran("bgp/announce", &given, root.path(), Some(tekctl.path()));
    let [lines, log] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text"));
    assert!(output.status.success(), "{log}");
    (lines.lines().map(|line| line.replace("192.0.2.53/32 next-hop self", "R")).collect(), log)
}

#[test]
fn a_route_is_announced_while_the_server_answers_and_withdrawn_when_it_does_not() {
    let (up, stale) = ("announce route R med 100", "announce route R med 500");
    let down = "withdraw route R";
    assert_eq!(announced(&[0, 0, 0, 0], &[]), [down, up, down], "after three good answers, and at the end");
    assert_eq!(announced(&[0, 0, 3, 0, 0], &[]), [down], "never three in a row");
    assert_eq!(announced(&[0, 0, 0, 3, 3, 0, 3, 3, 3], &[]), [down, up, down], "two bad ones are borne");
    assert_eq!(
        announced(&[0, 0, 0, 5, 0], &[]),
        [down, up, stale, up, down],
        "an old release stays announced"
    );
    assert_eq!(announced(&[5, 5, 5], &[]), [down, stale, down]);
    let here = env!("CARGO_MANIFEST_DIR");
    let draining = "announce route R med 1000 community [ 65535:0 ]";
    assert_eq!(announced(&[0, 0, 0], &["--drain-file", here]), [down, draining, down]);
    let log = announced_and_logged(&[0, 3, 3, 3, 5, 0, 3], &[]).1;
    let said = ["broken: code 3", "stale: code 5", "broken: code 3"].map(|why| format!("announce: {why}\n"));
    assert_eq!(log, said.concat(), "each time that it begins");
}

#[test]
fn the_doctor_tells_each_thing_with_what_to_do_and_ends_with_its_code() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let mut tekctl = Command::new(env!("CARGO_BIN_EXE_tekctl"));
    let output = tekctl.args(["doctor", "--json", "--data"]).arg(data.path()).output().expect("tekctl runs");
    let document: Value = serde_json::from_slice(&output.stdout).expect("one document");
    let checks = document["checks"].as_array().expect("a list");
    let text = |check: &Value, name: &str| check[name].as_str().expect(name).to_owned();
    let names: Vec<String> = checks.iter().map(|check| text(check, "name")).collect();
    for name in ["kernel", "net.core.rmem_max", "transparent huge pages", "AF_XDP", "data free space"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing from {names:?}");
    }
    for check in checks {
        for part in ["found", "wanted", "why", "todo"] {
            assert!(!text(check, part).is_empty(), "{check}");
        }
        if let Some(file) = text(check, "todo").split([' ', ';']).find(|word| word.starts_with("tuning/")) {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{file} is not there");
        }
    }
    let advised = checks.iter().filter(|check| check["state"] == "advised").count();
    assert_eq!(document["advised"], advised);
    assert_eq!(output.status.code(), Some(if advised > 0 { 5 } else { 0 }));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux");
    assert_eq!(text(&checks[0], "found"), kernel.trim());
}
