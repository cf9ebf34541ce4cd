//! The table of all configuration fields, and the texts written from it.

use std::fmt::Write;

/// A field, by its place in [`FIELDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each is described by its line of the table
pub enum Field {
    Version,
    Data,
    ListenUdp,
    ListenTls,
    ListenQuic,
    ListenUdpWorkers,
    ListenUdpSteering,
    ListenUdpIdle,
    ListenXdp,
    ListenXdpMode,
    ListenControl,
    ListenMetrics,
    UpstreamAddress,
    UpstreamTrust,
    UpstreamPoll,
    NodeId,
    NodeName,
    LimitsTlsConnections,
    LimitsQuicConnections,
    LimitsAnswerRate,
    LogLevel,
    LogFormat,
    MemoryMode,
    JournalSegment,
    JournalMirror,
}

/// What is known of a field before it has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// Which one.
    pub field: Field,
    /// Its section in the file; empty at the top.
    pub section: &'static str,
    /// Its name in the file.
    pub name: &'static str,
    /// Its environment variable, if it has one.
    pub env: Option<&'static str>,
    /// Its flag, if it has one.
    pub flag: Option<&'static str>,
    /// Whether the file has it as a whole number; otherwise it is a string.
    pub number: bool,
    /// The default as text, where there is one that does not depend on the machine.
    pub default: Option<&'static str>,
    /// An example for the template where there is no default.
    pub example: &'static str,
    /// What it is, with the values it takes.
    pub help: &'static str,
}

const fn text(field: Field, section: &'static str, name: &'static str, env: &'static str) -> FieldInfo {
    FieldInfo {
        field,
        section,
        name,
        env: Some(env),
        flag: None,
        number: false,
        default: None,
        example: "",
        help: "",
    }
}

impl FieldInfo {
    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn number(mut self) -> Self {
        self.number = true;
        self
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// `udp of [listen]`, or `data` at the top.
    pub fn title(&self) -> String {
        if self.section.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} of [{}]", self.name, self.section)
        }
    }

    /// The kind of value the file has.
    pub(super) fn kind(&self) -> &'static str {
        if self.number { "a whole number" } else { "a string" }
    }
}

/// Every field, in the order of the template.
pub const FIELDS: [FieldInfo; 25] = [
    FieldInfo { env: None, ..text(Field::Version, "", "version", "") }
        .number()
        .default("1")
        .help("Version of this file's format: 1."),
    text(Field::Data, "", "data", "TEKD_DATA")
        .flag("--data")
        .default("/var/lib/tekd")
        .help("Directory of everything the server keeps; made at the first start. A relative path\nis seen from the directory the server is started in, here and below."),
    text(Field::ListenUdp, "listen", "udp", "TEKD_LISTEN_UDP")
        .flag("--udp")
        .default("[::]:8353")
        .help("Datagrams: an address and a port (0: any free one), or \"off\"."),
    text(Field::ListenTls, "listen", "tls", "TEKD_LISTEN_TLS")
        .flag("--tls")
        .default("[::]:8353")
        .help("TLS over TCP: an address and a port (0: any free one), or \"off\"."),
    text(Field::ListenQuic, "listen", "quic", "TEKD_LISTEN_QUIC")
        .flag("--quic")
        .default("[::]:8354")
        .help("QUIC, which is UDP too: an address and a port of its own (0: any free one), or \"off\"."),
    text(Field::ListenUdpWorkers, "listen", "udp-workers", "TEKD_LISTEN_UDP_WORKERS")
        .number()
        .example("4")
        .help("Threads that answer datagrams, 1 to 1024. Without it: one for each core."),
    text(Field::ListenUdpSteering, "listen", "udp-steering", "TEKD_LISTEN_UDP_STEERING")
        .default("auto")
        .help("Which worker gets a datagram: \"cpu\" (the one on the core that received it), \"hash\" (by\naddresses and ports) or \"auto\" (cpu where the network card has a receive queue for each)."),
    text(Field::ListenUdpIdle, "listen", "udp-idle", "TEKD_LISTEN_UDP_IDLE")
        .default("spin")
        .help("What a worker does when no datagram waits: \"spin\" (look again for 20 to 50 microseconds, then\nsleep) or \"sleep\" (at once: for machines that have other work)."),
    text(Field::ListenXdp, "listen", "xdp", "TEKD_LISTEN_XDP")
        .flag("--xdp")
        .default("off")
        .help("Interfaces whose datagrams are answered by AF_XDP, past the kernel's network stack: names such as\n\"eth0,eth1\", \"auto\" for every network card that can, or \"off\". They then pass no packet filter of the\nkernel. Where it cannot be, it is said why, and sockets answer as they do without it."),
    text(Field::ListenXdpMode, "listen", "xdp-mode", "TEKD_LISTEN_XDP_MODE")
        .default("copy")
        .help("How AF_XDP gets its frames: \"copy\", or \"zero-copy\" from the card itself where its driver can."),
    text(Field::ListenControl, "listen", "control", "TEKD_LISTEN_CONTROL")
        .flag("--control")
        .example("/run/tekd/control.sock")
        .help("Path of the control socket, at most 107 bytes. Without it: control.sock in data."),
    text(Field::ListenMetrics, "listen", "metrics", "TEKD_LISTEN_METRICS")
        .flag("--metrics")
        .default("off")
        .help("Metrics over HTTP: an address of this machine alone, such as \"127.0.0.1:8355\", or \"off\"."),
    text(Field::UpstreamAddress, "upstream", "address", "TEKD_UPSTREAM_ADDRESS")
        .flag("--upstream")
        .example("origin.example.org:8353")
        .help("Host and TLS port of the origin this server is a public node of. Together with trust;\nwithout both the server is an origin itself."),
    text(Field::UpstreamTrust, "upstream", "trust", "TEKD_UPSTREAM_TRUST")
        .flag("--trust")
        .example("/etc/tekd/trust.json")
        .help("The origin's trust.json."),
    text(Field::UpstreamPoll, "upstream", "poll", "TEKD_UPSTREAM_POLL")
        .flag("--poll")
        .default("60s")
        .help("How often the origin is asked for a newer version, 1s to 1h."),
    text(Field::NodeId, "node", "id", "TEKD_NODE_ID")
        .number()
        .default("1")
        .help("Number of this node among its operator's, 1 to 65535."),
    text(Field::NodeName, "node", "name", "TEKD_NODE_NAME")
        .default("")
        .help("Name of this node in metrics: at most 63 letters, digits, dots, hyphens, underscores."),
    text(Field::LimitsTlsConnections, "limits", "tls-connections", "TEKD_LIMITS_TLS_CONNECTIONS")
        .number()
        .default("4096")
        .help("TLS connections open at once, 1 to 1000000; one more is closed at once."),
    text(Field::LimitsQuicConnections, "limits", "quic-connections", "TEKD_LIMITS_QUIC_CONNECTIONS")
        .number()
        .default("4096")
        .help("QUIC connections open at once, 1 to 1000000; one more is refused at once."),
    text(Field::LimitsAnswerRate, "limits", "answer-rate", "TEKD_LIMITS_ANSWER_RATE")
        .default("64KiB")
        .help("Bytes a second sent to an address that has not proved itself, 2KiB to 1GiB."),
    text(Field::LogLevel, "log", "level", "TEKD_LOG_LEVEL")
        .flag("--log-level")
        .default("info")
        .help("How much is logged to stderr: \"error\", \"warn\", \"info\", \"debug\" or \"trace\". No line has an\naddress or a key, at any level."),
    text(Field::LogFormat, "log", "format", "TEKD_LOG_FORMAT")
        .flag("--log-format")
        .default("text")
        .help("Form of a log line: \"text\" or \"json\"."),
    text(Field::MemoryMode, "memory", "mode", "TEKD_MEMORY_MODE")
        .default("copy")
        .help("How sets are held: \"copy\" (read, verified, in memory of the process) or \"map\" (the file\nitself, for sets larger than a third of the memory)."),
    text(Field::JournalSegment, "journal", "segment", "TEKD_JOURNAL_SEGMENT")
        .default("16MiB")
        .help("Size up to which journal files grow, 1MiB to 64MiB, a multiple of 4KiB."),
    text(Field::JournalMirror, "journal", "mirror", "TEKD_JOURNAL_MIRROR")
        .example("/mnt/second/tekd-journal")
        .help("Directory on another disk in which an origin keeps its journal a second time: nothing is confirmed\nbefore it is in both. It is not made: name one below the mount point, which is not there while its\ndisk is not."),
];

impl Field {
    /// Its line of the table.
    pub fn info(self) -> &'static FieldInfo {
        &FIELDS[self as usize]
    }
}

/// Sections of the file in order; the top is the empty name.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    let starts = |at: &usize| *at == 0 || FIELDS[*at - 1].section != FIELDS[*at].section;
    (0..FIELDS.len()).filter(starts).map(|at| FIELDS[at].section)
}

/// A configuration file with every field at its default and a comment on each; fields
/// whose default depends on the machine stand in a comment with an example.
pub fn template() -> String {
    let mut text = String::from(
        "# Configuration of tekd. Every field may be left out; what stands here are the defaults.\n\
         # An environment variable wins over this file, a flag over both.\n",
    );
    for section in sections() {
        if !section.is_empty() {
            text.push_str(&format!("\n[{section}]\n"));
        }
        for info in FIELDS.iter().filter(|info| info.section == section) {
            text.push('\n');
            for line in info.help.lines() {
                text.push_str(&format!("# {line}\n"));
            }
            let others: Vec<&str> = info.env.into_iter().chain(info.flag).collect();
            if !others.is_empty() {
                text.push_str(&format!("# ({})\n", others.join(", ")));
            }
            let hidden = if info.default.is_none() { "#" } else { "" };
            let value = info.default.unwrap_or(info.example);
            let quote = if info.number { "" } else { "\"" };
            text.push_str(&format!("{hidden}{} = {quote}{value}{quote}\n", info.name));
        }
    }
    text
}

/// One line for each environment variable, for `--help`: the variable and what it sets.
pub fn environment_help() -> String {
    let width = FIELDS.iter().filter_map(|info| info.env).map(str::len).max().unwrap_or(0);
    let mut text = String::new();
    for (info, env) in FIELDS.iter().filter_map(|info| Some((info, info.env?))) {
        writeln!(text, "{env:width$}  {}", info.title()).expect("writing to a String does not fail");
    }
    text
}
