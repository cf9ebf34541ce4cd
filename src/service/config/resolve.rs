//! From text to one immutable [`Config`]: types, ranges, what goes together.

use std::ffi::OsString;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::error::{ConfigError, Place};
use super::fields::Field;
use super::values::{ConfigFile, Overrides, Values};
use super::words::{MemoryMode, UdpIdle, UdpSteering};
use super::xdp::{Xdp, XdpMode};
use crate::service::control::{MAX_SOCKET_PATH, check_socket_path};
use crate::service::logging::LogSettings;
use crate::service::sizetext::{format_size, parse_size};
use crate::service::timetext::{format_duration, parse_duration};
use crate::store::journal::{MAX_SEGMENT, MIN_SEGMENT};
use crate::store::{Disk, read_file};

/// Most bytes in a configuration file.
pub const MAX_CONFIG_FILE: u64 = 1 << 20;

/// Most bytes in a node's name.
pub const MAX_NODE_NAME: usize = 63;

/// The control socket's name inside the data directory.
const CONTROL_NAME: &str = "control.sock";

const UDP_WORKERS: RangeInclusive<u64> = 1..=1024;
const NODE_ID: RangeInclusive<u64> = 1..=65_535;
const CONNECTIONS: RangeInclusive<u64> = 1..=1_000_000;
const ANSWER_RATE: RangeInclusive<u64> = 2 << 10..=1 << 30;
const POLL: RangeInclusive<u64> = 1..=3_600;
const SEGMENT: RangeInclusive<u64> = MIN_SEGMENT..=MAX_SEGMENT;

/// A segment is a whole number of these bytes, the block of the journal.
const SEGMENT_BLOCK: u64 = 4096;

const _: () = assert!(*UDP_WORKERS.end() <= u16::MAX as u64);
const _: () = assert!(*NODE_ID.end() == u16::MAX as u64);
const _: () = assert!(*CONNECTIONS.end() <= u32::MAX as u64);
const _: () = assert!(*ANSWER_RATE.start() >= 1232); // one largest datagram a second must be possible
const _: () = assert!(SEGMENT.start().is_multiple_of(SEGMENT_BLOCK));
const _: () = assert!(CONTROL_NAME.len() < MAX_SOCKET_PATH);

/// The configuration of one server, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Directory of everything the server keeps.
    pub data: PathBuf,
    /// Where it listens.
    pub listen: Listen,
    /// The origin of a public node; `None`: this is an origin.
    pub upstream: Option<Upstream>,
    /// Who this node is among its operator's.
    pub node: Node,
    /// What it bears.
    pub limits: Limits,
    /// What it logs.
    pub log: LogSettings,
    /// How it holds sets.
    pub memory: MemoryMode,
    /// Bytes of a journal segment, a multiple of 4096.
    pub journal_segment: u64,
    /// Where an origin keeps its journal a second time.
    pub journal_mirror: Option<PathBuf>,
    /// Where to say that every socket answers.
    pub ready_file: Option<PathBuf>,
}

/// Where the server listens; `None` is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Datagrams.
    pub udp: Option<SocketAddr>,
    /// TLS over TCP.
    pub tls: Option<SocketAddr>,
    /// QUIC.
    pub quic: Option<SocketAddr>,
    /// Threads for datagrams; `None`: one for each core.
    pub udp_workers: Option<u16>,
    /// How datagrams are spread over them.
    pub udp_steering: UdpSteering,
    /// What they do when no datagram waits.
    pub udp_idle: UdpIdle,
    /// Interfaces whose datagrams are answered by AF_XDP; off unless there is UDP.
    pub xdp: Xdp,
    /// How they are.
    pub xdp_mode: XdpMode,
    /// The control socket; short enough for one.
    pub control: PathBuf,
    /// Metrics over HTTP, on loopback.
    pub metrics: Option<SocketAddr>,
}

/// The origin a public node pulls from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `host:port` or `[v6]:port`; the port is not 0.
    pub address: String,
    /// The origin's trust.json.
    pub trust: PathBuf,
    /// How often to ask.
    pub poll: Duration,
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// 1 to 65535.
    pub id: u16,
    /// At most [`MAX_NODE_NAME`] bytes; may be empty.
    pub name: String,
}

/// What a server bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TLS connections open at once.
    pub tls_connections: u32,
    /// QUIC connections open at once.
    pub quic_connections: u32,
    /// Bytes a second to an address that has not proved itself.
    pub answer_rate: u64,
}

/// Reads the file `path`, if one is given, from `disk` and resolves everything.
pub fn load(
    disk: &dyn Disk,
    path: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    let Some(path) = path else {
        return resolve(None, environment, overrides);
    };
    let bytes = read_file(disk, path, MAX_CONFIG_FILE).map_err(|e| {
        ConfigError::new(Place::File(path.to_owned()), format!("cannot be read: {e}"))
            .help("name another file with --config, or none to run on the defaults")
    })?;
    let text = str::from_utf8(&bytes).map_err(|e| {
        let valid = e.valid_up_to();
        let text = String::from_utf8_lossy(&bytes);
        ConfigError::new(Place::in_text(path, &text, valid..valid + 1), "not UTF-8 text")
    })?;
    resolve(Some(ConfigFile { path, text }), environment, overrides)
}

/// Resolves file, environment and flags to one configuration, the later winning.
/// `environment` gives the value of a variable by its name.
///
/// # Errors
/// The first mistake, in the order of the file and then of the table of fields.
pub fn resolve(
    file: Option<ConfigFile<'_>>,
    environment: impl Fn(&str) -> Option<OsString>,
    overrides: &Overrides,
) -> Result<Config, ConfigError> {
    let values = Values::collect(file, environment, overrides)?;
    check_version(&values)?;
    let data = path(&values, Field::Data)?.expect("data has a default");
    let listen = Listen {
        udp: address(&values, Field::ListenUdp)?,
        tls: address(&values, Field::ListenTls)?,
        quic: quic(&values)?,
        udp_workers: number(&values, Field::ListenUdpWorkers, UDP_WORKERS)?.map(narrow),
        udp_steering: word(&values, Field::ListenUdpSteering)?,
        udp_idle: word(&values, Field::ListenUdpIdle)?,
        xdp: xdp(&values)?,
        xdp_mode: word(&values, Field::ListenXdpMode)?,
        control: control(&values, &data)?,
        metrics: loopback(&values, Field::ListenMetrics)?,
    };
    let limits = Limits {
        tls_connections: required(number(&values, Field::LimitsTlsConnections, CONNECTIONS)?),
        quic_connections: required(number(&values, Field::LimitsQuicConnections, CONNECTIONS)?),
        answer_rate: size(&values, Field::LimitsAnswerRate, ANSWER_RATE)?,
    };
    let journal_mirror = mirror(&values, &data)?;
    Ok(Config {
        data,
        listen,
        upstream: upstream(&values)?,
        node: Node { id: required(number(&values, Field::NodeId, NODE_ID)?), name: node_name(&values)? },
        limits,
        log: LogSettings { level: word(&values, Field::LogLevel)?, format: word(&values, Field::LogFormat)? },
        memory: word(&values, Field::MemoryMode)?,
        journal_segment: segment(&values)?,
        journal_mirror,
        ready_file: overrides.ready_file.clone(),
    })
}

/// A number inside a range that its type holds, as asserted beside the ranges.
fn narrow<T: TryFrom<u64>>(number: u64) -> T {
    T::try_from(number).ok().expect("the range fits the type")
}

fn required<T: TryFrom<u64>>(number: Option<u64>) -> T {
    narrow(number.expect("the field has a default"))
}

/// The text of a field; `None` if it was not given and has no default.
fn text<'v>(values: &'v Values<'_>, field: Field) -> Result<Option<&'v str>, ConfigError> {
    let Some(raw) = values.raw(field) else { return Ok(None) };
    match raw.to_str() {
        Some(text) => Ok(Some(text)),
        None => Err(values.error(field, "not UTF-8 text")),
    }
}

/// The text of a field that has a default.
fn default_text<'v>(values: &'v Values<'_>, field: Field) -> Result<&'v str, ConfigError> {
    Ok(text(values, field)?.expect("the field has a default"))
}

fn path(values: &Values<'_>, field: Field) -> Result<Option<PathBuf>, ConfigError> {
    match values.raw(field) {
        Some(raw) if raw.is_empty() => {
            Err(values.error(field, format!("{} is empty: name a path", field.info().title())))
        }
        raw => Ok(raw.map(PathBuf::from)),
    }
}

fn number(values: &Values<'_>, field: Field, range: RangeInclusive<u64>) -> Result<Option<u64>, ConfigError> {
    let Some(text) = text(values, field)? else { return Ok(None) };
    // TOML allows underscores between digits and a sign.
    let digits = text.replace('_', "");
    match digits.strip_prefix('+').unwrap_or(&digits).parse::<u64>() {
        Ok(number) if range.contains(&number) => Ok(Some(number)),
        _ => {
            let (low, high) = (range.start(), range.end());
            Err(values
                .error(field, format!("{} is a whole number from {low} to {high}", field.info().title())))
        }
    }
}

fn check_version(values: &Values<'_>) -> Result<(), ConfigError> {
    if default_text(values, Field::Version)? == "1" {
        return Ok(());
    }
    Err(values
        .error(Field::Version, "this tekd reads configuration files of version 1")
        .help("write version = 1, or run the tekd this file was written for"))
}

/// The address of QUIC, which datagrams of the other kind cannot share.
fn quic(values: &Values<'_>) -> Result<Option<SocketAddr>, ConfigError> {
    let quic = address(values, Field::ListenQuic)?;
    if quic.is_none_or(|quic| quic.port() == 0) || quic != address(values, Field::ListenUdp)? {
        return Ok(quic);
    }
    let (field, message, help) = if values.is_given(Field::ListenQuic) {
        let message = "quic of [listen] is the address of udp, and both are UDP";
        (Field::ListenQuic, message, "give quic a port of its own: 8354 is the usual one")
    } else {
        let message = "udp of [listen] is the address that quic has by default, and both are UDP";
        (Field::ListenUdp, message, "give udp a port of its own, 8353 is the usual one, or set quic as well")
    };
    Err(values.error(field, message).help(help))
}

/// What AF_XDP serves: some of the datagrams, of which there have to be any.
fn xdp(values: &Values<'_>) -> Result<Xdp, ConfigError> {
    let xdp = word(values, Field::ListenXdp)?;
    if xdp == Xdp::Off || address(values, Field::ListenUdp)?.is_some() {
        return Ok(xdp);
    }
    Err(values
        .error(Field::ListenXdp, "xdp of [listen] answers datagrams, and udp is off")
        .help("give udp an address and a port, or set xdp to \"off\""))
}

/// An address to listen on; `off` is `None`.
fn address(values: &Values<'_>, field: Field) -> Result<Option<SocketAddr>, ConfigError> {
    let text = default_text(values, field)?;
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        values
            .error(field, format!("{} is an address with a port, or \"off\"", field.info().title()))
            .help("an address is numbers, not a name: \"192.0.2.1:8353\", \"[2001:db8::1]:8353\", \"[::]:0\"")
    })
}

fn loopback(values: &Values<'_>, field: Field) -> Result<Option<SocketAddr>, ConfigError> {
    match address(values, field)? {
        Some(address) if !address.ip().is_loopback() => Err(values
            .error(field, "metrics are served on loopback only")
            .help("use \"127.0.0.1:8355\" or \"[::1]:8355\", and a proxy with access control to go further")),
        other => Ok(other),
    }
}

fn control(values: &Values<'_>, data: &Path) -> Result<PathBuf, ConfigError> {
    let (field, control) = match path(values, Field::ListenControl)? {
        Some(control) => (Field::ListenControl, control),
        None => (Field::Data, data.join(CONTROL_NAME)),
    };
    if check_socket_path(&control).is_err() {
        let length = control.as_os_str().len();
        return Err(values
            .error(
                field,
                format!(
                    "the path of the control socket has {length} bytes, at most {MAX_SOCKET_PATH} are possible"
                ),
            )
            .help("set control in [listen] to a shorter path"));
    }
    Ok(control)
}

fn upstream(values: &Values<'_>) -> Result<Option<Upstream>, ConfigError> {
    let seconds = duration(values, Field::UpstreamPoll, POLL)?;
    let address = text(values, Field::UpstreamAddress)?;
    let trust = path(values, Field::UpstreamTrust)?;
    match (address, trust) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(values
            .error(Field::UpstreamAddress, "an upstream without its trust")
            .help("name the origin's trust.json too: trust in [upstream], or --trust FILE")),
        (None, Some(_)) => Err(values
            .error(Field::UpstreamTrust, "a trust without its upstream")
            .help("name the origin's address too: address in [upstream], or --upstream ADDR")
            .help("an origin has no upstream: leave both out")),
        (Some(address), Some(trust)) => {
            check_host_port(values, address)?;
            let address = address.to_owned();
            Ok(Some(Upstream { address, trust, poll: Duration::from_secs(seconds) }))
        }
    }
}

/// `host:port` with a name or an IPv4 address, or `[v6]:port`.
fn check_host_port(values: &Values<'_>, text: &str) -> Result<(), ConfigError> {
    let name = |host: &str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    };
    let port_fits = |port: &str| port.parse::<u16>().is_ok_and(|port| port != 0);
    let fits = match text.parse::<SocketAddr>() {
        Ok(address) => address.port() != 0,
        Err(_) => text.rsplit_once(':').is_some_and(|(host, port)| name(host) && port_fits(port)),
    };
    if fits {
        return Ok(());
    }
    Err(values
        .error(Field::UpstreamAddress, "address of [upstream] is a host and a port")
        .help("write \"origin.example.org:8353\", \"192.0.2.1:8353\" or \"[2001:db8::1]:8353\""))
}

fn node_name(values: &Values<'_>) -> Result<String, ConfigError> {
    let name = default_text(values, Field::NodeName)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.len() > MAX_NODE_NAME || !name.bytes().all(allowed) {
        let message =
            format!("a node's name is at most {MAX_NODE_NAME} letters, digits, dots, hyphens, underscores");
        return Err(values.error(Field::NodeName, message));
    }
    Ok(name.to_owned())
}

fn word<T: FromStr<Err: Display>>(values: &Values<'_>, field: Field) -> Result<T, ConfigError> {
    default_text(values, field)?
        .parse()
        .map_err(|e| values.error(field, format!("{}: {e}", field.info().title())))
}

fn duration(values: &Values<'_>, field: Field, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
    let seconds = parse_duration(default_text(values, field)?)
        .map_err(|e| values.error(field, format!("{}: {e}", field.info().title())))?;
    in_range(values, field, seconds, &range, format_duration)
}

fn size(values: &Values<'_>, field: Field, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
    let bytes = parse_size(default_text(values, field)?)
        .map_err(|e| values.error(field, format!("{}: {e}", field.info().title())))?;
    in_range(values, field, bytes, &range, format_size)
}

fn segment(values: &Values<'_>) -> Result<u64, ConfigError> {
    let bytes = size(values, Field::JournalSegment, SEGMENT)?;
    if bytes.is_multiple_of(SEGMENT_BLOCK) {
        return Ok(bytes);
    }
    Err(values.error(Field::JournalSegment, "segment of [journal] is a multiple of 4KiB"))
}

fn mirror(values: &Values<'_>, data: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let mirror = path(values, Field::JournalMirror)?;
    if mirror.as_ref().is_some_and(|mirror| mirror.starts_with(data)) {
        return Err(values
            .error(Field::JournalMirror, "mirror of [journal] is inside of data")
            .help("name a directory on another disk: what is on one disk is lost with it"));
    }
    Ok(mirror)
}

fn in_range(
    values: &Values<'_>,
    field: Field,
    value: u64,
    range: &RangeInclusive<u64>,
    format: fn(u64) -> String,
) -> Result<u64, ConfigError> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (format(*range.start()), format(*range.end()));
    Err(values.error(field, format!("{} is from {low} to {high}", field.info().title())))
}
