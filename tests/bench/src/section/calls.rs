//! The system calls of an uncontended cycle: how many, which, and what each is for.

use std::fs;
use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};
use lock_tests::strace::traced;

use super::reasons::reason;
use super::{Bench, named};
use crate::crew::{PATIENCE, Peer};
use crate::error::Error;
use crate::figures::{Goal, Section, Table};
use crate::peer::Script;
use crate::place::Medium;
use crate::stats::{digits, in_units};
use crate::subject::{Home, OURS, Subject};

/// What a lock must not wait for in a cycle.
const SYNCS: [&str; 4] = ["fsync", "fdatasync", "sync", "syncfs"];

/// Counts the calls of all, and gives ours their reasons.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let mut counts = Vec::new();
    for subject in bench.subjects.iter().filter(|subject| subject.home != Home::Called) {
        if let Some(calls) = bench.tolerate(subject, count(bench, subject))? {
            counts.push((*subject, calls));
        }
    }
    let script = Script::read(&listing(bench, Medium::Disk)?)?;
    let ours = counts.iter().find(|(subject, _)| subject.name == OURS);
    let ours = ours.map_or(&[][..], |(_, calls)| calls.as_slice());
    let text = "`strace -c` over all threads of a peer, the calls of 220 cycles less those of \
                20, so that what happens once falls out. The calls of one cycle of ours follow \
                in their order, on the thread that acquires."
        .to_owned();
    let tables = vec![table(&counts), reasons(&script)];
    let title = "System calls of a cycle".to_owned();
    Ok(Section { title, text, tables, goals: goals(&script, ours), plots: Vec::new() })
}

fn goals(script: &Script, counted: &[(String, f64)]) -> Vec<Goal> {
    let unexplained: Vec<_> = script
        .calls
        .iter()
        .filter(|call| reason(&call.name, &call.file).is_none())
        .map(|call| format!("{} {}", call.name, call.file))
        .collect();
    let found = match unexplained.is_empty() {
        true => format!("{} calls, each with its reason", script.calls.len()),
        false => format!("without a reason: {}", unexplained.join(", ")),
    };
    let explained = unexplained.is_empty() && !script.calls.is_empty();
    let syncs = counted.iter().filter(|(name, _)| SYNCS.contains(&name.as_str()));
    let syncs: f64 = syncs.map(|(_, times)| times).sum();
    vec![
        Goal::must("calls", "none without a reason", found, explained),
        // A block of generations is reserved with one, once in thousands of cycles.
        Goal::at_most("calls: fsync on the cycle", syncs, 0.01, ""),
    ]
}

/// The calls of a cycle, by how often; most frequent first.
fn count(bench: &Bench, subject: &Subject) -> Result<Vec<(String, f64)>, Error> {
    const FEW: u32 = 20;
    const MANY: u32 = 220;
    let (few, many) = (tally(bench, subject, FEW)?, tally(bench, subject, MANY)?);
    let mut calls = Vec::new();
    for (name, times) in many {
        let once = few.iter().find(|(other, _)| *other == name).map_or(0, |(_, times)| *times);
        let each = in_units(times.saturating_sub(once), f64::from(MANY - FEW));
        if each >= 0.005 {
            calls.push((name, each));
        }
    }
    calls.sort_by(|one, other| other.1.total_cmp(&one.1));
    Ok(calls)
}

/// What `strace -c` counted over a whole life.
fn tally(bench: &Bench, subject: &Subject, cycles: u32) -> Result<Vec<(String, u64)>, Error> {
    let lock = bench.places.lock(Medium::Disk)?;
    let summary = bench.places.directory(Medium::Disk)?.join("summary");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-o", summary.as_str()]);
    let peer = bench.programs.command(subject, &lock);
    let mut peer =
        Peer::start(subject.name, command.arg(peer.get_program()).args(peer.get_args()))?;
    peer.cycles(cycles.into())?;
    peer.dismiss();
    let text = fs::read_to_string(&summary).map_err(Error::system("read", &summary))?;
    Ok(text.lines().filter_map(line).collect())
}

/// `% time, seconds, usecs/call, calls, [errors], syscall`.
fn line(line: &str) -> Option<(String, u64)> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let ([_, _, _, calls, name] | [_, _, _, calls, _, name]) = fields.as_slice() else {
        return None;
    };
    let calls = calls.parse().ok()?;
    (*name != "total").then(|| ((*name).to_owned(), calls))
}

/// The calls of some of our cycles, one by one.
pub(super) fn listing(bench: &Bench, medium: Medium) -> Result<Utf8PathBuf, Error> {
    let lock = bench.places.lock(medium)?;
    let listing = bench.places.directory(Medium::Disk)?.join("listing");
    let mut command = traced(&bench.programs.own("lock-bench"), &listing, &[]);
    command.args(["peer", OURS, lock.as_str()]);
    let mut peer = Peer::start(OURS, &mut command)?;
    peer.tell("trace 12")?;
    peer.hear("traced", PATIENCE)?;
    peer.dismiss();
    Ok(listing)
}

/// A peer that calls what is listed.
pub(super) fn replay(bench: &Bench, listing: &Utf8Path, medium: Medium) -> Result<Peer, Error> {
    let lock = bench.places.lock(medium)?;
    let mut command = Command::new(bench.programs.own("lock-bench"));
    command.args(["peer", "replay", lock.as_str(), "--listing", listing.as_str()]);
    Peer::start("same calls", &mut command)
}

fn table(counts: &[(Subject, Vec<(String, f64)>)]) -> Table {
    let mut table = Table::new("Calls a cycle, all threads", &["subject", "calls", "which"]);
    let sum = |calls: &[(String, f64)]| calls.iter().map(|(_, times)| times).sum::<f64>();
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by(|one, other| sum(&one.1).total_cmp(&sum(&other.1)));
    for (subject, calls) in rows {
        let which = calls.iter().take(12).map(|(name, times)| format!("{name} {}", short(*times)));
        let which = which.collect::<Vec<_>>().join(", ");
        table.row([named(subject), digits(sum(calls)), which]);
    }
    table
}

/// Whole numbers without digits behind the point.
fn short(times: f64) -> String {
    match (times - times.round()).abs() < 0.02 {
        true => format!("{times:.0}"),
        false => format!("{times:.2}"),
    }
}

fn reasons(script: &Script) -> Table {
    let head = ["", "call", "of", "why it is needed"];
    let mut table = Table::new("Each call of one cycle of ours", &head);
    for (call, number) in script.calls.iter().zip(1..) {
        let why = reason(&call.name, &call.file).unwrap_or("**no reason is known**");
        let file =
            if call.file.contains('<') { format!("`{}`", call.file) } else { call.file.clone() };
        table.row([format!("{number}"), call.name.clone(), file, why.to_owned()]);
    }
    for (name, times) in &script.left_out {
        let what = "not part of *same calls*: it cannot be called again by itself";
        table.row(["", name, &format!("{times} times"), what]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_errors_and_without() {
        let text = " 12.34    0.000123           1       220           flock\n\
                     1.00    0.000010           1       440       220 openat\n\
                    100.00    0.000133           1       660       220 total\n";
        let found: Vec<_> = text.lines().filter_map(line).collect();
        assert_eq!(found, [("flock".to_owned(), 220), ("openat".to_owned(), 440)]);
    }

    #[test]
    fn a_sync_on_the_cycle_is_a_failure() {
        let goals = goals(&Script::default(), &[("fsync".to_owned(), 1.0)]);
        assert_eq!(goals[1].holds, Some(false));
    }

    #[test]
    fn a_cycle_without_a_call_is_no_cycle() {
        assert_eq!(goals(&Script::default(), &[])[0].holds, Some(false));
    }
}
