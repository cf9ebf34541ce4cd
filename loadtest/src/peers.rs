//! The servers of a comparison: how each is started on the stage, and what it is asked.
//!
//! A new row is a function that gives an [`Entrant`]: a place of the stage, a command, the questions.

use std::ffi::OsStr;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use tekd::service::control::{ControlClient, ControlRequest};
use tekd::service::readyfile::ReadyFile;

use crate::data_cache::KnownData;
use crate::dns::DnsQuestions;
use crate::lookups::{Echoes, Lookups, LookupsError};
use crate::measure::{MeasureError, greet};
use crate::name_servers::{knot_configuration, knot_xdp_configuration, nsd_configuration};
use crate::names::{Names, write_zone};
use crate::scrape::Scrape;
use crate::servers::{Process, Server, ServerError};
use crate::stage::{Place, Stage, StageError};
use crate::traffic::Traffic;

/// A name server that is asked whether it is ready has so long to answer.
const ANSWERS_WITHIN: Duration = Duration::from_millis(100);
/// Where programs of the system are that are not on everybody's path.
const SYSTEM_PROGRAMS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
/// The limit on answers to one prefix, from which all questions of a comparison come: none that is met.
const NO_LIMIT: (&str, &str) = ("TEKD_LIMITS_ANSWER_RATE", "1GiB");

/// What tekd does when no datagram waits: as the echo does.
const IDLE: &str = "TEKD_LISTEN_UDP_IDLE";
/// The metric by which tekd says on how many queues it uses AF_XDP.
const XDP_QUEUES: &str = "tekd_xdp_queues{";

/// With whom tekd is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// A bare echo with the same system calls.
    Echo,
    /// A bare echo on AF_XDP.
    EchoXdp,
    /// NSD with one process.
    Nsd,
    /// Knot DNS with one thread.
    Knot,
    /// Knot DNS on AF_XDP.
    KnotXdp,
}

impl Peer {
    /// Its name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Echo => "echo",
            Peer::EchoXdp => "echo-xdp",
            Peer::Nsd => "nsd",
            Peer::Knot => "knot",
            Peer::KnotXdp => "knot-xdp",
        }
    }
}

/// Why a server cannot be made to take part.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// Its place.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// Its process.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Its files.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// What it is asked.
    #[error(transparent)]
    Lookups(#[from] LookupsError),
    /// It does not answer.
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

/// What a server is asked.
#[derive(Debug, Clone)]
pub(crate) enum Questions {
    Echoes(Echoes),
    Lookups(Lookups),
    Dns(DnsQuestions),
}

impl Questions {
    /// These questions with so many keys in each; `None` if they have none.
    pub(crate) fn with_keys(&self, keys: u8) -> Option<Box<dyn Traffic + Send>> {
        let keys = usize::from(keys);
        match self {
            Questions::Echoes(Echoes(lookups)) => {
                Some(Box::new(Echoes(lookups.clone().with_keys_per_question(keys).ok()?)))
            }
            Questions::Lookups(lookups) => Some(Box::new(lookups.clone().with_keys_per_question(keys).ok()?)),
            Questions::Dns(questions) => {
                (keys == 1).then(|| Box::new(questions.clone()) as Box<dyn Traffic + Send>)
            }
        }
    }
}

/// A server that takes part.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) server: Server,
    pub(crate) questions: Questions,
    /// From where it is asked by AF_XDP: where it answers so, and is asked one length of question.
    pub(crate) asked_from: Option<String>,
}

/// One row: a server, or why there is none.
#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) version: Option<String>,
    pub(crate) player: Result<Player, String>,
}

/// What servers are started with.
pub(crate) struct Casting<'a> {
    pub(crate) stage: &'a mut Stage,
    /// For their files, until the end.
    pub(crate) dir: &'a Path,
    pub(crate) seed: u64,
    /// Names that a name server has.
    pub(crate) names: u64,
    pub(crate) spin: Duration,
    /// This program.
    pub(crate) own: &'a Path,
    pub(crate) tekd: &'a Path,
}

impl Casting<'_> {
    /// The echo, asked what a server with `lookups` is asked.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(crate) fn echo(&mut self, lookups: Lookups) -> Result<Entrant, PeerError> {
        let (place, ready) = (self.stage.place()?, self.dir.join("echo.json"));
        let mut command = Command::new(self.own);
        command.args(["echo", "--listen", &place.address.to_string()]);
        command.args(["--spin", &format!("{}us", self.spin.as_micros())]);
        command.arg("--ready-file").arg(&ready);
        let (server, _) = self.start(&mut command)?.with_ready_file(&ready)?;
        let player = Ok(Player { server, questions: Questions::Echoes(Echoes(lookups)), asked_from: None });
        Ok(Entrant { name: Peer::Echo.name().to_owned(), version: None, player })
    }

    /// The echo on AF_XDP, if there is an interface for it.
    ///
    /// # Errors
    /// [`PeerError`] for all that is not the echo's.
    pub(crate) fn echo_xdp(&mut self, lookups: Lookups) -> Result<Entrant, PeerError> {
        let (place, ready, name) = (self.stage.place()?, self.dir.join("xdp.json"), Peer::EchoXdp.name());
        let Some(interface) = &place.interface else { return Ok(no_interface(name.to_owned())) };
        let mut command = in_own_files(self.own);
        command.args(["echo", "--listen", &place.address.to_string(), "--xdp", interface]);
        command.arg("--ready-file").arg(&ready);
        let started = self.start(&mut command)?.with_ready_file(&ready);
        let player = match started {
            Ok((server, _)) => {
                let questions = Questions::Echoes(Echoes(lookups));
                Ok(Player { server, questions, asked_from: place.other_end.clone() })
            }
            Err(e) => Err(format!("does not start: {e}")),
        };
        Ok(Entrant { name: name.to_owned(), version: None, player })
    }

    /// tekd on the data of a directory, as the row `name`, asked for `lookups`; with `xdp` on AF_XDP.
    ///
    /// # Errors
    /// [`PeerError`].
    pub(crate) fn tekd(
        &mut self,
        name: String,
        data: &KnownData,
        lookups: &Lookups,
        xdp: bool,
    ) -> Result<Entrant, PeerError> {
        let place = self.stage.place()?;
        let [ready, control] = ["json", "sock"].map(|end| self.dir.join(format!("{name}.{end}")));
        let mut command = if xdp { in_own_files(self.tekd) } else { Command::new(self.tekd) };
        command.args(["serve", "--tls", "off", "--quic", "off", "--log-level", "warn"]);
        command.args(["--udp", &place.address.to_string()]).arg("--data").arg(&data.path);
        command.arg("--control").arg(control).arg("--ready-file").arg(&ready).env(NO_LIMIT.0, NO_LIMIT.1);
        if xdp {
            let Some(interface) = &place.interface else { return Ok(no_interface(name)) };
            command.args(["--xdp", interface]);
        }
        command.env(IDLE, if self.spin.is_zero() { "sleep" } else { "spin" });
        let (server, ready) = self.start(&mut command)?.with_ready_file(&ready)?;
        if xdp && !serves_by_xdp(&ready) {
            let player = Err("AF_XDP cannot be used here; what it said is above".to_owned());
            return Ok(Entrant { name, version: None, player });
        }
        let mut lookups = lookups.clone();
        lookups.set_cookie(greet(server.udp, data.trust.service, data.set, self.seed)?);
        let version = version(self.tekd, "--version");
        let asked_from = place.other_end.filter(|_| xdp);
        let player = Ok(Player { server, questions: Questions::Lookups(lookups), asked_from });
        Ok(Entrant { name, version, player })
    }

    /// A name server with the zone of the seed; if it cannot be started, its row says why.
    ///
    /// # Errors
    /// [`PeerError`] for all that is not the name server's.
    pub(crate) fn name_server(&mut self, peer: Peer) -> Result<Entrant, PeerError> {
        let (program, package, tell) = match peer {
            Peer::Nsd => ("nsd", "nsd", "-v"),
            _ => ("knotd", "knot", "-V"),
        };
        let name = peer.name().to_owned();
        let Some(program) = installed(program) else {
            let player = Err(format!("not installed: apt-get install {package}"));
            return Ok(Entrant { name, version: None, player });
        };
        let version = version(&program, tell);
        let player = match self.start_name_server(peer, &program) {
            Err(PeerError::Server(e)) => Err(format!("does not start: {e}")),
            other => Ok(other?),
        };
        Ok(Entrant { name, version, player })
    }

    fn start_name_server(&mut self, peer: Peer, program: &Path) -> Result<Player, PeerError> {
        let io = |what| move |source| PeerError::Io { what, source };
        let place = self.stage.place()?;
        let dir = self.dir.join(peer.name());
        std::fs::create_dir(&dir).map_err(io("directory of a name server"))?;
        let zone = self.dir.join("zone");
        if !zone.exists() {
            write_zone(&zone, self.seed, self.names).map_err(io("zone of the name servers"))?;
        }
        let file = dir.join("configuration");
        let text = configuration(peer, &place, &dir, &zone);
        std::fs::write(&file, text).map_err(io("configuration of a name server"))?;
        let mut command = Command::new(program);
        command.args((peer == Peer::Nsd).then_some("-d")).arg("-c").arg(&file);
        let questions = DnsQuestions::new(Arc::new(Names::of_zone(self.seed, self.names)), self.seed);
        let mut first = questions.clone();
        let process = self.start(&mut command)?;
        let server = process.that_answers(place.address, || answers(place.address, &mut first))?;
        Ok(Player { server, questions: Questions::Dns(questions), asked_from: None })
    }

    fn start(&self, command: &mut Command) -> Result<Process, PeerError> {
        Ok(self.stage.among_servers(|| Process::start(command))??)
    }
}

/// Whether a tekd uses AF_XDP, and not the sockets beside it.
fn serves_by_xdp(ready: &ReadyFile) -> bool {
    let reply = ControlClient::connect(&ready.control)
        .and_then(|mut client| client.call(&ControlRequest::Metrics {}, |_| ()));
    let page = reply.ok().and_then(|reply| reply.result).unwrap_or_default();
    Scrape::read(page["text"].as_str().unwrap_or_default()).sum(XDP_QUEUES) > 0.0
}

/// A row of AF_XDP where all goes over the loopback.
fn no_interface(name: String) -> Entrant {
    let player = Err("AF_XDP needs a network of its own, which only root can make".to_owned());
    Entrant { name, version: None, player }
}

/// A program that sees the interfaces of the network it is started in: `/sys` shows those of whoever mounted
/// it.
fn in_own_files(program: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", r#"mount -t sysfs sysfs /sys && exec "$@""#, "sh"]).arg(program);
    command
}

fn configuration(peer: Peer, place: &Place, dir: &Path, zone: &Path) -> String {
    match (peer, &place.interface) {
        (Peer::Nsd, _) => nsd_configuration(place.address, dir, zone),
        (Peer::KnotXdp, Some(interface)) => {
            knot_xdp_configuration(interface, place.address.port(), dir, zone)
        }
        _ => knot_configuration(place.address, dir, zone),
    }
}

/// Whether a name server answers its first question.
fn answers(server: SocketAddr, questions: &mut DnsQuestions) -> bool {
    let mut buffer = [0; 512];
    let length = questions.ask(0, &mut buffer);
    let exchanged = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.set_read_timeout(Some(ANSWERS_WITHIN))?;
        socket.connect(server)?;
        socket.send(&buffer[..length])?;
        socket.recv(&mut buffer)
    });
    exchanged.is_ok_and(|length| questions.judge(0, &buffer[..length]) == crate::traffic::Judged::Right)
}

/// Where a program is that the system may have.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(SYSTEM_PROGRAMS.map(PathBuf::from));
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// The first line of what a program says of itself.
fn version(program: impl AsRef<OsStr>, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next()?.trim().to_owned();
    Some(line).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_says_its_version_and_what_is_not_there_says_nothing() {
        assert_eq!(installed("no-such-program"), None);
        let shell = installed("sh").expect("every system has one");
        assert_eq!(version("echo", "4.6.1"), Some("4.6.1".to_owned()));
        assert_eq!(version("true", "-v"), None);
        assert_eq!(version(shell.join("not-there"), "-v"), None);
    }

    #[test]
    fn names_on_the_command_line_are_those_of_the_rows() {
        for peer in Peer::value_variants() {
            let value = peer.to_possible_value().expect("none is hidden");
            assert_eq!(value.get_name(), peer.name());
        }
    }
}
