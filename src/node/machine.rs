//! Reads what the machine under tekd is like, for `service::doctor` to judge: files of `/proc`, `/sys` and
//! `/run` under a root that tests choose. Nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::service::doctor::{BUSY_POLLS, Card, Clock, DataDisk, Readings, SYSCTLS, Tracking};
#[cfg(feature = "xdp")]
use crate::{service::doctor::LOCKED_BYTES_PER_QUEUE, transport::xdp};

/// Processes that are looked at to find a running server.
const PROCESSES_MAX: usize = 1 << 16;
/// Files that time services leave, and the one that goes with its service and says the clock is set.
const CLOCK_SET: &str = "run/systemd/timesync/synchronized";
const TIME_SERVICES: [&str; 4] =
    ["run/chrony/chronyd.pid", "run/chronyd.pid", "run/ntpd.pid", "run/openntpd.pid"];
/// What waits for [`CLOCK_SET`].
const CLOCK_WAITS: &str = "run/systemd/timesync";

#[cfg(feature = "xdp")]
const _: () = assert!(LOCKED_BYTES_PER_QUEUE == (xdp::FRAMES * xdp::FRAME_BYTES) as u64);

/// Reads the machine whose file system begins at `root`, and the disk under `data` if that exists.
#[must_use]
pub fn read_machine(root: &Path, data: Option<&Path>) -> Readings {
    let machine = Machine { root };
    let processors = machine.processors();
    let (limits_of, limits) = machine.limits();
    let limit = |name| limits.as_deref().and_then(|text| soft_limit(text, name));
    Readings {
        kernel: machine.line("proc/sys/kernel/osrelease"),
        sysctls: machine.sysctls(),
        cores: processors.len(),
        governors: processors
            .iter()
            .filter_map(|cpu| machine.line(cpu.join("cpufreq/scaling_governor")))
            .collect(),
        huge_pages: machine.line("sys/kernel/mm/transparent_hugepage/enabled"),
        cards: machine.cards(),
        tracking: machine.tracking(),
        has_xdp: machine
            .text("proc/net/protocols")
            .map(|text| text.lines().any(|line| line.starts_with("XDP "))),
        limits_of,
        open_files: limit("Max open files"),
        locked_bytes: limit("Max locked memory"),
        clock: machine.clock(),
        data: data.filter(|data| data.exists()).map(|data| machine.disk(data)),
    }
}

/// A tree like that of a running machine.
struct Machine<'a> {
    root: &'a Path,
}

impl Machine<'_> {
    fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }

    fn line(&self, path: impl AsRef<Path>) -> Option<String> {
        self.text(path).map(|text| text.trim().to_owned())
    }

    /// Names in a directory, in order; none if there is no such directory.
    fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    fn sysctls(&self) -> BTreeMap<String, u64> {
        let names = SYSCTLS.iter().map(|(name, ..)| *name).chain(BUSY_POLLS);
        let read = |name: &str| self.line(Path::new("proc/sys").join(name.replace('.', "/")))?.parse().ok();
        names.filter_map(|name| Some((name.to_owned(), read(name)?))).collect()
    }

    fn tracking(&self) -> Option<Tracking> {
        match self.line("proc/sys/net/netfilter/nf_conntrack_count") {
            Some(count) => count.parse().ok().map(Tracking::Of),
            None => self.has("proc/sys/net").then_some(Tracking::Absent),
        }
    }

    /// Directories of the processors.
    fn processors(&self) -> Vec<PathBuf> {
        let cpus = Path::new("sys/devices/system/cpu");
        let is_one =
            |name: &String| name.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok());
        self.names(cpus).into_iter().filter(is_one).map(|name| cpus.join(name)).collect()
    }

    /// The network cards: interfaces with a device behind them.
    fn cards(&self) -> Vec<Card> {
        let net = Path::new("sys/class/net");
        let behind = |name: &String| self.root.join(net).join(name).join("device").exists();
        let card = |name: String| {
            let queues = self.names(net.join(&name).join("queues"));
            let queues = queues.iter().filter(|queue| queue.starts_with("rx-")).count();
            Card { interrupts: self.interrupts(&net.join(&name)), queues, name }
        };
        self.names(net).into_iter().filter(behind).map(card).collect()
    }

    /// Where the interrupts of an interface are served. Those of a virtual card are of the device behind its
    /// own, and the first of them, which only tells of changes, goes anywhere.
    fn interrupts(&self, interface: &Path) -> Vec<String> {
        let of = |device: &str| {
            let names = self.names(interface.join(device).join("msi_irqs"));
            let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
            numbers.sort_unstable();
            numbers
        };
        let own = of("device");
        let numbers = if own.is_empty() { of("device/..").into_iter().skip(1).collect() } else { own };
        let list = |number: &u32| self.line(format!("proc/irq/{number}/smp_affinity_list"));
        numbers.iter().filter_map(list).collect()
    }

    /// Whose limits, and the text of them: those of a server that runs, or else of this process.
    fn limits(&self) -> (&'static str, Option<String>) {
        let is_server = |name: &&String| {
            let number = name.parse::<u32>().is_ok();
            number && self.line(format!("proc/{name}/comm")).as_deref() == Some("tekd")
        };
        let processes = self.names("proc");
        let server = processes.iter().take(PROCESSES_MAX).find(is_server);
        match server.and_then(|server| self.text(format!("proc/{server}/limits"))) {
            Some(limits) => ("of the running tekd", Some(limits)),
            None => ("of this shell, for no tekd runs", self.text("proc/self/limits")),
        }
    }

    /// A service that was killed leaves the file of its process: that proves no kept clock.
    fn clock(&self) -> Clock {
        if self.has(CLOCK_SET) {
            Clock::Set
        } else if TIME_SERVICES.iter().any(|service| self.has(service)) {
            Clock::Started
        } else if self.has(CLOCK_WAITS) {
            Clock::Waits
        } else {
            Clock::Unseen
        }
    }

    fn disk(&self, data: &Path) -> DataDisk {
        let data = data.canonicalize().unwrap_or_else(|_| data.to_path_buf());
        let mounts = self.text("proc/self/mountinfo").unwrap_or_default();
        let free = rustix::fs::statvfs(&data).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
        DataDisk { file_system: file_system(&mounts, &data), free_bytes: free }
    }
}

/// A soft limit of `/proc/PID/limits`; unlimited is the greatest number.
fn soft_limit(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?;
    if value == "unlimited" { Some(u64::MAX) } else { value.parse().ok() }
}

/// The type of the file system that `path` is on: that of the mount with the longest path above it, the last
/// of equals.
fn file_system(mountinfo: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        // A blank in a path stands there as its number.
        let at = PathBuf::from(left.split(' ').nth(4)?.replace("\\040", " "));
        path.starts_with(&at).then(|| (at.components().count(), right.split(' ').next().map(str::to_owned)))
    };
    mountinfo.lines().filter_map(mount).max_by_key(|(depth, _)| *depth)?.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::doctor::{State, checks};

    /// Writes a tree of files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const TUNED: [(&str, &str); 22] = [
        ("proc/sys/kernel/osrelease", "6.1.0\n"),
        ("proc/sys/net/core/rmem_max", "8388608\n"),
        ("proc/sys/net/core/wmem_max", "8388608\n"),
        ("proc/sys/net/core/netdev_max_backlog", "40000\n"),
        ("proc/sys/net/core/netdev_budget", "600\n"),
        ("proc/sys/net/core/busy_poll", "0\n"),
        ("proc/sys/net/core/busy_read", "0\n"),
        ("proc/net/protocols", "protocol  size\nXDP       1088\n"),
        ("proc/self/limits", "Max open files            1024    1024  files\n"),
        ("proc/77/comm", "tekd\n"),
        (
            "proc/77/limits",
            "Max open files 1048576 1048576 files\nMax locked memory unlimited unlimited bytes\n",
        ),
        ("proc/irq/30/smp_affinity_list", "0\n"),
        ("proc/irq/31/smp_affinity_list", "1\n"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
        ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance\n"),
        ("sys/devices/system/cpu/cpufreq/boost", "1\n"),
        ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
        ("sys/class/net/eth0/device/msi_irqs/30", "msix\n"),
        ("sys/class/net/eth0/device/msi_irqs/31", "msix\n"),
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n"),
        ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0\n"),
        ("run/systemd/timesync/synchronized", ""),
    ];

    #[test]
    fn everything_that_is_judged_is_read() {
        let mut files = TUNED.to_vec();
        files.push(("proc/self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/vda rw\n"));
        files.push(("sys/class/net/lo/queues/rx-0/rps_cpus", "0\n"));
        let root = tree(&files);
        let readings = read_machine(root.path(), Some(root.path()));
        assert_eq!(readings.cores, 2);
        assert_eq!(readings.cards.len(), 1, "the loopback interface is no card");
        assert_eq!(readings.limits_of, "of the running tekd");
        let checks = checks(&readings);
        let others =
            checks.iter().filter(|check| check.name != "data free space" && check.state != State::Ok);
        assert_eq!(others.count(), 0, "{checks:?}");
        assert!(readings.data.unwrap().free_bytes.is_some());
    }

    #[test]
    fn where_there_is_nothing_nothing_is_made_up() {
        let root = tree(&[]);
        let readings = read_machine(root.path(), None);
        assert!(checks(&readings).iter().all(|check| check.state == State::Unknown), "{readings:?}");
    }

    #[test]
    fn what_is_left_of_a_time_service_and_a_loaded_tracking_prove_nothing() {
        let (chrony, count) = ("run/chrony/chronyd.pid", "proc/sys/net/netfilter/nf_conntrack_count");
        let root = tree(&[(chrony, "7\n"), (count, "0\n")]);
        let readings = read_machine(root.path(), None);
        assert_eq!((readings.clock, readings.tracking), (Clock::Started, Some(Tracking::Of(0))));
        let root = tree(&[("run/systemd/timesync/clock", "")]);
        assert_eq!(read_machine(root.path(), None).clock, Clock::Waits);
    }

    #[test]
    fn without_a_server_the_limits_are_those_of_whoever_asks() {
        let files: Vec<_> = TUNED.into_iter().filter(|(path, _)| !path.starts_with("proc/77")).collect();
        let readings = read_machine(tree(&files).path(), None);
        assert_eq!((readings.open_files, readings.locked_bytes), (Some(1024), None));
        assert!(readings.limits_of.contains("this shell"));
    }

    #[test]
    fn a_file_system_is_that_of_the_innermost_mount_and_the_last_of_equals() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/vda rw\n\
                      2 1 0:5 / /var rw shared:1 - xfs /dev/vdb rw\n\
                      3 1 0:6 / /var/lib/te\\040kd rw - tmpfs none rw\n\
                      4 2 0:7 / /var rw - btrfs /dev/vdc rw\n";
        let of = |path: &str| file_system(mounts, Path::new(path));
        assert_eq!(of("/srv/tekd").as_deref(), Some("ext4"));
        assert_eq!(of("/variable").as_deref(), Some("ext4"));
        assert_eq!(of("/var/tekd").as_deref(), Some("btrfs"));
        assert_eq!(of("/var/lib/te kd/a").as_deref(), Some("tmpfs"));
        assert_eq!(file_system("", Path::new("/")), None);
    }
}
