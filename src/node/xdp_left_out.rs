//! AF_XDP in a tekd that was built without it: what was asked for is refused, sockets answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::clock::Clock;
use super::health::Finding;
use crate::engine::Gate;
use crate::service::config::{Listen, Xdp};
use crate::service::metrics::MetricsText;

/// That it was asked for.
#[derive(Debug)]
pub struct XdpState {
    by_name: bool,
}

impl XdpState {
    /// None.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// That it is not here, if it was asked for by name.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> {
        let text = || format!("sockets answer datagrams: {}", why());
        self.by_name.then(|| Finding { property: "xdp", text: text() }).into_iter()
    }

    /// Nothing.
    pub(crate) fn write(&self, _page: &mut MetricsText) {}
}

fn why() -> &'static str {
    "this tekd was built without AF_XDP; build it with the feature xdp, or set xdp of [listen] to off"
}

/// Nothing that runs.
#[derive(Debug, Default)]
pub(crate) struct XdpServing;

impl XdpServing {
    /// Serves nothing, and says so if something was asked for.
    ///
    /// # Errors
    /// None.
    pub(crate) fn start(
        listen: &Listen,
        _local: Option<SocketAddr>,
        _clock: &Arc<dyn Clock>,
        _gate: &Gate,
    ) -> io::Result<(XdpServing, Option<XdpState>)> {
        if listen.xdp == Xdp::Off {
            return Ok((XdpServing, None));
        }
        tracing::warn!("AF_XDP is not used, sockets answer: {}", why());
        Ok((XdpServing, Some(XdpState { by_name: listen.xdp != Xdp::Auto })))
    }

    /// Nothing is to be stopped.
    pub(crate) fn stop(&mut self) {}
}
