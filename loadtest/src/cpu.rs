//! What a process and those it started have used of the processor, from `/proc/PID/stat`.

use std::collections::HashMap;
use std::io;

/// Nanoseconds of one tick of `/proc`: USER_HZ is 100 wherever tekd runs.
const TICK_NS: u64 = 10_000_000;
/// Places of the parent and of utime among the fields after the name's closing parenthesis; stime follows
/// utime.
const PARENT: usize = 1;
const UTIME: usize = 11;
/// Generations of processes between a server and its workers, at most.
const GENERATIONS: usize = 8;

/// Processor time of a process, nanoseconds, in steps of ten milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// In its own code.
    pub user_ns: u64,
    /// In the kernel for it.
    pub system_ns: u64,
}

/// Why nothing is known of a process.
#[derive(Debug, thiserror::Error)]
pub enum StatError {
    /// The file cannot be read.
    #[error("process {pid} cannot be watched: {source}; it has to run on this machine")]
    Read {
        /// The process.
        pid: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not as the kernel writes it.
    #[error("/proc/{0}/stat has no times in it")]
    Malformed(u32),
}

impl CpuTimes {
    /// What process `pid` and the living processes under it have used so far, all threads together.
    ///
    /// # Errors
    /// If there is no such process here.
    pub fn of(pid: u32) -> Result<Self, StatError> {
        let text = read(pid).map_err(|source| StatError::Read { pid, source })?;
        let mut all = parse_stat(&text).ok_or(StatError::Malformed(pid))?;
        let others = others();
        for (parent, times) in others.values() {
            let line = std::iter::successors(Some(*parent), |at| Some(others.get(at)?.0));
            if line.take(GENERATIONS).any(|at| at == pid) {
                all.user_ns += times.user_ns;
                all.system_ns += times.system_ns;
            }
        }
        Ok(all)
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: CpuTimes) -> CpuTimes {
        CpuTimes {
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
        }
    }

    /// User and kernel together.
    #[must_use]
    pub fn total_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

fn read(pid: u32) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
}

/// Parent and times of every process that can be seen; those that end meanwhile are left out.
fn others() -> HashMap<u32, (u32, CpuTimes)> {
    let numbers = std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok()
    });
    let stats = numbers.filter_map(|pid| {
        let line = read(pid).ok()?;
        Some((pid, (parse_parent(&line)?, parse_stat(&line)?)))
    });
    stats.collect()
}

/// The parent in a line of `/proc/PID/stat`.
fn parse_parent(line: &str) -> Option<u32> {
    let (_, after_name) = line.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(PARENT)?.parse().ok()
}

/// The times in a line of `/proc/PID/stat`. The name in it is the process's own choice and may hold anything,
/// so fields are counted from its last parenthesis.
pub fn parse_stat(line: &str) -> Option<CpuTimes> {
    let (_, after_name) = line.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(UTIME);
    let mut ticks = || fields.next()?.parse::<u64>().ok()?.checked_mul(TICK_NS);
    Some(CpuTimes { user_ns: ticks()?, system_ns: ticks()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let line = "12 (a) b (c) S 1 12 12 0 -1 4194304 5 0 0 0 250 75 0 0 20 0 3 0 99 1 2";
        let times = parse_stat(line).expect("two times");
        assert_eq!(times, CpuTimes { user_ns: 2_500_000_000, system_ns: 750_000_000 });
        assert_eq!(times.total_ns(), 3_250_000_000);
        assert_eq!(parse_parent(line), Some(1));
    }

    #[test]
    fn a_cut_or_foreign_line_has_no_times() {
        for line in ["", "12 (x) S 1 2 3", "12 x S", "1 (x) S 1 1 1 0 -1 4 5 0 0 0 many 75"] {
            assert_eq!(parse_stat(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_processes_under_a_process_count_as_its_own() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "exec 3<&0; (i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo done; read x <&3) & wait"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut said = [0; 5];
        io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut said).expect("it counts");
        let parent = parse_stat(&read(child.id()).expect("it lives")).expect("two times");
        let all = CpuTimes::of(child.id()).expect("it lives");
        child.kill().expect("it lives");
        child.wait().expect("it ends");
        assert!(all.total_ns() > parent.total_ns(), "{all:?} with its child, {parent:?} alone");
    }

    #[test]
    fn this_process_is_known_and_a_missing_one_is_an_error() {
        let first = CpuTimes::of(std::process::id()).expect("we run");
        let second = CpuTimes::of(std::process::id()).expect("we run");
        assert!(second.total_ns() >= first.total_ns());
        assert!(matches!(CpuTimes::of(u32::MAX), Err(StatError::Read { .. })));
    }
}
