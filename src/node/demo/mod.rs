//! `tekd demo`: six days of an origin, every step verified by the client library and told in a line.
//!
//! It is a story for newcomers and a test of the whole: the real writer, journal, builder, gate and client
//! on a stepped clock in a temporary directory. The first phones come over real sockets, later ones in
//! memory. Secret keys are drawn by the system; everything that shows in a number is the same in every run.
//! It does not know the operators' programs: what they do by the control socket, it does by calling the
//! writer.

mod error;
mod story;
mod package;
mod model;
mod door;
mod world;
mod life;
mod first_day;
mod second_day;
mod patient;
mod third_day;
mod mistakes;
mod last_day;

use std::io::Write;
use std::path::PathBuf;

pub use error::DemoError;

use life::Life;
use package::KeyPackage;
use story::{Story, counted};
use world::START;

/// What the demo is asked for.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// Keys from this export package instead of generated ones.
    pub package: Option<PathBuf>,
    /// Leave the temporary directory where it is.
    pub keep: bool,
}

/// Lives the demo and tells it to `out`.
///
/// # Errors
/// The first thing that could not be done or did not hold; what was told before it held.
pub fn run(options: &DemoOptions, out: &mut dyn Write) -> Result<(), DemoError> {
    let package = KeyPackage::load(options.package.as_deref(), START)?;
    let mut story = Story::new(out);
    story.say(
        "Six days of January 2026 in the life of a tekd origin, on a stepped clock (UTC), in a temporary",
    )?;
    story
        .say("directory. What phones get is verified by the client library; a line is told once it held.")?;
    story.say("")?;
    let mut life = Life::begin(package, story)?;
    let lived = live(&mut life);
    let Life { world, mut story, .. } = life;
    let kept = world.end(options.keep)?;
    if lived.is_ok() {
        story.say("")?;
    }
    if let Some(dir) = kept {
        story.say(format_args!("The directory is kept: {}", dir.display()))?;
    }
    let releases = lived?;
    story.say(format_args!(
        "All of it held: {}, three phones and a public node agree on every key.",
        counted(releases.into(), "release")
    ))?;
    story.say("Next: README.md shows how it is built and tested; `tekd serve --data DIR` runs an origin of your own,")?;
    story.say(
        "`tekd serve --help` says how, and `tekd demo --package FILE.zip` lives this with keys of yours.",
    )
}

/// The days in order. Returns the number of releases.
fn live(life: &mut Life<'_>) -> Result<u32, DemoError> {
    life.found()?;
    let released = life.import()?;
    life.fetch(&released)?;
    life.look_up()?;
    life.quiet_hour()?;
    life.first_night()?;
    let reported = life.report()?;
    life.catch_up()?;
    life.withdraw(&reported)?;
    life.embargo()?;
    let office = life.provider()?;
    let first = life.submit(&office)?;
    life.amend(&first)?;
    life.cancel(&office)?;
    life.withdraw_report(&office)?;
    life.revoke(&office, &first)?;
    life.wake(&first)?;
    let behind = life.days_pass()?;
    life.prove_log()?;
    life.restart()?;
    life.public_node(&behind)?;
    life.rebuild()?;
    Ok(life.serial())
}
