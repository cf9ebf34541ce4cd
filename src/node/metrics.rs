//! All counters of a node, collected for one page.

use std::sync::Arc;

use super::desk::Desk;
use super::health::{Finding, PROPERTIES};
use super::polls::Polls;
use super::private::PrivateHalf;
use super::scrubbing::Scrubbing;
use super::sealed_counts::SealedCounts;
use super::xdp::XdpState;
use crate::engine::{AnswerCounters, View};
use crate::service::metrics::MetricsText;
use crate::transport::{StreamCounters, StreamCounts, UdpCounters, UdpCounts, WorkerLife};

/// Keys of a set that wait for a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldKeys {
    /// The set.
    pub set: u32,
    /// They come in once their embargo has ended.
    pub embargo: usize,
    /// They come in with a release that has company for them.
    pub ready: usize,
    /// They leave.
    pub leaving: usize,
}

/// Where a node's counters live.
#[derive(Debug, Default)]
pub struct Counters {
    /// Of the gate, over all transports.
    pub answers: Arc<AnswerCounters>,
    /// Of each UDP worker.
    pub udp: Vec<Arc<UdpCounters>>,
    /// Whether each still runs.
    pub udp_lives: Vec<WorkerLife>,
    /// Of AF_XDP, where it was asked for.
    pub xdp: Option<XdpState>,
    /// Of each TLS listener.
    pub tls: Vec<Arc<StreamCounters>>,
    /// Of each QUIC endpoint.
    pub quic: Vec<Arc<StreamCounters>>,
    /// Of sealed questions and of the writer, at an origin.
    pub private: Option<Arc<PrivateHalf>>,
    /// Of the scrubber, at an origin.
    pub scrubbing: Option<Arc<Scrubbing>>,
    /// Of the upstream, at a public node.
    pub polls: Option<Arc<Polls>>,
}

impl Counters {
    /// The desk of an origin whose state is read.
    pub(crate) fn desk(&self) -> Option<&Arc<Desk>> {
        self.private.as_ref()?.desk()
    }

    /// UDP workers that ended though nobody stopped them.
    pub fn failed_udp_workers(&self) -> usize {
        self.udp_lives.iter().filter(|life| life.failed()).count()
    }

    /// QUIC endpoints that lost their socket, and with it all they serve.
    pub fn lost_quic_endpoints(&self) -> usize {
        self.quic.iter().filter(|endpoint| endpoint.snapshot().socket_lost > 0).count()
    }

    /// Sums over the UDP workers.
    pub fn udp_counts(&self) -> UdpCounts {
        let mut sum = UdpCounts::default();
        for worker in &self.udp {
            sum += worker.snapshot();
        }
        sum
    }

    /// Sums over the TLS listeners.
    pub fn tls_counts(&self) -> StreamCounts {
        sum(&self.tls)
    }

    /// Sums over the QUIC endpoints.
    pub fn quic_counts(&self) -> StreamCounts {
        sum(&self.quic)
    }

    /// The page, for a node that shows `view` at `now`; `held` is what an origin keeps back, `to_base` how
    /// many bytes of its journal come after its oldest snapshot.
    pub fn page(
        &self,
        view: &View,
        findings: &[Finding],
        held: &[HeldKeys],
        to_base: Option<u64>,
        now: u64,
    ) -> String {
        let mut page = MetricsText::new();
        page.gauge(
            "tekd_build_info",
            "Version of this program, always 1.",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1.0,
        );
        page.gauge("tekd_health_findings", "Stated properties that do not hold.", &[], findings.len() as f64);
        for property in PROPERTIES {
            let found = findings.iter().filter(|finding| finding.property == property).count();
            let help = "Findings about a stated property, 0 while it holds.";
            page.gauge("tekd_health", help, &[("property", property)], found as f64);
        }
        self.answers(&mut page);
        self.transports(&mut page);
        if let Some(private) = &self.private {
            let help = "Events not read yet after a start: nothing is confirmed until it is 0.";
            page.gauge("tekd_state_unread_events", help, &[], private.events_left() as f64);
        }
        if let Some(desk) = self.desk() {
            sealed(&mut page, &desk.counts());
            desk.write_receipts(&mut page);
        }
        if let Some(origin) = self.private.as_ref().and_then(|private| private.origin()) {
            origin.counts().write(&mut page, now);
        }
        if let Some(bytes) = to_base {
            let help = "Bytes of the journal's segments from the oldest snapshot on: what a rebuild reads.";
            page.gauge("tekd_journal_bytes_to_oldest_base", help, &[], bytes as f64);
        }
        if let Some(scrubbing) = &self.scrubbing {
            scrubbing.write(&mut page);
        }
        for set in held {
            let id = set.set.to_string();
            for (reason, n) in [("embargo", set.embargo), ("ready", set.ready), ("leaving", set.leaving)] {
                let help = "Keys that wait for a release to come in or to leave, by why.";
                page.gauge("tekd_set_held_keys", help, &[("set", &id), ("reason", reason)], n as f64);
            }
        }
        if let Some(polls) = &self.polls {
            let state = polls.state();
            for (result, n) in [("done", state.done), ("failed", state.failed)] {
                let help = "Polls of the upstream, by how they ended.";
                page.counter("tekd_upstream_polls_total", help, &[("result", result)], n);
            }
        }
        for set in &view.sets {
            set_gauges(&mut page, set, now);
        }
        page.render()
    }

    fn answers(&self, page: &mut MetricsText) {
        for (operation, n) in self.answers.asked() {
            page.counter(
                "tekd_requests_total",
                "Questions read, by operation.",
                &[("op", operation.label())],
                n,
            );
        }
        for (result, n) in self.answers.results() {
            page.counter("tekd_responses_total", "Answers, by result.", &[("result", result.name())], n);
        }
        for (reason, n) in self.answers.silent() {
            let help = "Frames that got no answer, by reason.";
            page.counter("tekd_dropped_total", help, &[("reason", reason.name())], n);
        }
        for (state, n) in self.answers.cookies() {
            page.counter(
                "tekd_cookie_total",
                "Cookies on UDP, by what they proved.",
                &[("result", state)],
                n,
            );
        }
        page.counter(
            "tekd_slipped_total",
            "Questions over the limit answered by a cookie.",
            &[],
            self.answers.slipped(),
        );
    }

    fn transports(&self, page: &mut MetricsText) {
        for (event, n) in self.udp_counts().named() {
            page.counter(
                "tekd_udp_total",
                "Datagrams and bytes of all UDP workers, by event.",
                &[("event", event)],
                n,
            );
        }
        if let Some(xdp) = &self.xdp {
            xdp.write(page);
        }
        for (event, n) in self.tls_counts().named() {
            page.counter(
                "tekd_tls_total",
                "Connections, requests and bytes of TLS, by event.",
                &[("event", event)],
                n,
            );
        }
        for (event, n) in self.quic_counts().named() {
            page.counter(
                "tekd_quic_total",
                "Connections, streams, requests and bytes of QUIC, by event.",
                &[("event", event)],
                n,
            );
        }
    }
}

fn sum(listeners: &[Arc<StreamCounters>]) -> StreamCounts {
    let mut sum = StreamCounts::default();
    for listener in listeners {
        sum += listener.snapshot();
    }
    sum
}

fn sealed(page: &mut MetricsText, counts: &SealedCounts) {
    for &(event, n) in &counts.events {
        let help = "Sealed questions, dummies among them, by what happened to them.";
        page.counter("tekd_sealed_total", help, &[("event", event)], n);
    }
    for &(outcome, n) in &counts.outcomes {
        let help = "Answers to opened questions, by outcome.";
        page.counter("tekd_sealed_outcomes_total", help, &[("outcome", outcome)], n);
    }
    let help = "Deadlines of sealed answers that passed, by whether the answer was ready.";
    let kept = counts.deadlines.all - counts.deadlines.missed;
    page.counter("tekd_sealed_deadlines_total", help, &[("result", "kept")], kept);
    page.counter("tekd_sealed_deadlines_total", help, &[("result", "missed")], counts.deadlines.missed);
    let help = "Sealed questions without their answer so far.";
    page.gauge("tekd_sealed_waiting", help, &[], counts.waiting as f64);
}

fn set_gauges(page: &mut MetricsText, set: &crate::engine::SetView, now: u64) {
    let id = set.set.to_string();
    let label = [("set", id.as_str())];
    let Some(release) = &set.release else { return };
    let checkpoint = &release.checkpoint;
    page.gauge("tekd_set_serial", "Serial of the newest release.", &label, f64::from(checkpoint.serial()));
    page.gauge("tekd_set_keys", "Live keys.", &label, checkpoint.count() as f64);
    let time = checkpoint.time() as f64;
    page.gauge("tekd_set_checkpoint_time_seconds", "Time of the newest release.", &label, time);
    let age = now.saturating_sub(checkpoint.time()) as f64;
    page.gauge("tekd_set_age_seconds", "Age of the newest release.", &label, age);
    let bytes = release.objects.total_bytes() as f64;
    page.gauge("tekd_set_object_bytes", "Bytes of all objects that can be fetched.", &label, bytes);
}
