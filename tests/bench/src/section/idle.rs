//! What waiters cost that only wait.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{Bench, named, of};
use crate::crew::Peer;
use crate::error::Error;
use crate::figures::{Bar, Goal, Plot, Section, Shape, Table};
use crate::place::Medium;
use crate::stats::{digits, in_units, real};
use crate::subject::{Home, Kind, OURS, Subject};

const WAITERS: usize = 50;

/// What one waiter costs.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// Milliseconds of a processor, a minute.
    cpu: f64,
    /// How often it woke, a second.
    wakes: f64,
    /// Its share of the memory, in kB.
    pss: f64,
    /// What would be free without it, in kB.
    private: f64,
    seconds: f64,
}

/// What a process has used, or has.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu_ns: u64,
    switches: u64,
    pss: u64,
    private: u64,
}

/// Looks at waiters of each.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut costs = Vec::new();
    for subject in &bench.subjects {
        let whole = if subject.kind == Kind::Ours { 60 } else { 10 };
        let lasts = Duration::from_secs(bench.scale(2, whole));
        if let Some(cost) = bench.tolerate(subject, waiting(bench, subject, lasts))? {
            bench.progress(&format!("{WAITERS} waiters of {} looked at", subject.name));
            costs.push((*subject, cost));
        }
    }
    let text = format!(
        "{WAITERS} waiters wait for a lock that is held: ours for 60 s, the others for 10 s. \
         Processor time and voluntary context switches of all threads from the first look to the \
         last, memory at the end. Of what is called as a program, the program and its children \
         are looked at; of all others the whole peer, with the interpreter that it runs in."
    );
    let title = "Idle".to_owned();
    let (tables, goals) = (vec![table(&costs)], goals(&costs));
    Ok(Section { title, text, tables, goals, plots: vec![plot(&costs)] })
}

fn waiting(bench: &Bench, subject: &Subject, lasts: Duration) -> Result<Cost, Error> {
    let lock = bench.places.lock(Medium::Disk)?;
    let mut holder = bench.programs.start(subject, &lock)?;
    holder.acquire()?;
    let start = |_| {
        let mut peer = bench.programs.start(subject, &lock)?;
        peer.tell("acquire")?;
        Ok(peer)
    };
    let crew = (0..WAITERS).map(start).collect::<Result<Vec<Peer>, Error>>()?;
    // Until all have started and settled down: nothing tells that of somebody else's program.
    thread::sleep(Duration::from_secs(bench.scale(3, 6)));
    let pids: Vec<_> = crew.iter().flat_map(|peer| looked_at(subject, peer.pid())).collect();
    if pids.len() < WAITERS {
        return Err(Error::Failure(format!("only {} of {} wait", pids.len(), subject.name)));
    }
    let begun = Instant::now();
    let before = total(&pids);
    thread::sleep(lasts);
    let after = total(&pids);
    let seconds = begun.elapsed().as_secs_f64();
    let each = real(WAITERS);
    Ok(Cost {
        cpu: in_units(after.cpu_ns.saturating_sub(before.cpu_ns), 1e6) / each / seconds * 60.0,
        wakes: in_units(after.switches.saturating_sub(before.switches), 1.0) / each / seconds,
        pss: in_units(after.pss, 1.0) / each,
        private: in_units(after.private, 1.0) / each,
        seconds,
    })
}

/// The peer, or all that it calls.
fn looked_at(subject: &Subject, peer: u32) -> Vec<u32> {
    match subject.home {
        Home::Called => descendants(peer),
        _ => vec![peer],
    }
}

fn descendants(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|list| {
            list.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<_>>()
        })
        .collect();
    children.into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

fn total(pids: &[u32]) -> Usage {
    pids.iter().map(|pid| usage(*pid)).fold(Usage::default(), |sum, one| Usage {
        cpu_ns: sum.cpu_ns + one.cpu_ns,
        switches: sum.switches + one.switches,
        pss: sum.pss + one.pss,
        private: sum.private + one.private,
    })
}

/// Of all threads. What has ended has used nothing more.
fn usage(pid: u32) -> Usage {
    let read = |path: String| fs::read_to_string(path).unwrap_or_default();
    let mut usage = Usage::default();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let task = task.path();
        let stat = read(format!("{}/schedstat", task.display()));
        let ran = stat.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        usage.cpu_ns += ran.unwrap_or(0);
        usage.switches +=
            field(&read(format!("{}/status", task.display())), "voluntary_ctxt_switches");
    }
    let memory = read(format!("/proc/{pid}/smaps_rollup"));
    usage.pss = field(&memory, "Pss");
    usage.private = field(&memory, "Private_Clean") + field(&memory, "Private_Dirty");
    usage
}

/// `Name:  12 kB`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn table(costs: &[(Subject, Cost)]) -> Table {
    let head = [
        "subject",
        "CPU ms per waiter-minute",
        "wake-ups per waiter-second",
        "PSS kB each",
        "private kB each",
        "seconds",
    ];
    let mut table = Table::new(format!("One of {WAITERS} waiters"), &head);
    let mut rows: Vec<_> = costs.iter().collect();
    rows.sort_by(|one, other| one.1.cpu.total_cmp(&other.1.cpu));
    for (subject, cost) in rows {
        let numbers = [cost.cpu, cost.wakes, cost.pss, cost.private, cost.seconds].map(digits);
        table.row([named(subject)].into_iter().chain(numbers));
    }
    table
}

fn goals(costs: &[(Subject, Cost)]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (name, who) in [(OURS, "in process"), ("fleet", "fleet lock run")] {
        let goal = |what: &str, value: fn(&Cost) -> f64, limit, unit| {
            Goal::at_most(format!("idle, {who}: {what}"), of(costs, name, value), limit, unit)
        };
        goals.push(goal("CPU per waiter-minute", |cost| cost.cpu, 2.0, " ms"));
        goals.push(goal("wake-ups per waiter-second", |cost| cost.wakes, 1.0, ""));
        goals.push(goal("memory of each, PSS", |cost| cost.pss, 1024.0, " kB"));
    }
    goals
}

fn plot(costs: &[(Subject, Cost)]) -> Plot {
    let mut bars: Vec<_> = costs
        .iter()
        .map(|(subject, cost)| Bar {
            name: subject.name.to_owned(),
            low: cost.cpu,
            middle: cost.cpu,
            high: cost.cpu,
        })
        .collect();
    bars.sort_by(|one, other| one.middle.total_cmp(&other.middle));
    let shape = Shape::Bars { unit: "CPU ms per waiter-minute", bars };
    Plot { file: "idle", title: "Idle cost of a waiter", shape }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "nonvoluntary_ctxt_switches:\t7\nvoluntary_ctxt_switches:\t5\nPss:   12 kB\n";
        assert_eq!(field(text, "voluntary_ctxt_switches"), 5);
        assert_eq!((field(text, "Pss"), field(text, "Rss")), (12, 0));
    }

    #[test]
    fn a_process_sees_that_it_lives() {
        let usage = usage(std::process::id());
        assert!(usage.cpu_ns > 0 && usage.pss > 0, "{usage:?}");
    }
}
