//! A real server in a directory of its own, and `tekctl` run against it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use serde_json::Value;
use tekd::service::readyfile::ReadyFile;
use tempfile::TempDir;

/// A server is ready, and has stopped, within this.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often a file or a process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How a run of `tekctl` ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The command line.
    pub(crate) line: String,
    /// Exit code.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said besides.
    pub(crate) stderr: String,
}

impl Run {
    /// The document it printed, after it ended with `code`.
    #[track_caller]
    pub(crate) fn ended(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{self:#?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("not one document: {e}: {self:#?}"))
    }

    /// The document it printed, after it worked.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        self.ended(0)
    }
}

/// Runs `tekctl` with these words.
pub(crate) fn tekctl(words: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_tekctl"))
        .args(words)
        .env_remove("TEKD_DATA")
        .output()
        .expect("tekctl is built with the tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        line: words.join(" "),
        code: output.status.code().expect("tekctl ends by itself"),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// A running server.
pub(crate) struct Server {
    dir: TempDir,
    child: Child,
    /// Where it listens.
    pub(crate) ready: ReadyFile,
}

/// Starts a server whose data are in `dir` and waits until it is ready.
fn serve(dir: &Path) -> (Child, ReadyFile) {
    let ready = dir.join("ready.json");
    // What a former process left would be taken for this one's.
    let _ = std::fs::remove_file(&ready);
    let mut child = Command::new(env!("CARGO_BIN_EXE_tekd"))
        .arg("serve")
        .args([Path::new("--data"), &dir.join("data")])
        .args([Path::new("--ready-file"), &ready])
        .args(["--udp", "127.0.0.1:0", "--tls", "127.0.0.1:0", "--quic", "127.0.0.1:0"])
        .args(["--log-level", "error"])
        .spawn()
        .expect("tekd is built with the tests");
    let began = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready) {
            return (child, serde_json::from_str(&text).expect("the ready file appears whole"));
        }
        if let Some(status) = child.try_wait().expect("its state is known") {
            panic!("the server ended before it was ready: {status}");
        }
        assert!(began.elapsed() < DEADLINE, "the server is not ready after {DEADLINE:?}");
        std::thread::sleep(LOOK);
    }
}

impl Server {
    /// Starts one in an empty directory; set 1 is released at midnight and when it is told to.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (child, ready) = serve(dir.path());
        let server = Self { dir, child, ready };
        // A release of the server's own accord, at a quarter of an hour, would come between those of a test.
        server.operate("set configure 1 --interval 24h").ok();
        server
    }

    /// Starts it again after it was stopped, in the same directory.
    pub(crate) fn start_again(&mut self) {
        (self.child, self.ready) = serve(self.dir.path());
    }

    /// A path in its temporary directory, outside of its data.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// An operator's command, with `--json`.
    pub(crate) fn operate(&self, line: &str) -> Run {
        let data = self.data();
        let mut words = vec!["--json", "--data", text(&data)];
        words.extend(line.split_ascii_whitespace());
        tekctl(&words)
    }

    /// An operator's command as people give it: lines, not documents.
    pub(crate) fn say(&self, line: &str) -> Run {
        let data = self.data();
        let mut words = vec!["--data", text(&data)];
        words.extend(line.split_ascii_whitespace());
        tekctl(&words)
    }

    /// A client's command over datagrams, with `--json`.
    pub(crate) fn udp(&self, line: &str) -> Run {
        self.ask(&self.ready.udp.expect("UDP is on").to_string(), "udp", line)
    }

    /// A client's command over TLS, with `--json`.
    pub(crate) fn tls(&self, line: &str) -> Run {
        self.ask(&self.ready.tls.expect("TLS is on").to_string(), "tls", line)
    }

    /// A client's command over QUIC, with `--json`.
    pub(crate) fn quic(&self, line: &str) -> Run {
        self.ask(&self.ready.quic.expect("QUIC is on").to_string(), "quic", line)
    }

    fn ask(&self, address: &str, transport: &str, line: &str) -> Run {
        let trust = text(&self.ready.trust);
        let mut words = vec!["--json", "--server", address, "--trust", trust, "--transport", transport];
        words.extend(line.split_ascii_whitespace());
        tekctl(&words)
    }

    /// Stops it as an init system does.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there");
        assert!(sent.success());
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state is known") {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "the server has not stopped after {DEADLINE:?}");
            std::thread::sleep(LOOK);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have stopped already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A path as a word of a command line.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
