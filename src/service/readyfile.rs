//! The ready file: where a server says that every socket answers, and on which address.
//!
//! Written whole under its name by a rename, so a script that waits for the file never
//! reads half of it. With port 0 it is how the real port becomes known.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store::{Disk, replace_file};

/// What the ready file says; a transport that is off is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyFile {
    /// Datagrams.
    pub udp: Option<SocketAddr>,
    /// TLS over TCP.
    pub tls: Option<SocketAddr>,
    /// QUIC.
    pub quic: Option<SocketAddr>,
    /// Metrics over HTTP.
    pub metrics: Option<SocketAddr>,
    /// The control socket.
    pub control: PathBuf,
    /// What clients need to trust this server.
    pub trust: PathBuf,
    /// The server's process.
    pub pid: u32,
}

impl ReadyFile {
    /// Writes the file `path`, replacing an older one in one step.
    pub fn write(&self, disk: &dyn Disk, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        if path.parent() == Some(Path::new("")) {
            return replace_file(disk, &Path::new(".").join(path), &text);
        }
        replace_file(disk, path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RealDisk;

    fn ready(pid: u32) -> ReadyFile {
        ReadyFile {
            udp: Some("127.0.0.1:40001".parse().unwrap()),
            tls: Some("[::1]:40002".parse().unwrap()),
            quic: None,
            metrics: None,
            control: PathBuf::from("/srv/tekd/control.sock"),
            trust: PathBuf::from("/srv/tekd/trust.json"),
            pid,
        }
    }

    #[test]
    fn the_file_is_one_json_document_and_replaces_an_older_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        ready(1).write(&RealDisk, &path).unwrap();
        ready(123).write(&RealDisk, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"udp\":\"127.0.0.1:40001\",\"tls\":\"[::1]:40002\",\"quic\":null,\"metrics\":null,\
             \"control\":\"/srv/tekd/control.sock\",\"trust\":\"/srv/tekd/trust.json\",\"pid\":123}\n"
        );
        assert_eq!(serde_json::from_str::<ReadyFile>(&text).unwrap(), ready(123));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert!(ready(1).write(&RealDisk, &dir.path().join("none/ready.json")).is_err());
    }
}
