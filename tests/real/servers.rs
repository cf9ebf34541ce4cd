//! Servers beyond one that answers: public nodes, those that give up, and the release that each serves.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use tekd::service::control::ControlRequest;

use super::server::{Place, Server, until};

impl Place {
    /// As a public node of `upstream` under the trust in `trust`.
    pub(crate) fn following(self, upstream: SocketAddr, trust: &Path) -> Self {
        self.with("--upstream", upstream.to_string()).with("--trust", trust).with("--poll", "1s")
    }

    /// Forgets what was written to stderr.
    pub(crate) fn forget_log(&self) {
        // Emptied, not removed: a server that runs goes on writing to it.
        if let Ok(log) = File::options().write(true).open(self.beside("log")) {
            log.set_len(0).expect("a file can be emptied");
        }
    }

    /// Starts a server that has to give up, and returns its exit code and what it says.
    #[track_caller]
    pub(crate) fn refused(&self) -> (Option<i32>, String) {
        self.forget_log();
        let _ = std::fs::remove_file(self.beside("ready"));
        let mut child = self.command().spawn().expect("tekd can be run");
        let status = until("giving up", || child.try_wait().expect("a child can be waited for"));
        assert!(!self.beside("ready").exists(), "a server that gives up is not ready");
        (status.code(), self.log())
    }
}

impl Server {
    /// Serial and root of set 1 as the server's status has them; serial 0 before the first release.
    pub(crate) fn serial(&self) -> u64 {
        let status = self.done(&ControlRequest::Status {});
        let sets = status["sets"].as_array().expect("sets").iter();
        sets.filter(|s| s["set"] == 1).filter_map(|s| s["serial"].as_u64()).next().unwrap_or(0)
    }
}
