//! One `tekd serve` process: started, awaited by its ready file, told to stop or killed.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tekd::release::Trust;
use tekd::service::control::{ControlClient, ControlReply, ControlRequest, SetSettings};
use tekd::service::readyfile::ReadyFile;

/// How long anything may take on a busy machine before it counts as never.
pub(crate) const NEVER: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something.
///
/// # Panics
/// With `what` after [`NEVER`].
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < NEVER, "{what}: not in {} s", NEVER.as_secs());
        std::thread::sleep(PAUSE);
    }
}

/// Where one server lives: data directory, ready file and log, side by side.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    options: Vec<String>,
    /// The words before the command: a program that runs it.
    under: Vec<String>,
}

impl Place {
    /// A place called `name` in `dir`, for an origin on ephemeral ports of the loopback.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let place = Place { data: dir.join(name), options: Vec::new(), under: Vec::new() };
        let any = "127.0.0.1:0";
        place.with("--udp", any).with("--tls", any).with("--quic", any).with("--metrics", any)
    }

    /// With an option, which replaces the same one before.
    pub(crate) fn with(mut self, option: &str, value: impl AsRef<Path>) -> Self {
        if let Some(at) = self.options.iter().position(|o| o == option) {
            self.options.drain(at..at + 2);
        }
        self.options.push(option.to_owned());
        self.options.push(value.as_ref().to_str().expect("paths of tests are text").to_owned());
        self
    }

    /// Run by another program.
    pub(crate) fn under<S: AsRef<str>>(mut self, words: &[S]) -> Self {
        self.under = words.iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    pub(crate) fn beside(&self, what: &str) -> PathBuf {
        self.data.with_extension(what)
    }

    /// The command that serves here, its stderr appended to the log.
    pub(crate) fn command(&self) -> Command {
        let log = File::options().create(true).append(true).open(self.beside("log"));
        let mut words = self.under.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_tekd")]);
        let mut command = Command::new(words.next().expect("one word at least"));
        command
            .args(words)
            .arg("serve")
            .arg("--data")
            .arg(&self.data)
            .arg("--ready-file")
            .arg(self.beside("ready"));
        command.args(&self.options).env("TEKD_JOURNAL_SEGMENT", "1MiB").env("TEKD_LISTEN_UDP_WORKERS", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log beside the directory"));
        command
    }

    /// Everything the servers here wrote to stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.beside("log")).unwrap_or_default()
    }

    /// Starts a server and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(&self) -> Server {
        self.try_start().unwrap_or_else(|status| panic!("tekd ended with {status}: {}", self.log()))
    }

    /// Starts a server and waits until it is ready, or how it ended.
    #[track_caller]
    pub(crate) fn try_start(&self) -> Result<Server, ExitStatus> {
        let _ = std::fs::remove_file(self.beside("ready"));
        let mut child = self.command().spawn().expect("tekd can be run");
        let ready: ReadyFile = until("the ready file", || {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return Some(Err(status));
            }
            let text = std::fs::read(self.beside("ready")).ok()?;
            Some(Ok(serde_json::from_slice(&text).expect("a ready file is written whole")))
        })?;
        Ok(Server { place: self.clone(), child, ready })
    }
}

/// A running server. Dropping it kills it.
pub(crate) struct Server {
    pub(crate) place: Place,
    pub(crate) ready: ReadyFile,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.end();
        if std::thread::panicking() {
            eprintln!("--- stderr of {}:\n{}", self.place.data.display(), self.place.log());
        }
    }
}

impl Server {
    pub(crate) fn udp(&self) -> SocketAddr {
        self.ready.udp.expect("UDP is on")
    }

    pub(crate) fn tls(&self) -> SocketAddr {
        self.ready.tls.expect("TLS is on")
    }

    pub(crate) fn quic(&self) -> SocketAddr {
        self.ready.quic.expect("QUIC is on")
    }

    /// What its trust file says.
    pub(crate) fn trust(&self) -> Trust {
        let text = std::fs::read_to_string(&self.ready.trust).expect("a trust file");
        Trust::parse_json(&text).expect("trust")
    }

    /// Ends it at once.
    pub(crate) fn kill(mut self) {
        self.end().expect("a child can be killed");
    }

    fn end(&mut self) -> std::io::Result<ExitStatus> {
        // Who runs it may let it go on.
        if self.ready.pid != self.child.id() && self.child.try_wait()?.is_none() {
            self.send("KILL");
        }
        self.child.kill()?;
        self.child.wait()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        self.send("TERM");
    }

    /// Sends a signal to the process that the ready file names.
    pub(crate) fn send(&self, signal: &str) {
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", self.ready.pid)).status();
        assert!(kill.expect("a shell").success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the end of the process", || self.child.try_wait().expect("a child can be waited for"))
    }

    /// Stops it by SIGTERM, which has to go well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.terminate();
        assert_eq!(self.ended().code(), Some(0), "{}", self.place.log());
    }

    pub(crate) fn control(&self) -> ControlClient {
        ControlClient::connect(&self.ready.control).expect("the control socket listens")
    }

    /// Gives a command.
    pub(crate) fn command(&self, request: &ControlRequest) -> ControlReply {
        self.control().call(request, |_| ()).expect("a reply")
    }

    /// Gives a command that has to be done.
    #[track_caller]
    pub(crate) fn done(&self, request: &ControlRequest) -> Value {
        let reply = self.command(request);
        assert!(reply.ok, "{reply:?}");
        reply.result.unwrap_or_default()
    }

    /// Lets set 1 have no decoys, and no releases but those asked for (and one at midnight).
    #[track_caller]
    pub(crate) fn without_decoys(self) -> Self {
        let settings =
            SetSettings { decoys: Some(false), interval_s: Some(86_400), ..SetSettings::default() };
        self.done(&ControlRequest::SetConfigure { set: 1, settings });
        self
    }

    /// Makes a release of set 1 and returns its serial and root.
    #[track_caller]
    pub(crate) fn release(&self) -> (u64, String) {
        serial_and_root(&self.done(&ControlRequest::ReleaseNow { set: 1, allow_small: true }))
    }

    /// The metrics page.
    pub(crate) fn metrics(&self) -> String {
        self.done(&ControlRequest::Metrics {})["text"].as_str().expect("text").to_owned()
    }

    /// The value of one sample on the metrics page, named with its labels.
    #[track_caller]
    pub(crate) fn metric(&self, sample: &str) -> f64 {
        let page = self.metrics();
        let value = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {sample} in {page}")).parse().expect("a number")
    }
}

/// Serial and root of what describes a release.
#[track_caller]
pub(crate) fn serial_and_root(release: &Value) -> (u64, String) {
    let root = release["root"].as_str().unwrap_or_else(|| panic!("a root in {release}"));
    (release["serial"].as_u64().expect("a serial"), root.to_owned())
}
