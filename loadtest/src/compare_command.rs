//! `tekd-load compare`, done: results on stdout and in files.

use tekd::service::control::Exit;
use tekd::service::timetext::format_time;

use crate::compare::{CompareError, CompareOptions, compare};
use crate::compare_arguments::CompareArguments;
use crate::data_directory::default_newest_day;
use crate::ending::{Done, failed, failure, misused, tell};
use crate::measure::MeasureError;
use crate::naming::server_program;
use crate::results::keep;
use crate::times::now;

/// `tekd-load compare`.
pub(crate) fn compare_peers(arguments: &CompareArguments, json: bool) -> Done {
    let courses = arguments.courses();
    if courses.is_empty() {
        return Err(misused("nothing is left to measure: --no-throughput and no other course"));
    }
    let options = CompareOptions {
        peers: arguments.peers.clone(),
        keys: arguments.keys.clone(),
        xdp: arguments.xdp,
        names: arguments.names,
        courses,
        seed: arguments.seed,
        newest_day: default_newest_day(now()),
        length: arguments.duration,
        runs: arguments.runs.into(),
        hit_ratio: arguments.hit_ratio,
        spin: arguments.spin,
        data_cache: arguments.data_cache.clone(),
        tekd: server_program(arguments.tekd.as_deref())?,
        own: std::env::current_exe().map_err(failed)?,
        date: format_time(now()),
        command: arguments.command(),
    };
    let comparison = compare(&options).map_err(|e| match e {
        CompareError::Measure { source: MeasureError::Silent { .. }, .. } => failure(Exit::Unreachable)(&e),
        other => failed(other),
    })?;
    tell(json, &comparison, || comparison.to_string())?;
    let page = keep(&arguments.out, "compare", &comparison).map_err(failed)?;
    eprintln!("kept in {}", page.display());
    Ok(if comparison.has_wrong() { Exit::Failed } else { Exit::Ok })
}
