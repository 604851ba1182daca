//! `torture run`: round after round, now on one file system and now on the other.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lock_tests::checker::{Circumstances, Figures, check};
use lock_tests::{Dice, history, now_ns};

use crate::args::RunArgs;
use crate::document;
use crate::error::Error;
use crate::place::Place;
use crate::program;
use crate::report::{Report, say};
use crate::round::Round;

/// So long is a round: short enough that a violation is found soon.
const ROUND: Duration = Duration::from_secs(15);

/// What is left when all is over: the file that remembers the last generation.
const LEFTOVERS: [&str; 1] = ["torture.lock.generation"];

/// Torments, judges, reports.
pub(crate) fn run(args: &RunArgs) -> Result<(), Error> {
    let seed = args.seed.unwrap_or_else(|| now_ns() % 1_000_000_007);
    let limit = Duration::from_secs_f64((args.minutes * 60.0).max(1.0));
    say(&format!(
        "torture: {:.1} minutes, {} contenders, seed {seed}",
        limit.as_secs_f64() / 60.0,
        args.contenders
    ))?;
    // The children of killed workers become ours, so that their end can be waited for.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(Error::system("become", "the reaper of orphans"))?;
    let root = tempfile::tempdir().map_err(Error::system("create", "a temporary directory"))?;
    let places = places(root.path())?;
    let mut report = Report::new(&places);
    let mut dice = Dice::new(seed);
    let begun = Instant::now();
    let mut number = 0;
    let mut histories = root.path().join("histories");
    while begun.elapsed() < limit {
        let left = limit.saturating_sub(begun.elapsed());
        let lasts = ROUND.min(limit / u32::try_from(places.len()).unwrap_or(1)).min(left);
        let Some(place) = places.get(number % places.len().max(1)) else { break };
        histories = root.path().join(format!("histories-{number}"));
        let outcome = one(place, &histories, &mut dice, args.contenders, lasts, &mut report);
        if let Err(error) = outcome {
            keep(root);
            return Err(error);
        }
        number += 1;
    }
    let table = report.to_string();
    say(&table)?;
    if let Some(path) = &args.write {
        let command = format!(
            "cargo xtask torture --minutes {} --contenders {} --seed {seed}",
            args.minutes, args.contenders
        );
        document::write(path, "torture", &command, begun.elapsed(), &table)?;
    }
    match report.violations() {
        0 => Ok(()),
        count => Err(Error::Violations { count, kept: kept(root, &histories) }),
    }
}

/// One round, judged.
fn one(
    place: &Place,
    histories: &Path,
    dice: &mut Dice,
    contenders: u32,
    lasts: Duration,
    report: &mut Report,
) -> Result<(), Error> {
    std::fs::create_dir(histories).map_err(Error::system("create", histories))?;
    let mut round = Round::new(place, histories, Dice::new(dice.roll()), contenders, lasts)?;
    round.torment()?;
    round.calm_down()?;
    let clean_cycle = round.clean_cycle()?;
    let names = place.names()?;
    let sources = history::read(histories).map_err(Error::History)?;
    let circumstances =
        Circumstances { after: report.last(place.name), full_disk: place.can_be_filled() };
    let figures = check(&sources, circumstances);
    for violation in &figures.violations {
        say(&format!("VIOLATION on {}: {violation}", place.name))?;
    }
    let violated = !figures.violations.is_empty();
    let count = figures.violations.len();
    progress(place, &figures)?;
    report.add(place.name, figures, round.tally(), clean_cycle);
    if names != LEFTOVERS {
        say(&format!("VIOLATION on {}: left behind: {names:?}", place.name))?;
        report.left_behind(place.name);
    }
    if violated || names != LEFTOVERS {
        return Err(Error::Violations { count: count.max(1), kept: histories.to_owned() });
    }
    std::fs::remove_dir_all(histories).map_err(Error::system("remove", histories))
}

fn progress(place: &Place, figures: &Figures) -> Result<(), Error> {
    let sections = figures.counts.get("sections").copied().unwrap_or(0);
    let line = format!(
        "  {}: {sections} sections, last generation {}, {} violations",
        place.name,
        figures.last,
        figures.violations.len()
    );
    writeln!(io::stderr(), "{line}").map_err(Error::system("write", "standard error"))
}

fn places(root: &Path) -> Result<Vec<Place>, Error> {
    let disk = Place::on_disk(root)?;
    if program::is_root() {
        return Ok(vec![disk, Place::in_memory(root)?]);
    }
    if program::is_ci() {
        return Err(Error::Needs { what: "root, to mount a small tmpfs, and CI must provide it" });
    }
    say("NOT TESTED HERE: a tmpfs that gets full, which needs root to be mounted")?;
    Ok(vec![disk])
}

/// Leaves the directory where it is, for whoever has to find out.
fn keep(root: tempfile::TempDir) {
    let _ = root.keep();
}

fn kept(root: tempfile::TempDir, histories: &Path) -> PathBuf {
    keep(root);
    histories.to_owned()
}
