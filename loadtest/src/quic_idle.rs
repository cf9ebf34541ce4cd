//! How much memory a server of QUIC needs for a connection that asks nothing.

use std::io;

use quinn::Connection;
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use crate::quic_measure::{Caller, QuicMeasureError, QuicPlan};

/// Bytes of a page, which `/proc` counts in wherever tekd runs.
const PAGE: u64 = 4096;
/// Connections before the first look: what a server makes once is not counted.
const WARM_UP: u32 = 64;
/// Handshakes at a time.
const AT_ONCE: usize = 32;

/// What idle connections cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct IdleMemory {
    /// Connections that were opened between the two looks.
    pub connections: u32,
    /// Resident bytes of the server before.
    pub resident_before: u64,
    /// After.
    pub resident_after: u64,
    /// The difference for each.
    pub bytes_per_connection: u64,
}

impl std::fmt::Display for IdleMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} idle connections: {} bytes each, from {} to {} resident",
            self.connections, self.bytes_per_connection, self.resident_before, self.resident_after
        )
    }
}

/// Opens the connections of `plan` and looks at the process `pid` before and after.
///
/// # Errors
/// [`QuicMeasureError`].
pub fn measure_idle(plan: &QuicPlan, pid: u32) -> Result<IdleMemory, QuicMeasureError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let caller = Caller::new(plan)?;
        let mut open = connect(&caller, WARM_UP).await?;
        let resident_before = resident(pid)?;
        open.extend(connect(&caller, plan.connections).await?);
        let resident_after = resident(pid)?;
        let ended = open.iter().filter(|connection| connection.close_reason().is_some()).count();
        if ended > 0 {
            let why = format!("{ended} connections ended before all were open");
            return Err(QuicMeasureError::Connect { server: plan.server, why });
        }
        let grown = resident_after.saturating_sub(resident_before);
        let bytes_per_connection = grown / u64::from(plan.connections);
        Ok(IdleMemory {
            connections: plan.connections,
            resident_before,
            resident_after,
            bytes_per_connection,
        })
    })
}

/// Opens so many connections, a few at a time: before the first is ended for asking nothing all are open.
async fn connect(caller: &Caller, count: u32) -> Result<Vec<Connection>, QuicMeasureError> {
    let (mut open, mut connecting, mut begun) = (Vec::new(), JoinSet::new(), 0);
    while open.len() < count as usize {
        while begun < count && connecting.len() < AT_ONCE {
            let caller = caller.clone();
            connecting.spawn(async move { caller.connect().await });
            begun += 1;
        }
        let connected = connecting.join_next().await.expect("as many as are missing");
        open.push(connected.map_err(io::Error::other)?.map_err(|e| caller.refused(&e))?);
    }
    Ok(open)
}

/// Resident bytes of a process.
fn resident(pid: u32) -> io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map(|pages| pages * PAGE).ok_or_else(|| io::Error::other("no resident pages in statm"))
}
