//! Small file systems in a mount namespace of their own, reached through `/proc`.
//!
//! They end with the process that holds the namespace: nothing is left mounted whatever becomes of a test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system of a few MiB.
pub(crate) struct Mounted {
    holder: Child,
    at: PathBuf,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Mounted {
    /// An ext4 in a file, by a loop device; or why there is none here.
    pub(crate) fn ext4(dir: &Path, mib: u64) -> Result<Self, String> {
        let image = dir.join("image");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(mib << 20).expect("a length");
        let made = Command::new("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0"])
            .arg(&image)
            .output();
        let made = made.map_err(|error| format!("mke2fs: {error}"))?;
        if !made.status.success() {
            return Err(format!("mke2fs: {}", String::from_utf8_lossy(&made.stderr)));
        }
        Mounted::hold(dir, &["-m"], &format!("mount -o loop '{}'", image.display()))
    }

    /// A tmpfs, which takes no direct writes on most systems; in a user namespace where we are not root.
    pub(crate) fn tmpfs(dir: &Path, mib: u64) -> Result<Self, String> {
        let mount = format!("mount -t tmpfs -o size={mib}m none");
        Mounted::hold(dir, &["-m"], &mount).or_else(|_| Mounted::hold(dir, &["-U", "-r", "-m"], &mount))
    }

    fn hold(dir: &Path, namespaces: &[&str], mount: &str) -> Result<Self, String> {
        let at = dir.join("small");
        std::fs::create_dir_all(&at).expect("a directory");
        let script = format!("{mount} '{}' && echo mounted && exec cat", at.display());
        let mut unshare = Command::new("unshare");
        unshare.args(namespaces).args(["sh", "-c", &script]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut holder = unshare.spawn().map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let out = holder.stdout.take().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("readable");
        if line == "mounted\n" {
            return Ok(Mounted { holder, at });
        }
        let said = holder.wait_with_output().expect("a child can be waited for");
        Err(String::from_utf8_lossy(&said.stderr).trim().to_owned())
    }

    /// The directory in which the mount point is, as this process and its children see it.
    pub(crate) fn parent(&self) -> PathBuf {
        let parent = self.at.parent().expect("it was joined").strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(parent)
    }

    /// The name of the mount point in [`Mounted::parent`].
    pub(crate) fn name(&self) -> &'static str {
        "small"
    }
}
