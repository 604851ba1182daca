//! `faults run`: records which calls each life makes, then lives it once for each call and
//! each fault.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lock_tests::document::write_part;

use crate::args::RunArgs;
use crate::error::Error;
use crate::fault::Fault;
use crate::judge::{Case, Cell, judge};
use crate::life::Life;
use crate::outcome::Outcome;
use crate::process::Tampering;
use crate::report::{Report, say};
use crate::rules::{RULES, Rule};
use crate::scenario::Scenario;
use crate::site::{Site, sites};
use crate::stage::{Programs, programs};
use crate::templates::Templates;
use crate::trace::Call;

/// What the document says before there is a matrix in it.
const HEAD: &str = "# Faults at every call\n";

/// How often to try again when a call was not where it had been: other threads and other
/// processes may come in between; and a search through `/proc` is as long as there are processes.
const ATTEMPTS: usize = 12;

/// A life whose calls are known.
pub(crate) struct Recorded {
    pub(crate) scenario: Scenario,
    pub(crate) sites: Vec<Site>,
    /// Everything that it does, when nothing happens.
    usual: Vec<Call>,
}

/// What became of one cell.
pub(crate) struct Run {
    /// Which life, by its place in the matrix.
    pub(crate) life: usize,
    /// Which of its calls.
    pub(crate) site: usize,
    pub(crate) fault: Fault,
    pub(crate) verdict: Result<Cell, Vec<String>>,
    /// How long the next contender took.
    pub(crate) recovery: Duration,
}

/// Runs the matrix.
pub(crate) fn run(args: &RunArgs) -> Result<(), Error> {
    if args.write.is_some() && !args.is_whole() {
        return Err(Error::Needs { what: "the whole matrix, to write it".to_owned() });
    }
    let programs = programs(args.fleet.as_deref())?;
    let root = tempfile::tempdir().map_err(Error::system("create", "a temporary directory"))?;
    let begun = Instant::now();
    let templates = Templates::make(&programs, root.path())?;
    let stages = Stages { programs: &programs, templates: &templates, root: root.path() };
    let lives: Vec<_> =
        args.scenarios().map(|scenario| stages.record(scenario)).collect::<Result<_, _>>()?;
    let faults = args.columns();
    let runs = stages.run_all(&lives, &faults)?;
    let report = Report { lives: &lives, faults: &faults, runs: &runs };
    say(&report.summary(begun.elapsed()))?;
    if let Some(path) = &args.write {
        write_part(path, HEAD, "matrix", &report.to_string())
            .map_err(Error::system("write", path))?;
    }
    if args.is_whole() {
        no_idle_rule(&lives)?;
    }
    let red = runs.iter().filter(|run| run.verdict.is_err()).count();
    match red {
        0 => Ok(()),
        count => Err(Error::Red { count, of: runs.len(), kept: root.keep() }),
    }
}

/// A rule that no call meets says nothing, and nobody would notice if it were wrong.
fn no_idle_rule(lives: &[Recorded]) -> Result<(), Error> {
    let mut met = BTreeSet::new();
    for Recorded { scenario, sites, .. } in lives {
        let rules = sites.iter().filter_map(|site| Rule::of(site, scenario.subject));
        met.extend(rules.map(Rule::number));
    }
    match (0..RULES.len()).find(|number| !met.contains(number)) {
        None => Ok(()),
        Some(number) => Err(Error::IdleRule { number: number + 1 }),
    }
}

struct Stages<'a> {
    programs: &'a Programs,
    templates: &'a Templates,
    root: &'a Path,
}

impl Stages<'_> {
    /// Lives a life twice, undisturbed: it must make the same calls.
    fn record(&self, scenario: Scenario) -> Result<Recorded, Error> {
        let mut last: Option<Vec<Site>> = None;
        let mut words = Vec::new();
        for attempt in 0..ATTEMPTS {
            let name = format!("{}-record-{attempt}", scenario.directory());
            let (outcome, calls) = self.live(&scenario, &name, None)?;
            let sites = sites(&calls, scenario.window, scenario.work());
            if sites.is_empty() {
                let how = format!("it makes no calls: {outcome:?}");
                return Err(Error::Part { what: scenario.name, how });
            }
            words.push(shown(&sites));
            if last.as_ref().is_some_and(|last| are_alike(last, &sites)) {
                return Ok(Recorded { scenario, sites, usual: calls });
            }
            last = Some(sites);
        }
        let mut words = words.into_iter().rev();
        let (one, other) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        Err(Error::Unsteady { scenario: scenario.name, one, other })
    }

    /// Where the same calls are by now.
    fn record_anew(
        &self,
        scenario: &Scenario,
        name: &str,
        sites: Vec<Site>,
        usual: Vec<Call>,
    ) -> Result<(Vec<Site>, Vec<Call>), Error> {
        let (_, calls) = self.live(scenario, name, None)?;
        let _ = fs::remove_dir_all(self.root.join(name));
        let found = crate::site::sites(&calls, scenario.window, scenario.work());
        Ok(if are_alike(&found, &sites) { (found, calls) } else { (sites, usual) })
    }

    /// Every cell, several at a time: they wait more than they work.
    fn run_all(&self, lives: &[Recorded], faults: &[Fault]) -> Result<Vec<Run>, Error> {
        let cells: Vec<_> = lives
            .iter()
            .enumerate()
            .flat_map(|(life, recorded)| (0..recorded.sites.len()).map(move |site| (life, site)))
            .flat_map(|(life, site)| faults.iter().map(move |fault| (life, site, *fault)))
            .collect();
        let (next, runs) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let worker = || -> Result<(), Error> {
            while let Some((life, site, fault)) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                let Some(recorded) = lives.get(*life) else { return Ok(()) };
                let run = self.cell(recorded, *life, *site, *fault)?;
                runs.lock().unwrap_or_else(PoisonError::into_inner).push(run);
            }
            Ok(())
        };
        let count = 2 * thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..count).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| {
                let how = "a thread of it panicked".to_owned();
                let crash = |_| Err(Error::Part { what: "the matrix", how });
                worker.join().unwrap_or_else(crash)
            })
        })?;
        let mut runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
        runs.sort_by_key(|run| (run.life, run.site, faults.iter().position(|f| *f == run.fault)));
        Ok(runs)
    }

    fn cell(
        &self,
        recorded: &Recorded,
        life: usize,
        site: usize,
        fault: Fault,
    ) -> Result<Run, Error> {
        let Recorded { scenario, sites, usual } = recorded;
        let (mut sites, mut usual) = (sites.clone(), usual.clone());
        let mut attempt = 0;
        loop {
            let Some(at) = sites.get(site) else {
                let how = "it has no such call".to_owned();
                return Err(Error::Part { what: scenario.name, how });
            };
            attempt += 1;
            let name = format!("{}-{}-{fault}-{attempt}", scenario.directory(), site + 1);
            let (outcome, _) =
                self.live(scenario, &name, Some(Tampering { site: at, fault, usual: &usual }))?;
            if !outcome.hit && attempt < ATTEMPTS {
                let _ = fs::remove_dir_all(self.root.join(&name));
                (sites, usual) =
                    self.record_anew(scenario, &format!("{name}-anew"), sites, usual)?;
                continue;
            }
            let run = self.root.to_string_lossy();
            let case = Case {
                site: at,
                fault,
                subject: scenario.subject,
                is_anothers: scenario.other.keeps_the_lock(),
                run: &run,
            };
            let verdict = judge(&case, &outcome);
            let recovery = outcome.next.took;
            if let Err(complaints) = &verdict {
                let facts = self.root.join(&name).join("outcome");
                fs::write(&facts, format!("{outcome:#?}\n"))
                    .map_err(Error::system("write", &facts))?;
                say(&format!(
                    "{}, call {}: {} (`{}`, {}), {fault}:\n    {}",
                    scenario.name,
                    site + 1,
                    at.what,
                    at.name,
                    at.phase,
                    complaints.join("\n    "),
                ))?;
            } else {
                let _ = fs::remove_dir_all(self.root.join(&name));
            }
            return Ok(Run { life, site, fault, verdict, recovery });
        }
    }

    fn live(
        &self,
        scenario: &Scenario,
        name: &str,
        tampering: Option<Tampering<'_>>,
    ) -> Result<(Outcome, Vec<Call>), Error> {
        let before = self.templates.before(scenario.before);
        let life = Life::begin(scenario, self.programs, self.root.join(name), before, tampering)?;
        life.live()
    }
}

/// Whether these are the same calls in the same order. How many of their names came before may be
/// another's business.
fn are_alike(some: &[Site], others: &[Site]) -> bool {
    let alike = |(one, other): (&Site, &Site)| *one == Site { nth: one.nth, ..other.clone() };
    some.len() == others.len() && some.iter().zip(others).all(alike)
}

fn shown(sites: &[Site]) -> String {
    let words: Vec<_> = sites.iter().map(|site| format!("{} {}", site.what, site.nth)).collect();
    words.join(", ")
}
