//! Fields that take one word of a few.

use std::str::FromStr;

/// How generations are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryMode {
    /// Read and verified into memory of the process.
    Copy,
    /// The file itself, mapped.
    Map,
}

/// How datagrams are spread over workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpSteering {
    /// By processor where the network has a receive queue for each worker, by hash elsewhere.
    Auto,
    /// By the processor that received them.
    Cpu,
    /// By a hash of addresses and ports.
    Hash,
}

/// What a worker does when no datagram waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpIdle {
    /// Looks again for some microseconds, then sleeps.
    Spin,
    /// Sleeps at once.
    Sleep,
}

/// The meaning of `text` among `words`.
fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("`{text}` is not one of {}", all.join(", "))
    })
}

impl FromStr for MemoryMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, &[("copy", Self::Copy), ("map", Self::Map)])
    }
}

impl FromStr for UdpSteering {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, &[("auto", Self::Auto), ("cpu", Self::Cpu), ("hash", Self::Hash)])
    }
}

impl FromStr for UdpIdle {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        one_of(text, &[("spin", Self::Spin), ("sleep", Self::Sleep)])
    }
}
