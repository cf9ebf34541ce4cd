//! The commands that ask a server, done.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tekd::release::Trust;
use tekd::service::control::Exit;
use tekd::wire::Key;

use crate::asking_arguments::{
    AskArguments, BucketArguments, DnsArguments, KeysArguments, Kind, LookupArguments, MixedArguments,
    RunArguments, ServerArguments,
};
use crate::buckets::Buckets;
use crate::checkpoints::Checkpoints;
use crate::conversation::Conversation;
use crate::dns::DnsQuestions;
use crate::ending::{Done, Failure, failed, failure, misused, tell};
use crate::key_file::read_keys;
use crate::learning::{Learner, LearningError};
use crate::lines::{MAX_LINES, QUIC_STREAMS, ReportTransport};
use crate::lookups::Lookups;
use crate::measure::{MeasureError, Plan, greet, measure};
use crate::mixed::{Mixed, Share};
use crate::names::Names;
use crate::naming::{address, ready_file, resolve, trusted};
use crate::pace::Pace;
use crate::report::Report;
use crate::streams::{StreamPlan, measure_streams};
use crate::syncs::Syncs;
use crate::system;
use crate::traffic::Traffic;
use crate::transports::Transport;

/// Questions out at once when nothing is said.
const DEFAULT_WINDOW: u32 = 64;
/// Trains of them, at least.
const TRAINS_OUT: u32 = 4;

impl From<MeasureError> for Failure {
    fn from(e: MeasureError) -> Self {
        let exit = if matches!(e, MeasureError::Silent { .. }) { Exit::Unreachable } else { Exit::Failed };
        failure(exit)(&e)
    }
}

impl From<LearningError> for Failure {
    fn from(e: LearningError) -> Self {
        failed(e)
    }
}

/// A set of a server that is asked.
struct Target {
    server: SocketAddr,
    transport: Transport,
    trust: Trust,
    set: u32,
    pid: Option<u32>,
    connections: Option<u32>,
    seed: u64,
    cookie: u64,
}

impl Target {
    fn of(arguments: &ServerArguments, seed: u64) -> Result<Self, Failure> {
        let ready = arguments.known.ready_file.as_deref().map(ready_file).transpose()?;
        let (transport, set) = (arguments.transport, arguments.set);
        let server = address(arguments.server.as_deref(), ready.as_ref(), |ready| match transport {
            Transport::Udp => ready.udp,
            Transport::Tls => ready.tls,
            Transport::Quic => ready.quic,
        })?;
        let trust = trusted(arguments.known.trust.as_deref(), ready.as_ref(), set)?;
        let pid = arguments.pid.or_else(|| Some(ready.as_ref()?.pid));
        let cookie = match transport {
            Transport::Udp => greet(server, trust.service, set, txid())?,
            Transport::Tls | Transport::Quic => 0,
        };
        let connections = arguments.connections;
        Ok(Target { server, transport, trust, set, pid, connections, seed, cookie })
    }

    fn conversation(&self) -> Conversation {
        let mut conversation = Conversation::new(self.trust.service, self.set, self.seed);
        conversation.set_cookie(self.cookie);
        if self.transport == Transport::Udp { conversation } else { conversation.on_stream() }
    }

    fn learner(&self) -> Learner {
        Learner::new(self.server, self.transport, self.trust.clone(), self.set)
    }

    fn lookups(&self, arguments: &KeysArguments) -> Result<Lookups, Failure> {
        let (hits, ratio) = hits(arguments)?;
        let count = usize::from(arguments.keys_per_question);
        let lookups = Lookups::new(self.trust.service, self.set, Arc::new(hits), ratio, count, self.seed);
        let mut lookups = lookups.map_err(misused)?;
        lookups.set_cookie(self.cookie);
        Ok(if self.transport == Transport::Udp { lookups } else { lookups.on_stream() })
    }

    fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.conversation(), self.trust.clone(), self.set)
    }

    fn buckets(&self, bits: Option<u8>) -> Result<Buckets, Failure> {
        let (checkpoint, schema) = self.learner().checkpoint()?;
        Ok(Buckets::new(self.conversation(), schema, bits.unwrap_or(checkpoint.bits()), self.seed))
    }

    fn syncs(&self) -> Result<Syncs, Failure> {
        let way = self.learner().way()?;
        if way.first.is_empty() {
            eprintln!("the set is too large for FETCH on this transport, or empty: only SYNC is asked");
        }
        Ok(Syncs::new(self.conversation(), way))
    }

    /// Runs, verifies what was left for after the run, and tells what was found.
    fn run(&self, run: &RunArguments, train: u8, mut traffic: Box<dyn Traffic>, json: bool) -> Done {
        let (before, _) = self.learner().checkpoint()?;
        let plan = plan(run, self.server, self.pid, train)?;
        let over = match self.transport {
            Transport::Udp => None,
            Transport::Tls => Some((ReportTransport::Tls, 1)),
            Transport::Quic => Some((ReportTransport::Quic, QUIC_STREAMS)),
        };
        let mut report = match over {
            None => measure(&plan, &mut *traffic)?,
            Some(_) if train > 1 => return Err(misused("trains are of datagrams: --train needs UDP")),
            Some((transport, each)) => {
                let plan = over_streams(plan, transport, each, self.connections)?;
                let (report, back) = measure_streams(&plan, traffic)?;
                traffic = back;
                report
            }
        };
        let (after, _) = self.learner().checkpoint()?;
        report.found_wrong(traffic.settle(&[before, after]));
        report.of_these = traffic.details().into_iter().collect();
        ended(&report, json)
    }
}

fn plan(run: &RunArguments, server: SocketAddr, pid: Option<u32>, train: u8) -> Result<Plan, Failure> {
    if let Some(core) = run.core {
        system::pin(&[core]).map_err(|e| misused(format_args!("core {core}: {e}")))?;
    }
    let window = run.window.unwrap_or(DEFAULT_WINDOW.max(TRAINS_OUT * u32::from(train)));
    if run.rate.is_none() && window < train.into() {
        return Err(misused(format_args!("--window {window} has no room for a train of {train} questions")));
    }
    Ok(Plan {
        server,
        pace: run.rate.map_or(Pace::Window(window), Pace::Rate),
        length: run.duration,
        patience: run.timeout,
        pid,
        spin: false,
        train: train.into(),
    })
}

/// A plan over connections of `each` questions out at once.
fn over_streams(
    plan: Plan,
    transport: ReportTransport,
    each: u32,
    connections: Option<u32>,
) -> Result<StreamPlan, Failure> {
    let (connections, lines) = match (plan.pace, connections) {
        (Pace::Window(window), None) => (window.div_ceil(each), window),
        (Pace::Window(window), Some(connections)) => (connections.min(window), window),
        (Pace::Rate(_), connections) => {
            let connections = connections.unwrap_or(DEFAULT_WINDOW);
            (connections, connections * each)
        }
    };
    if connections > MAX_LINES || lines > connections * each {
        return Err(misused(format_args!(
            "{lines} questions out at once do not go over {connections} connections: each has {each} at most, \
             and there are {MAX_LINES} connections at most"
        )));
    }
    Ok(StreamPlan { plan, transport, connections, lines })
}

fn ended(report: &Report, json: bool) -> Done {
    tell(json, report, || report.to_string())?;
    Ok(if report.wrong > 0 { Exit::Failed } else { Exit::Ok })
}

/// `tekd-load lookup`.
pub(crate) fn lookup(arguments: &LookupArguments, json: bool) -> Done {
    let target = Target::of(&arguments.server, arguments.run.seed)?;
    let lookups = target.lookups(&arguments.keys)?;
    target.run(&arguments.run, arguments.train, Box::new(lookups), json)
}

/// `tekd-load checkpoint`.
pub(crate) fn checkpoint(arguments: &AskArguments, json: bool) -> Done {
    let target = Target::of(&arguments.server, arguments.run.seed)?;
    target.run(&arguments.run, 1, Box::new(target.checkpoints()), json)
}

/// `tekd-load bucket`.
pub(crate) fn bucket(arguments: &BucketArguments, json: bool) -> Done {
    let target = Target::of(&arguments.server, arguments.run.seed)?;
    target.run(&arguments.run, 1, Box::new(target.buckets(arguments.bits)?), json)
}

/// `tekd-load sync`.
pub(crate) fn sync(arguments: &AskArguments, json: bool) -> Done {
    let target = Target::of(&arguments.server, arguments.run.seed)?;
    target.run(&arguments.run, 1, Box::new(target.syncs()?), json)
}

/// `tekd-load mixed`.
pub(crate) fn mixed(arguments: &MixedArguments, json: bool) -> Done {
    let target = Target::of(&arguments.server, arguments.run.seed)?;
    let share = |(kind, weight): &(Kind, u32)| -> Result<Share, Failure> {
        let (name, traffic): (_, Box<dyn Traffic>) = match kind {
            Kind::Lookup => ("lookup", Box::new(target.lookups(&arguments.keys)?)),
            Kind::Checkpoint => ("checkpoint", Box::new(target.checkpoints())),
            Kind::Bucket => ("bucket", Box::new(target.buckets(None)?)),
            Kind::Sync => ("sync", Box::new(target.syncs()?)),
        };
        Ok(Share { name, weight: *weight, traffic })
    };
    let shares = arguments.mix.iter().map(share).collect::<Result<_, _>>()?;
    target.run(&arguments.run, 1, Box::new(Mixed::new(shares, target.seed)), json)
}

/// `tekd-load dns`.
pub(crate) fn dns(arguments: &DnsArguments, json: bool) -> Done {
    let server = resolve(&arguments.server)?;
    let names = Names::read(&arguments.names).map_err(misused)?;
    let mut questions = DnsQuestions::new(Arc::new(names), arguments.run.seed);
    let report = measure(&plan(&arguments.run, server, arguments.pid, 1)?, &mut questions)?;
    ended(&report, json)
}

/// The keys that are in the set, and the part of the questions that asks for them.
fn hits(arguments: &KeysArguments) -> Result<(Vec<Key>, f64), Failure> {
    match &arguments.keys {
        Some(file) => Ok((read_keys(file).map_err(failed)?, arguments.hit_ratio)),
        None => {
            if arguments.hit_ratio > 0.0 {
                eprintln!(
                    "without --keys no key of the set is known: only random keys are asked for, hit ratio 0"
                );
            }
            Ok((Vec::new(), 0.0))
        }
    }
}

/// A transaction id that another run hardly has.
fn txid() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
