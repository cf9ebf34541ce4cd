//! Servers side by side: the same generator, the same machine, runs alternated, so that only ratios count.
//!
//! Machines have fast and slow states that last minutes. So each round runs every server once, one after the
//! other, and the ratio to the echo is taken within the round; what is told is the median over the rounds.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::comparison::{Comparison, Numbers, Part, Row};
use crate::core_times::watching;
use crate::course::Course;
use crate::data_cache::{CacheError, KnownData};
use crate::lookups::{Lookups, LookupsError};
use crate::machine::Machine;
use crate::measure::{MeasureError, Plan, measure};
use crate::pace::Pace;
use crate::peers::{Casting, Entrant, Peer, PeerError, Player};
use crate::progress::Progress;
use crate::report::Report;
use crate::sizes::short;
use crate::stage::{Stage, StageError};
use crate::xdp_measure::measure_by_xdp;

/// A question without an answer for so long is lost, and its place in the window with it until then.
const PATIENCE: Duration = Duration::from_millis(200);
/// Before each run: caches and the processor's clock settle.
const WARM_UP: Duration = Duration::from_millis(200);

/// What is compared.
#[derive(Debug, Clone)]
pub struct CompareOptions {
    /// With whom.
    pub peers: Vec<Peer>,
    /// Keys in the set, for each row of tekd.
    pub keys: Vec<u64>,
    /// Whether tekd also takes part on AF_XDP, as a row more for each size.
    pub xdp: bool,
    /// Names in the zone of the name servers.
    pub names: u64,
    /// What each server is put through.
    pub courses: Vec<Course>,
    /// Seed of keys, names and questions.
    pub seed: u64,
    /// Newest day of new keys, the interval it starts at.
    pub newest_day: u32,
    /// Length of each run.
    pub length: Duration,
    /// Rounds.
    pub runs: usize,
    /// Part of the keys asked for that is in the set.
    pub hit_ratio: f64,
    /// How long the echo looks for more before it waits; tekd does so for its own time unless this is zero.
    pub spin: Duration,
    /// Where data directories are kept; without it they are made anew.
    pub data_cache: Option<PathBuf>,
    /// The server.
    pub tekd: PathBuf,
    /// This program, for the echo.
    pub own: PathBuf,
    /// When it begins, RFC 3339.
    pub date: String,
    /// The command, without directories.
    pub command: String,
}

/// Why nothing is compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The data.
    #[error(transparent)]
    Data(#[from] CacheError),
    /// A temporary directory.
    #[error("a temporary directory: {0}")]
    Io(#[from] io::Error),
    /// Cores and networks.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A server.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The questions.
    #[error(transparent)]
    Lookups(#[from] LookupsError),
    /// A run.
    #[error("{name}: {source}")]
    Measure {
        /// The server's row.
        name: String,
        /// Why not.
        source: MeasureError,
    },
}

/// Starts the servers, lets them answer in turn, and ends them.
///
/// # Errors
/// [`CompareError`].
pub fn compare(options: &CompareOptions) -> Result<Comparison, CompareError> {
    let dir = tempfile::tempdir()?;
    let data = all_data(options, dir.path())?;
    let machine = Machine::this();
    let mut stage = Stage::set()?;
    let entrants = enter_all(options, dir.path(), &data, &mut stage)?;
    let mut parts = rounds(options, &stage, &entrants)?;
    let full = parts.iter().position(|part| part.course == Course::Full.name());
    let versions =
        entrants.iter().filter_map(|entrant| Some((entrant.name.clone(), entrant.version.clone()?)));
    Ok(Comparison {
        date: options.date.clone(),
        machine,
        command: options.command.clone(),
        versions: versions.collect(),
        runs: options.runs,
        seconds: options.length.as_secs_f64(),
        hit_ratio: options.hit_ratio,
        names: options.names,
        pinned: stage.pinned(),
        network: if stage.has_networks() { "veth" } else { "loopback" },
        rows: full.map(|at| parts.remove(at).rows).unwrap_or_default(),
        also: parts,
        idle: None,
    })
}

/// A data directory for each row of tekd, made before anything is measured.
fn all_data(options: &CompareOptions, dir: &Path) -> Result<Vec<Data>, CompareError> {
    let made = dir.join("data");
    let cache = options.data_cache.as_deref().unwrap_or(&made);
    let mut all = Vec::new();
    for keys in &options.keys {
        // A directory serves one server: the row on AF_XDP has its own.
        let of_xdp = options.xdp.then(|| ("tekd-xdp", cache.join("xdp")));
        for (name, cache) in [("tekd", cache.to_path_buf())].into_iter().chain(of_xdp) {
            let data = KnownData::find_or_make(&cache, *keys, options.seed, options.newest_day)?;
            all.push(Data { name: format!("{name}-{}", short(*keys)), data, xdp: name != "tekd" });
        }
    }
    Ok(all)
}

/// The data of one row of tekd.
struct Data {
    name: String,
    data: KnownData,
    xdp: bool,
}

/// Starts every server, the echo first.
fn enter_all(
    options: &CompareOptions,
    dir: &Path,
    data: &[Data],
    stage: &mut Stage,
) -> Result<Vec<Entrant>, CompareError> {
    let mut casting = Casting {
        stage,
        dir,
        seed: options.seed,
        names: options.names,
        spin: options.spin,
        own: &options.own,
        tekd: &options.tekd,
    };
    let lookups = data.iter().map(|Data { data, .. }| {
        let hits = Arc::new(data.hits());
        Lookups::new(data.trust.service, data.set, hits, options.hit_ratio, 1, options.seed)
    });
    let lookups: Vec<Lookups> = lookups.collect::<Result<_, _>>()?;
    let mut entrants = Vec::new();
    if let Some(lookups) = lookups.first().filter(|_| options.peers.contains(&Peer::Echo)) {
        entrants.push(casting.echo(lookups.clone())?);
    }
    for peer in &options.peers {
        match (peer, lookups.first()) {
            (Peer::Echo, _) | (Peer::EchoXdp, None) => {}
            (Peer::EchoXdp, Some(lookups)) => entrants.push(casting.echo_xdp(lookups.clone())?),
            (name_server, _) => entrants.push(casting.name_server(*name_server)?),
        }
    }
    for (Data { name, data, xdp }, lookups) in data.iter().zip(&lookups) {
        entrants.push(casting.tekd(name.clone(), data, lookups, *xdp)?);
    }
    Ok(entrants)
}

/// The reports of one server on one course.
struct Track<'a> {
    entrant: &'a Entrant,
    course: Course,
    reports: Vec<Report>,
}

fn rounds(options: &CompareOptions, stage: &Stage, entrants: &[Entrant]) -> Result<Vec<Part>, CompareError> {
    // All servers on one course, then the next: what is compared lies close in time.
    let mut tracks: Vec<Track<'_>> = options
        .courses
        .iter()
        .flat_map(|course| entrants.iter().map(move |entrant| (entrant, *course)))
        .map(|(entrant, course)| Track { entrant, course, reports: Vec::new() })
        .collect();
    let progress = Progress::new("runs", (tracks.len() * options.runs) as u64);
    for round in 0..options.runs {
        // There and back: whoever comes first in one round comes last in the next.
        let backwards = round % 2 == 1;
        let last = tracks.len().saturating_sub(1);
        for at in 0..tracks.len() {
            let Track { entrant, course, reports } = &mut tracks[if backwards { last - at } else { at }];
            if let Ok(player) = &entrant.player
                && let Some(report) = run(options, stage, player, *course)
                    .map_err(|source| CompareError::Measure { name: entrant.name.clone(), source })?
            {
                reports.push(report);
            }
            progress.advance(1);
        }
    }
    let part = |course: &Course| Part {
        course: course.name(),
        title: course.title(),
        fills: course.fills(),
        rows: rows(&tracks, *course),
    };
    Ok(options.courses.iter().map(part).collect())
}

/// One run with its warm-up; `None` if the course is not for what the server is asked.
fn run(
    options: &CompareOptions,
    stage: &Stage,
    player: &Player,
    course: Course,
) -> Result<Option<Report>, MeasureError> {
    let Some(mut questions) = player.questions.with_keys(course.keys()) else { return Ok(None) };
    let plan = Plan {
        server: player.server.udp,
        pace: course.pace(),
        length: options.length,
        patience: PATIENCE,
        pid: Some(player.server.pid()),
        spin: stage.pinned() && !course.fills(),
        train: course.train(),
    };
    let warm_up = Plan { length: WARM_UP, ..plan.clone() };
    let by_xdp =
        player.asked_from.as_ref().filter(|_| matches!((plan.pace, plan.train), (Pace::Window(_), 1)));
    let mut ask = |plan: &Plan| match by_xdp {
        Some(interface) => measure_by_xdp(plan, interface, &mut *questions),
        None => measure(plan, &mut *questions),
    };
    ask(&warm_up)?;
    let (report, core_busy) = watching(stage.servers_core(), || ask(&plan));
    Ok(Some(Report { core_busy, ..report? }))
}

fn rows(tracks: &[Track<'_>], course: Course) -> Vec<Row> {
    let on_course = || tracks.iter().filter(|track| track.course == course);
    let by_name = |name| on_course().find(|track| track.entrant.name == name).map(|t| &t.reports[..]);
    let (echo, echo_xdp) = (by_name(Peer::Echo.name()), by_name(Peer::EchoXdp.name()));
    let row = |track: &Track<'_>| {
        let name = track.entrant.name.clone();
        match &track.entrant.player {
            Err(why) => Some(Row::absent(name, why.clone())),
            Ok(_) if track.reports.is_empty() => None,
            Ok(player) => {
                let start_s = player.server.started_in.as_secs_f64();
                let of_xdp = name.contains("xdp") && echo_xdp.is_some_and(|reports| !reports.is_empty());
                let echo = if of_xdp { echo_xdp } else { echo };
                Some(Row::of(name, course.fills(), Numbers::of(&track.reports, echo, start_s)))
            }
        }
    };
    on_course().filter_map(row).collect()
}
