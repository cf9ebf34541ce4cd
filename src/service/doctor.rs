//! What tekd wants of the machine under it, and which of that holds: a judge of readings.
//!
//! Nothing is read here and nothing changed: `node::machine` reads, the files of `tuning/` change. Each
//! [`Check`] says why it matters and which of these files brings it about. What could not be read is
//! [`State::Unknown`], which is no advice.

use std::collections::BTreeMap;

use super::sizetext::format_size;

/// Numbers under `/proc/sys` by which servers of datagrams stand or fall: name, least, why.
pub const SYSCTLS: [(&str, u64, &str); 4] = [
    (
        "net.core.rmem_max",
        4 << 20,
        "a socket keeps what arrives while its worker is busy; tekd asks for 4 MiB",
    ),
    ("net.core.wmem_max", 1 << 20, "answers of a whole batch wait for the network card; tekd asks for 1 MiB"),
    (
        "net.core.netdev_max_backlog",
        40_000,
        "packets wait here between card and socket; what is over is lost",
    ),
    ("net.core.netdev_budget", 600, "packets that the kernel takes from a card before it looks elsewhere"),
];
/// Polling by the kernel, which is to be off.
pub const BUSY_POLLS: [&str; 2] = ["net.core.busy_poll", "net.core.busy_read"];
/// Oldest kernel with all that is used: from here on programs and maps of AF_XDP are no locked memory.
const KERNEL: (u32, u32) = (5, 11);
/// Files that a server with many connections opens.
const OPEN_FILES: u64 = 65_536;
/// Memory that AF_XDP locks for the frames of each queue.
pub const LOCKED_BYTES_PER_QUEUE: u64 = 8 << 20;
/// Free space below which a disk is soon full.
const FREE_BYTES: u64 = 4 << 30;
/// File systems that keep what they said was synced, on a disk of this machine.
const DURABLE: [&str; 6] = ["ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs"];

/// What was found on a machine; `None` and empty where it could not be read.
#[derive(Debug, Clone, Default)]
pub struct Readings {
    /// Version of the kernel, as `uname -r` tells it.
    pub kernel: Option<String>,
    /// Numbers under `/proc/sys`, by name.
    pub sysctls: BTreeMap<String, u64>,
    /// Processors.
    pub cores: usize,
    /// Governors of their frequency.
    pub governors: Vec<String>,
    /// Line of modes of transparent huge pages, the present one in brackets.
    pub huge_pages: Option<String>,
    /// Network cards.
    pub cards: Vec<Card>,
    /// Whether the kernel tracks connections.
    pub tracking: Option<Tracking>,
    /// Whether the kernel has AF_XDP.
    pub has_xdp: Option<bool>,
    /// Whose limits these are: those of a running server, or of whoever asks.
    pub limits_of: &'static str,
    /// Limit of open files.
    pub open_files: Option<u64>,
    /// Limit of locked memory in bytes.
    pub locked_bytes: Option<u64>,
    /// What time services leave behind.
    pub clock: Clock,
    /// The data directory, where it exists.
    pub data: Option<DataDisk>,
}

/// Tracking of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// The kernel has none loaded.
    Absent,
    /// It is loaded, and so many connections are tracked now: none may be for want of traffic.
    Of(u64),
}

/// What time services leave behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// Nothing.
    #[default]
    Unseen,
    /// A running one says that it has set the clock.
    Set,
    /// A running one has not set it yet.
    Waits,
    /// One was started; whether it runs still and what it does is not told.
    Started,
}

/// A network card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Name of the interface.
    pub name: String,
    /// Queues it receives in.
    pub queues: usize,
    /// For each of its interrupts the processors that may serve it, as a list like `0-3`.
    pub interrupts: Vec<String>,
}

/// The disk under the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDisk {
    /// Type of the file system, as the kernel names it.
    pub file_system: Option<String>,
    /// Bytes that are free.
    pub free_bytes: Option<u64>,
}

/// Whether something wanted is the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Ok,
    /// It is not.
    Advised,
    /// It cannot be told here.
    Unknown,
}

impl State {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Advised => "advised",
            State::Unknown => "unknown",
        }
    }

    fn of(holds: Option<bool>) -> Self {
        holds.map_or(State::Unknown, |holds| if holds { State::Ok } else { State::Advised })
    }
}

/// One thing that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub name: String,
    /// Whether it is the case.
    pub state: State,
    /// What is the case.
    pub found: String,
    /// What is wanted.
    pub wanted: String,
    /// Why it matters.
    pub why: &'static str,
    /// What brings it about.
    pub todo: &'static str,
}

/// All checks, in the order in which they are told.
#[must_use]
pub fn checks(readings: &Readings) -> Vec<Check> {
    let mut checks = vec![kernel(readings)];
    checks.extend(SYSCTLS.map(|(name, least, why)| sysctl(readings, name, least, why)));
    checks.extend(BUSY_POLLS.map(|name| busy_poll(readings, name)));
    checks.push(tracking(readings));
    checks.push(governor(readings));
    checks.push(huge_pages(readings));
    for card in &readings.cards {
        checks.push(queues(card, readings.cores));
        checks.push(interrupts(card, readings.cores));
    }
    checks.push(xdp(readings));
    checks.push(open_files(readings));
    checks.push(locked(readings, readings.cards.iter().map(|card| card.queues).max().unwrap_or(0).max(1)));
    checks.push(clock(readings));
    if let Some(disk) = &readings.data {
        checks.push(file_system(disk));
        checks.push(free(disk));
    }
    checks
}

fn said<T: ToString>(found: Option<T>) -> String {
    found.map_or_else(|| "not to be read".to_owned(), |found| found.to_string())
}

fn kernel(readings: &Readings) -> Check {
    let version = readings.kernel.as_deref().and_then(|text| {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().ok());
        Some((numbers.next()??, numbers.next()??))
    });
    Check {
        name: "kernel".to_owned(),
        state: State::of(version.map(|version: (u32, u32)| version >= KERNEL)),
        found: said(readings.kernel.as_ref()),
        wanted: format!("{}.{} or later", KERNEL.0, KERNEL.1),
        why: "AF_XDP: its program leaves with its process and is no locked memory; sockets do with less",
        todo: "run a later kernel of your distribution, if you want AF_XDP",
    }
}

fn sysctl(readings: &Readings, name: &str, least: u64, why: &'static str) -> Check {
    let found = readings.sysctls.get(name);
    Check {
        name: name.to_owned(),
        state: State::of(found.map(|found| *found >= least)),
        found: said(found),
        wanted: format!("at least {least}"),
        why,
        todo: "tuning/sysctl",
    }
}

fn busy_poll(readings: &Readings, name: &str) -> Check {
    let found = readings.sysctls.get(name);
    Check {
        name: name.to_owned(),
        state: State::of(found.map(|found| *found == 0)),
        found: said(found),
        wanted: "0".to_owned(),
        why: "workers spin by themselves before they block; the kernel need not do so too",
        todo: "tuning/sysctl",
    }
}

fn tracking(readings: &Readings) -> Check {
    Check {
        name: "connection tracking".to_owned(),
        // The kernel does not tell whose ports are exempt.
        state: State::of((readings.tracking == Some(Tracking::Absent)).then_some(true)),
        found: match readings.tracking {
            None => said(None::<u64>),
            Some(Tracking::Absent) => "off".to_owned(),
            Some(Tracking::Of(connections)) => {
                format!(
                    "loaded, now of {connections} connections; whether tekd's ports are exempt is not told"
                )
            }
        },
        wanted: "off, or tekd's ports exempt".to_owned(),
        why: "every datagram would take a place in a table that a flood fills",
        todo: "tuning/nft/60-tekd-notrack.nft",
    }
}

fn governor(readings: &Readings) -> Check {
    let slow = readings.governors.iter().find(|governor| *governor != "performance");
    let found =
        if readings.governors.is_empty() { None } else { Some(slow.map_or("performance", String::as_str)) };
    Check {
        name: "processor governor".to_owned(),
        state: State::of(found.map(|_| slow.is_none())),
        found: found.map_or_else(|| "left to the machine's host or firmware".to_owned(), str::to_owned),
        wanted: "performance".to_owned(),
        why: "a processor that slows down between datagrams answers the next one late",
        todo: "tuning/cpu",
    }
}

fn huge_pages(readings: &Readings) -> Check {
    let mode = readings.huge_pages.as_deref().and_then(|line| line.split(['[', ']']).nth(1));
    Check {
        name: "transparent huge pages".to_owned(),
        state: State::of(mode.map(|mode| mode != "never")),
        found: said(mode),
        wanted: "madvise or always".to_owned(),
        why: "a search in a large set waits less often to be told where a page is",
        todo: "tuning/cpu",
    }
}

fn queues(card: &Card, cores: usize) -> Check {
    Check {
        name: format!("{} queues", card.name),
        state: State::of((card.queues > 0 && cores > 0).then_some(card.queues >= cores)),
        found: card.queues.to_string(),
        wanted: format!("{cores}, one for each core"),
        why: "what one queue receives is worked on by one core",
        todo: "tuning/nic; a virtual machine gets its queues from its host",
    }
}

fn interrupts(card: &Card, cores: usize) -> Check {
    let mut lists: Vec<&str> = card.interrupts.iter().map(String::as_str).collect();
    lists.sort_unstable();
    lists.dedup();
    let spread = lists.len() >= card.queues.min(cores);
    let pinned = lists.iter().all(|list| list.parse::<usize>().is_ok());
    let found = if lists.is_empty() { "none seen".to_owned() } else { format!("on {}", lists.join(" and ")) };
    Check {
        name: format!("{} interrupts", card.name),
        state: State::of((!lists.is_empty()).then_some(pinned && spread)),
        found,
        wanted: "each on one core, no two queues on the same".to_owned(),
        why: "a datagram is answered by the core that received it: its bytes are in that core's cache",
        todo: "tuning/irq",
    }
}

fn xdp(readings: &Readings) -> Check {
    Check {
        name: "AF_XDP".to_owned(),
        state: State::of(readings.has_xdp),
        found: said(readings.has_xdp.map(|has| if has { "there" } else { "not there" })),
        wanted: "there".to_owned(),
        why: "datagrams go around the kernel's network stack; without it tekd uses sockets",
        todo: "a kernel with CONFIG_XDP_SOCKETS, if you want it",
    }
}

fn open_files(readings: &Readings) -> Check {
    Check {
        name: "open files".to_owned(),
        state: State::of(readings.open_files.map(|found| found >= OPEN_FILES)),
        found: format!("{} ({})", said(readings.open_files), readings.limits_of),
        wanted: format!("at least {OPEN_FILES}"),
        why: "every connection over TLS is an open file",
        todo: "LimitNOFILE in tuning/systemd/tekd.service",
    }
}

/// For the card with the most queues, as which one `xdp` names is not known here.
fn locked(readings: &Readings, queues: usize) -> Check {
    let least = LOCKED_BYTES_PER_QUEUE.saturating_mul(queues as u64);
    Check {
        name: "locked memory".to_owned(),
        state: State::of(readings.locked_bytes.map(|found| found >= least)),
        found: format!("{} ({})", said(readings.locked_bytes.map(limit_text)), readings.limits_of),
        wanted: format!("at least {}: {} a queue", format_size(least), format_size(LOCKED_BYTES_PER_QUEUE)),
        why: "AF_XDP locks the memory of its frames",
        todo: "LimitMEMLOCK in tuning/systemd/tekd.service",
    }
}

fn limit_text(bytes: u64) -> String {
    if bytes == u64::MAX { "unlimited".to_owned() } else { format_size(bytes) }
}

fn clock(readings: &Readings) -> Check {
    Check {
        name: "clock".to_owned(),
        state: State::of(match readings.clock {
            Clock::Set => Some(true),
            Clock::Waits => Some(false),
            Clock::Started | Clock::Unseen => None,
        }),
        found: match readings.clock {
            Clock::Set => "a time service keeps it",
            Clock::Waits => "a time service runs and has not set it yet",
            Clock::Started => {
                "a time service was started; ask it (chronyc tracking, ntpq -p, ntpctl -s status)"
            }
            Clock::Unseen => "no time service seen",
        }
        .to_owned(),
        wanted: "kept by a time service".to_owned(),
        why: "releases are dated; one that jumps by an hour holds them",
        todo: "install chrony or systemd-timesyncd, unless the host keeps the clock",
    }
}

fn file_system(disk: &DataDisk) -> Check {
    let durable = disk.file_system.as_deref().map(|name| DURABLE.contains(&name));
    Check {
        name: "data file system".to_owned(),
        state: State::of(durable),
        found: said(disk.file_system.as_ref()),
        wanted: format!("one of {}", DURABLE.join(", ")),
        why: "a receipt promises that its report is on stable storage",
        todo: "put the data directory on a disk of this machine",
    }
}

fn free(disk: &DataDisk) -> Check {
    Check {
        name: "data free space".to_owned(),
        state: State::of(disk.free_bytes.map(|free| free >= FREE_BYTES)),
        found: said(disk.free_bytes.map(format_size)),
        wanted: format!("at least {}", format_size(FREE_BYTES)),
        why: "without room for the journal no report is confirmed",
        todo: "free some, or use a larger disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which everything holds.
    fn tuned() -> Readings {
        let mut sysctls: BTreeMap<String, u64> =
            SYSCTLS.iter().map(|(name, least, _)| ((*name).to_owned(), *least)).collect();
        sysctls.extend(BUSY_POLLS.map(|name| (name.to_owned(), 0)));
        let interrupts = ["0", "1"].map(str::to_owned).to_vec();
        Readings {
            kernel: Some("6.1.0-18-amd64".to_owned()),
            sysctls,
            cores: 2,
            governors: vec!["performance".to_owned(); 2],
            huge_pages: Some("always [madvise] never".to_owned()),
            cards: vec![Card { name: "eth0".to_owned(), queues: 2, interrupts }],
            tracking: Some(Tracking::Absent),
            has_xdp: Some(true),
            limits_of: "of tekd",
            open_files: Some(OPEN_FILES),
            locked_bytes: Some(u64::MAX),
            clock: Clock::Set,
            data: Some(DataDisk { file_system: Some("ext4".to_owned()), free_bytes: Some(FREE_BYTES) }),
        }
    }

    /// Takes away one thing that is wanted.
    type Spoil = fn(&mut Readings);

    /// Names of what does not hold.
    fn advised(readings: &Readings) -> Vec<String> {
        let checks = checks(readings);
        checks.into_iter().filter(|check| check.state == State::Advised).map(|check| check.name).collect()
    }

    #[test]
    fn on_a_tuned_machine_everything_holds() {
        assert!(checks(&tuned()).iter().all(|check| check.state == State::Ok), "{:?}", checks(&tuned()));
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_advised() {
        let checks = checks(&Readings::default());
        assert!(checks.iter().all(|check| check.state == State::Unknown), "{checks:?}");
        assert!(!checks.is_empty());
    }

    #[test]
    fn each_number_of_the_kernel_is_judged_by_itself() {
        for (name, least, _) in SYSCTLS {
            let mut readings = tuned();
            readings.sysctls.insert(name.to_owned(), least - 1);
            assert_eq!(advised(&readings), [name]);
        }
        for name in BUSY_POLLS {
            let mut readings = tuned();
            readings.sysctls.insert(name.to_owned(), 50);
            assert_eq!(advised(&readings), [name]);
        }
    }

    #[test]
    fn every_other_thing_that_does_not_hold_is_advised_alone() {
        let spoilt: [(&str, Spoil); 12] = [
            ("kernel", |r| r.kernel = Some("5.10.17".to_owned())),
            ("processor governor", |r| r.governors[1] = "powersave".to_owned()),
            ("transparent huge pages", |r| r.huge_pages = Some("always madvise [never]".to_owned())),
            ("eth0 queues", |r| r.cores = 3),
            ("eth0 interrupts", |r| r.cards[0].interrupts[1] = "0".to_owned()),
            ("eth0 interrupts", |r| r.cards[0].interrupts[1] = "0-1".to_owned()),
            ("AF_XDP", |r| r.has_xdp = Some(false)),
            ("open files", |r| r.open_files = Some(1024)),
            ("locked memory", |r| r.locked_bytes = Some((16 << 20) - 1)),
            ("clock", |r| r.clock = Clock::Waits),
            ("data file system", |r| r.data.as_mut().unwrap().file_system = Some("tmpfs".to_owned())),
            ("data free space", |r| r.data.as_mut().unwrap().free_bytes = Some(FREE_BYTES - 1)),
        ];
        for (name, spoil) in spoilt {
            let mut readings = tuned();
            spoil(&mut readings);
            assert_eq!(advised(&readings), [name]);
        }
    }

    /// A check of a machine by its name.
    fn check(readings: &Readings, name: &str) -> Check {
        checks(readings).into_iter().find(|check| check.name == name).unwrap()
    }

    #[test]
    fn tracked_connections_may_be_of_others_and_none_may_be_for_want_of_traffic() {
        for connections in [0, 9] {
            let readings = Readings { tracking: Some(Tracking::Of(connections)), ..tuned() };
            let tracking = check(&readings, "connection tracking");
            assert_eq!(tracking.state, State::Unknown);
            assert!(tracking.found.contains(&format!("of {connections} connections")), "{}", tracking.found);
        }
    }

    #[test]
    fn a_time_service_that_was_started_need_not_keep_the_clock() {
        let clock = check(&Readings { clock: Clock::Started, ..tuned() }, "clock");
        assert_eq!(clock.state, State::Unknown);
        assert!(clock.found.contains("chronyc tracking"), "{}", clock.found);
    }

    #[test]
    fn locked_memory_is_wanted_for_each_queue_of_the_card_with_the_most() {
        let mut readings = Readings { locked_bytes: Some(64 << 20), ..tuned() };
        for (queues, state) in [(8, State::Ok), (9, State::Advised)] {
            readings.cards[0].queues = queues;
            assert_eq!(check(&readings, "locked memory").state, state, "{queues} queues");
        }
    }

    #[test]
    fn without_a_data_directory_its_disk_is_not_judged() {
        let checks = checks(&Readings { data: None, ..tuned() });
        assert!(checks.iter().all(|check| !check.name.starts_with("data ")));
    }
}
