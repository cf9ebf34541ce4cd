//! The part of a node's datagrams that goes past the kernel's network stack.
//!
//! The workers of UDP run beside and answer whatever does not come this way. So an interface that cannot be
//! served by AF_XDP is announced, once and with what to do, and costs nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::clock::Clock;
use super::health::Finding;
use super::xdp_addresses::{AddressFollower, Following, warn_unserved};
use crate::engine::Gate;
use crate::service::config::{Listen, MAX_XDP_INTERFACES, Xdp, XdpMode};
use crate::service::metrics::MetricsText;
use crate::transport::WorkerLife;
use crate::transport::xdp::{
    Attachment, MAX_QUEUES, XdpCounters, XdpCounts, XdpWorker, attach, network_cards,
};

/// An interface that was to be served.
#[derive(Debug)]
struct Interface {
    name: String,
    queues: Vec<(Arc<XdpCounters>, WorkerLife)>,
    /// Why it is not served, where somebody asked for it by name.
    refused: Option<String>,
}

/// How AF_XDP fares, to be read at any time.
#[derive(Debug, Default)]
pub struct XdpState {
    interfaces: Vec<Interface>,
    following: Option<Arc<Following>>,
}

impl XdpState {
    /// The sums over all queues, by name.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let mut sum = XdpCounts::default();
        for (counters, _) in self.interfaces.iter().flat_map(|interface| &interface.queues) {
            sum += counters.snapshot();
        }
        sum.named().collect()
    }

    /// Interfaces that were asked for and are not served, or not whole, or not where they should be.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> {
        let lost = self.is_lost().then(|| {
            "sockets answer all that AF_XDP answered, for the thread that held its programs panicked; restart tekd to \
             have it again"
                .to_owned()
        });
        let failing = self.following.iter().flat_map(|following| following.failing()).map(|name| {
            format!(
                "the addresses of {name} cannot be followed, the log says why: AF_XDP answers at those it had, sockets \
                 at all others; tekd goes on looking"
            )
        });
        let texts = self.ended().chain(lost).chain(failing);
        texts.map(|text| Finding { property: "xdp", text })
    }

    fn is_lost(&self) -> bool {
        self.following.as_ref().is_some_and(|following| following.is_lost())
    }

    /// What is to be said of interfaces that are not served, or not whole.
    fn ended(&self) -> impl Iterator<Item = String> {
        self.interfaces.iter().filter_map(|interface| {
            let Interface { name, queues, refused } = interface;
            let failed = queues.len() - running(queues);
            let text = match (refused, failed) {
                (Some(why), _) => format!("sockets answer what comes by {name}: {why}"),
                (None, 0) => return None,
                (None, failed) => format!(
                    "{failed} of {} AF_XDP workers of {name} ended badly, sockets answer for them; restart tekd to \
                     have them again",
                    queues.len()
                ),
            };
            Some(text)
        })
    }

    /// Puts counters and running queues on the page.
    pub(crate) fn write(&self, page: &mut MetricsText) {
        for (event, n) in self.counts() {
            let help = "Datagrams and bytes of all AF_XDP workers, by event.";
            page.counter("tekd_xdp_total", help, &[("event", event)], n);
        }
        for interface in &self.interfaces {
            let help = "Queues whose datagrams AF_XDP answers; 0: sockets do.";
            let running = if self.is_lost() { 0.0 } else { running(&interface.queues) as f64 };
            page.gauge("tekd_xdp_queues", help, &[("interface", &interface.name)], running);
        }
    }
}

fn running(queues: &[(Arc<XdpCounters>, WorkerLife)]) -> usize {
    queues.iter().filter(|(_, life)| !life.failed()).count()
}

/// What runs. Dropping it gives everything back to the kernel.
#[derive(Debug, Default)]
pub(crate) struct XdpServing {
    /// Holds what is attached.
    addresses: Option<AddressFollower>,
    workers: Vec<XdpWorker>,
}

impl XdpServing {
    /// Serves datagrams to `local` on every interface that `listen` asks for and that can.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(
        listen: &Listen,
        local: Option<SocketAddr>,
        clock: &Arc<dyn Clock>,
        gate: &Gate,
    ) -> io::Result<(XdpServing, Option<XdpState>)> {
        let (mut serving, mut state) = (XdpServing::default(), XdpState::default());
        let (Some(local), Some((names, by_name))) = (local, asked_for(&listen.xdp)) else {
            return Ok((serving, None));
        };
        let mut attachments = Vec::new();
        for name in names {
            let queues = serving.serve(&name, listen.xdp_mode, local, clock, gate, &mut attachments)?;
            let (queues, refused) =
                queues.map_or_else(|why| (Vec::new(), Some(why)), |queues| (queues, None));
            if let Some(why) = &refused {
                tracing::warn!("AF_XDP is not used, sockets answer what comes by {name}: {why}");
            }
            state.interfaces.push(Interface { name, queues, refused: refused.filter(|_| by_name) });
        }
        if !attachments.is_empty() {
            let follower = AddressFollower::start(attachments)?;
            state.following = Some(follower.following());
            serving.addresses = Some(follower);
        }
        Ok((serving, Some(state)))
    }

    /// Serves one interface; or why it is not.
    #[allow(clippy::type_complexity)] // two ways to go wrong, of which one is not an error
    fn serve(
        &mut self,
        name: &str,
        mode: XdpMode,
        local: SocketAddr,
        clock: &Arc<dyn Clock>,
        gate: &Gate,
        attachments: &mut Vec<Attachment>,
    ) -> io::Result<Result<Vec<(Arc<XdpCounters>, WorkerLife)>, String>> {
        let (attachment, sockets) = match attach(name, local, mode == XdpMode::ZeroCopy) {
            Ok(attached) => attached,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let mut queues = Vec::new();
        for (queue, socket) in sockets.into_iter().enumerate() {
            let (clock, gate) = (Arc::clone(clock), gate.clone());
            let worker =
                XdpWorker::spawn(&format!("tekd-xdp-{name}-{queue}"), socket, move || clock.now(), gate)?;
            queues.push((worker.counters(), worker.life()));
            self.workers.push(worker);
        }
        announce(&attachment, queues.len(), mode);
        attachments.push(attachment);
        Ok(Ok(queues))
    }

    /// Gives new frames to the kernel, answers what has come, and ends.
    pub(crate) fn stop(&mut self) {
        self.addresses = None;
        for worker in self.workers.drain(..) {
            if let Err(e) = worker.join() {
                tracing::error!("{e}");
            }
        }
    }
}

/// The names of the interfaces, and whether it was by their names that they were asked for.
fn asked_for(xdp: &Xdp) -> Option<(Vec<String>, bool)> {
    match xdp {
        Xdp::Off => None,
        Xdp::Interfaces(names) => Some((names.clone(), true)),
        Xdp::Auto => {
            let mut cards = network_cards().unwrap_or_default();
            if cards.is_empty() {
                tracing::warn!("AF_XDP is not used, sockets answer: this machine shows no network card");
            }
            // bounded: each queue of each takes a thread and its memory.
            for name in cards.drain(MAX_XDP_INTERFACES.min(cards.len())..) {
                tracing::warn!(
                    "sockets answer what comes by {name}: AF_XDP takes {MAX_XDP_INTERFACES} cards by itself"
                );
            }
            Some((cards, false))
        }
    }
}

fn announce(attachment: &Attachment, queues: usize, mode: XdpMode) {
    let name = attachment.interface();
    let copied = if attachment.zero_copy() { "without a copy" } else { "with a copy" };
    tracing::info!("AF_XDP answers what comes by {name}, on {queues} queues, {copied}, past packet filters");
    if mode == XdpMode::ZeroCopy && !attachment.zero_copy() {
        tracing::warn!("the driver of {name} offers AF_XDP no frames without a copy: they are copied");
    }
    let unserved = attachment.unserved();
    if unserved.queues > 0 {
        let more = unserved.queues;
        tracing::warn!("{name} has {more} queues more than the {MAX_QUEUES} served: sockets answer for them");
    }
    warn_unserved(name, unserved.addresses);
}
