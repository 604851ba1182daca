//! A whole fleet restarted: under the lock, by the same commands without it, and by one call
//! of the service manager.

mod bare;
mod home;
mod locked;
mod manager;

use std::time::Instant;

use super::Bench;
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::stats::{Summary, digits, ratio};
use home::Home;
use locked::Locked;
use manager::Manager;

/// How many agents.
const SIZES: [usize; 3] = [10, 50, 200];

/// One way to restart them, in milliseconds, restart by restart.
struct Way {
    name: &'static str,
    times: Vec<f64>,
}

/// All ways of one supervisor with so many agents; the first is ours.
struct Fleet {
    supervisor: &'static str,
    size: usize,
    ways: Vec<Way>,
    /// The lock's own time around the same commands, in hundredths of theirs.
    lock: Vec<f64>,
}

const OURS: &str = "fleet restart";
const TOGETHER: &str = "fleet restart --jobs, all at once";
const BARE: &str = "the same commands without the lock";
const SINGLE: &str = "one systemctl restart of all units";

/// Restarts fleets of each size under each supervisor.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut fleets = Vec::new();
    for size in bench.scale(&SIZES[..1], &SIZES[..]) {
        fleets.push(processes(bench, *size)?);
        bench.progress(&format!("restart: {size} processes"));
        fleets.push(units(bench, *size)?);
        bench.progress(&format!("restart: {size} units"));
    }
    let text = "`fleet restart --settle 0ms` of agents that only sleep, each way in its turn. \
                For `process` the same commands are: ask each agent to end, wait for it, start \
                it anew with its log. For `systemd` they are the very command lines that `fleet \
                restart` calls, as a first restart showed, called again one after the other. The \
                user manager is a real one of the run's own. The agents' units are part of the \
                holder's, so the manager restarts them with it, and `fleet` looks at each; with \
                `--jobs` at all of them at once, so that is compared with one call for all units. \
                The lock's own time is measured around the same commands: it is taken, each of \
                them is a fenced step, as `fleet` has it, and it is released; all that these \
                calls take, without the commands in them, is put beside the commands. What \
                `fleet` takes more than the bare commands is all that it does beside them: \
                starting itself, reading the roster, the lock, the plan's standing, the journal."
        .to_owned();
    let goals = fleets.iter().flat_map(goals).collect();
    let tables = vec![table(&fleets)];
    Ok(Section { title: "Restart".to_owned(), text, tables, goals, plots: Vec::new() })
}

fn processes(bench: &Bench, size: usize) -> Result<Fleet, Error> {
    let home = Home::make(bench, "process", size)?;
    home.fleet(&["start", "--settle", "0ms"])?;
    let mut agents = bare::Agents::start(&home, size)?;
    let mut ways = [OURS, BARE].map(|name| Way { name, times: Vec::new() });
    let mut lock = Vec::new();
    for _ in 0..bench.scale(2, 9) {
        let [ours, same] = &mut ways;
        ours.add(|| home.fleet(&["restart", "--settle", "0ms"]))?;
        same.add(|| agents.restart())?;
        lock.push(share(Locked::run(&home, |held| agents.restart_under(held))?));
    }
    home.fleet(&["stop"])?;
    Ok(Fleet { supervisor: "process", size, ways: ways.into(), lock })
}

fn units(bench: &Bench, size: usize) -> Result<Fleet, Error> {
    let home = Home::make(bench, "systemd", size)?;
    let _manager = Manager::start(&home)?;
    home.fleet(&["start", "--settle", "0ms"])?;
    let calls = home.recorded(&["restart", "--settle", "0ms"])?;
    let units = home.units(size);
    let single = [
        &["systemctl", "--user", "restart"][..],
        &units.iter().map(String::as_str).collect::<Vec<_>>(),
    ]
    .concat();
    let mut ways = [OURS, BARE, TOGETHER, SINGLE].map(|name| Way { name, times: Vec::new() });
    let mut lock = Vec::new();
    let jobs = size.to_string();
    for _ in 0..bench.scale(2, 5) {
        let [ours, same, together, one] = &mut ways;
        ours.add(|| home.fleet(&["restart", "--settle", "0ms"]))?;
        together.add(|| home.fleet(&["restart", "--settle", "0ms", "--jobs", &jobs]))?;
        same.add(|| calls.iter().try_for_each(|call| home.call_leniently(call)))?;
        one.add(|| home.call(&single))?;
        lock.push(share(Locked::run(&home, |held| {
            calls.iter().try_for_each(|call| held.step(|| home.call_leniently(call)))
        })?));
    }
    home.fleet(&["stop"])?;
    Ok(Fleet { supervisor: "systemd", size, ways: ways.into(), lock })
}

fn share((lock, commands): (f64, f64)) -> f64 {
    lock / commands * 100.0
}

impl Way {
    fn add(&mut self, restart: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let begun = Instant::now();
        restart()?;
        self.times.push(begun.elapsed().as_secs_f64() * 1e3);
        Ok(())
    }
}

impl Fleet {
    fn ratio(&self, one: &str, other: &str) -> f64 {
        let times = |name| self.ways.iter().find(|way| way.name == name).map(|way| &way.times);
        let (Some(ones), Some(others)) = (times(one), times(other)) else { return f64::NAN };
        ratio(ones, others)
    }
}

fn goals(fleet: &Fleet) -> Vec<Goal> {
    let name = |what: &str| format!("restart, {} agents, {}: {what}", fleet.size, fleet.supervisor);
    let lock = Summary::of(&fleet.lock).median;
    let more = digits((fleet.ratio(OURS, BARE) - 1.0) * 100.0);
    let mut goals = vec![
        Goal::at_most(name("the lock's own time"), lock, 1.0, " % of the commands'")
            .noting(&format!("all that fleet does: {more} % more than the bare commands")),
    ];
    if fleet.supervisor == "systemd" {
        let ratio = fleet.ratio(TOGETHER, SINGLE);
        goals.push(Goal::at_most(name("all at once against the single call"), ratio, 1.2, " ×"));
    }
    goals
}

fn table(fleets: &[Fleet]) -> Table {
    let head =
        ["supervisor", "agents", "restarted by", "median ms", "lowest", "highest", "ours is"];
    let mut table = Table::new("Milliseconds a restart of the whole fleet", &head);
    for fleet in fleets {
        for way in &fleet.ways {
            let summary = Summary::of(&way.times);
            let numbers = [summary.median, summary.min, summary.max].map(digits);
            let ratio = format!("{} ×", digits(fleet.ratio(OURS, way.name)));
            let named = [fleet.supervisor.to_owned(), fleet.size.to_string(), way.name.to_owned()];
            table.row(named.into_iter().chain(numbers).chain([ratio]));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_judged_by_its_own_time_and_not_by_all_that_fleet_does() {
        let way = |name, times: &[f64]| Way { name, times: times.to_vec() };
        let ways = vec![
            way(OURS, &[100.9, 202.0]),
            way(BARE, &[50.0, 100.0]),
            way(TOGETHER, &[61.0, 61.0]),
            way(SINGLE, &[50.0, 50.0]),
        ];
        let lock = vec![0.3, 0.9, 2.0];
        let goals = goals(&Fleet { supervisor: "systemd", size: 10, ways, lock });
        let holds: Vec<_> = goals.iter().map(|goal| goal.holds).collect();
        assert_eq!(holds, [Some(true), Some(false)]);
    }
}
