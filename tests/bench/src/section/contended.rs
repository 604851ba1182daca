//! Many processes that want the lock all the time.

use std::fs;

use lock_bench_peer::now_ns;

use super::{Bench, best, named, of};
use crate::crew::{PATIENCE, Peer};
use crate::error::Error;
use crate::figures::{Goal, Plot, Section, Shape, Table};
use crate::judge::{Judged, judge, parse};
use crate::place::Medium;
use crate::stats::{MICRO, MILLI, Summary, digits, in_units, real};
use crate::subject::{BLOCKED_FLOCK, Home, Kind, OURS, Subject};

/// How many processes.
pub(super) const CROWDS: [usize; 4] = [2, 8, 32, 128];

/// Who is drawn; with all of them the plot would show nothing.
const DRAWN: [&str; 8] =
    [OURS, BLOCKED_FLOCK, "robust", "gix-lock", "pidlock", "filelock", "original", "fslock-pid"];

/// One round of one subject.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) judged: Judged,
    /// What all used of the processors, in nanoseconds.
    cpu: u64,
    /// How often two counted the same.
    lost: u64,
    pub(super) seconds: f64,
}

impl Round {
    fn acquisitions(&self) -> f64 {
        real(self.judged.turns) / self.seconds
    }

    fn changes(&self) -> f64 {
        real(self.judged.changes) / self.seconds
    }

    /// Microseconds of the processors for each change of owner.
    fn cost(&self) -> f64 {
        in_units(self.cpu, MICRO) / real(self.judged.changes).max(1.0)
    }

    pub(super) fn excluded(&self) -> bool {
        self.judged.overlaps == 0 && self.lost == 0
    }
}

/// The rounds of each.
type Crowd = Vec<(Subject, Vec<Round>)>;

/// Measures every crowd.
pub(crate) fn measure(bench: &Bench) -> Result<Section, Error> {
    let sizes = bench.scale(&CROWDS[..2], &CROWDS[..]);
    let mut crowds = Vec::new();
    for size in sizes {
        crowds.push((*size, crowd(bench, *size)?));
    }
    let text = "Each process acquires, adds one to a number in a file that all share, says so in \
                a log that all share, releases, and begins again, for 2 s in each of 3 rounds \
                (one round where each acquire is a process or the peer an interpreter, from 32 \
                on). That work takes a dozen microseconds; were it much shorter than opening a \
                file, the processes would hardly meet. Look at the owner changes, not at the acquisitions: a \
                lock that lets the same process take it again and again looks fast and starves \
                everyone else. Exclusion is judged by the instants at which each had the lock \
                and by the number in the file; what broke it in any round is nobody's rival. Median of the rounds; the spread is lowest to \
                highest, and the turns are those of the last."
        .to_owned();
    let title = "Contended".to_owned();
    let tables = crowds.iter().map(|(size, crowd)| table(*size, crowd)).collect();
    let goals = goals(&crowds);
    let plots = vec![
        plot("changes", "Owner changes", "owner changes a second", &crowds, Round::changes),
        plot("cost", "CPU per owner change", "CPU µs per owner change", &crowds, Round::cost),
    ];
    Ok(Section { title, text, tables, goals, plots })
}

fn crowd(bench: &Bench, size: usize) -> Result<Crowd, Error> {
    let mut crowd: Crowd = bench.subjects.iter().map(|subject| (*subject, Vec::new())).collect();
    let window = bench.scale(500, 2000) * 1_000_000;
    for number in 0..bench.scale(1, 3) {
        for (subject, rounds) in &mut crowd {
            let is_light = matches!(subject.home, Home::Here | Home::Rust);
            if number > 0 && size >= 32 && !is_light {
                continue;
            }
            let outcome = round(bench, subject, size, window);
            if let Some(round) = bench.tolerate(subject, outcome)? {
                rounds.push(round);
            }
        }
        bench.progress(&format!("contended, {size}: round {} done", number + 1));
    }
    Ok(crowd)
}

/// So many processes for so many nanoseconds.
pub(super) fn round(
    bench: &Bench,
    subject: &Subject,
    size: usize,
    window: u64,
) -> Result<Round, Error> {
    let lock = bench.places.lock(Medium::Disk)?;
    let desk = bench.places.directory(Medium::Disk)?;
    let counter = desk.join("counter");
    fs::write(&counter, [0; 8]).map_err(Error::system("write", &counter))?;
    let start = |_| bench.programs.start(subject, &lock);
    let mut crew = (0..size).map(start).collect::<Result<Vec<Peer>, Error>>()?;
    // Each has loaded what it needs.
    for peer in &mut crew {
        peer.cycles(1)?;
    }
    let begin = now_ns() + 50_000_000;
    let until = begin + window;
    for (peer, index) in crew.iter_mut().zip(0..) {
        peer.tell(&format!("contend {begin} {until} {desk}/{index} {counter}"))?;
    }
    let (mut turns, mut cpu, mut taken) = (Vec::new(), 0, 0);
    for (peer, index) in crew.iter_mut().zip(0..) {
        let [count, used] = peer.numbers("contended", PATIENCE)?;
        let log = desk.join(format!("{index}"));
        let text = fs::read_to_string(&log).map_err(Error::system("read", &log))?;
        let Some(its) = parse(index, &text) else {
            return Err(Error::Failure(format!("{log} is no log")));
        };
        turns.extend(its);
        cpu += used;
        taken += count;
    }
    let counted = fs::read(&counter).map_err(Error::system("read", &counter))?;
    let counted = counted.try_into().map_or(0, u64::from_le_bytes);
    crew.into_iter().for_each(Peer::dismiss);
    let _ = fs::remove_dir_all(&desk);
    let judged = judge(turns, size, until);
    let lost = taken.abs_diff(counted);
    let round = Round { judged, cpu, lost, seconds: in_units(window, 1e9) };
    if subject.kind == Kind::Ours && !round.excluded() {
        let (overlaps, lost) = (round.judged.overlaps, round.lost);
        let name = subject.name;
        return Err(Error::Broken(format!(
            "{name} did not exclude: {overlaps} overlaps, {lost} lost counts of {size} processes"
        )));
    }
    Ok(round)
}

fn median(rounds: &[Round], value: impl Fn(&Round) -> f64) -> f64 {
    Summary::of(&rounds.iter().map(value).collect::<Vec<_>>()).median
}

fn table(size: usize, crowd: &Crowd) -> Table {
    let head = [
        "subject",
        "owner changes/s",
        "spread",
        "acquisitions/s",
        "CPU µs per owner change",
        "most / fewest turns",
        "longest wait ms",
        "exclusion",
    ];
    let mut table = Table::new(format!("{size} processes"), &head);
    let mut rows: Vec<_> = crowd.iter().filter(|(_, rounds)| !rounds.is_empty()).collect();
    rows.sort_by(|one, other| {
        median(&other.1, Round::changes).total_cmp(&median(&one.1, Round::changes))
    });
    for (subject, rounds) in rows {
        let changes = Summary::of(&rounds.iter().map(Round::changes).collect::<Vec<_>>());
        table.row([
            named(subject),
            digits(changes.median),
            format!("{}–{}", digits(changes.min), digits(changes.max)),
            digits(median(rounds, Round::acquisitions)),
            digits(median(rounds, Round::cost)),
            rounds.last().map(shares).unwrap_or_default(),
            digits(median(rounds, |round| in_units(round.judged.longest, MILLI))),
            exclusion(rounds),
        ]);
    }
    table
}

fn shares(round: &Round) -> String {
    format!("{} / {}", round.judged.most(), round.judged.fewest())
}

fn exclusion(rounds: &[Round]) -> String {
    let overlaps: usize = rounds.iter().map(|round| round.judged.overlaps).sum();
    let lost: u64 = rounds.iter().map(|round| round.lost).sum();
    match (overlaps, lost) {
        (0, 0) => "held".to_owned(),
        _ => format!("**broken**: {overlaps} overlaps, {lost} lost counts"),
    }
}

fn goals(crowds: &[(usize, Crowd)]) -> Vec<Goal> {
    let mut goals = Vec::new();
    let changes = |rounds: &Vec<Round>| median(rounds, Round::changes);
    let taken = |rounds: &Vec<Round>| median(rounds, Round::acquisitions);
    // What lets two in at once is fast, and no rival.
    let if_excluded = |rounds: &Vec<Round>, value: fn(&Round) -> f64| {
        let excluded = rounds.iter().all(Round::excluded);
        if excluded { median(rounds, value) } else { f64::NAN }
    };
    for (size, crowd) in crowds {
        let mut add = |what: &str, ours, best| {
            goals.push(Goal::ahead(format!("contended, {size}: {what}"), ours, best));
        };
        let owner = of(crowd, OURS, changes);
        add(
            "owner changes/s",
            owner,
            best(crowd, |_| true, |rounds| if_excluded(rounds, Round::changes)),
        );
        let rivals = best(crowd, Subject::takes_over_or_records, |rounds| {
            if_excluded(rounds, Round::acquisitions)
        });
        add("acquisitions/s", of(crowd, OURS, taken), rivals);
    }
    if let [(first, few), .., (last, many)] = crowds {
        let ratio = |value: fn(&Round) -> f64| {
            let of = |crowd: &Crowd| of(crowd, OURS, |rounds| median(rounds, value));
            of(many) / of(few)
        };
        let name = |what: &str| format!("contended, {first} to {last}: {what}");
        let kept = ratio(Round::changes);
        goals.push(Goal::at_least(name("owner changes/s kept"), kept, 0.8, " ×"));
        let grown = ratio(Round::cost);
        goals.push(Goal::at_most(name("CPU per owner change"), grown, 1.3, " ×"));
    }
    goals
}

fn plot(
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    crowds: &[(usize, Crowd)],
    value: fn(&Round) -> f64,
) -> Plot {
    let line = |name: &&str| {
        let points = crowds
            .iter()
            .map(|(size, crowd)| (real(*size), of(crowd, name, |rounds| median(rounds, value))));
        let points: Vec<_> = points.filter(|(_, value)| value.is_finite()).collect();
        ((*name).to_owned(), points)
    };
    let series = DRAWN.iter().map(line).filter(|(_, points)| !points.is_empty()).collect();
    Plot { file, title, shape: Shape::Lines { unit, series } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::SUBJECTS;

    /// One second in which the lock was taken and handed over so often.
    fn round(turns: usize, changes: usize, cpu_ms: u64) -> Round {
        let judged = Judged { turns, changes, ..Judged::default() };
        Round { judged, cpu: cpu_ms * 1_000_000, lost: 0, seconds: 1.0 }
    }

    fn crowd(figures: &[(&str, Round)]) -> Crowd {
        let find = |name: &str| SUBJECTS.iter().find(|subject| subject.name == name);
        let find = |name: &str| *find(name).expect("a test names one that there is");
        figures.iter().map(|(name, round)| (find(name), vec![round.clone()])).collect()
    }

    fn holds(goals: &[Goal]) -> Vec<Option<bool>> {
        goals.iter().map(|goal| goal.holds).collect()
    }

    #[test]
    fn kernel_locks_are_rivals_for_owner_changes_only() {
        let ours = round(9_000, 8_000, 100);
        let few = crowd(&[(OURS, ours), ("std", round(60_000, 2_000, 100))]);
        assert_eq!(holds(&goals(&[(2, few)])), [Some(true), None]);
    }

    #[test]
    fn what_does_not_exclude_is_no_rival() {
        let ours = round(9_000, 8_000, 100);
        let broken = Round { lost: 1, ..round(60_000, 20_000, 100) };
        let few = [(OURS, ours), ("pidlock", broken), ("std", round(10, 10, 100))];
        let goals = goals(&[(2, crowd(&few))]);
        assert_eq!(holds(&goals), [Some(true), None]);
        assert!(goals[0].found.contains("std"), "{goals:?}");
    }

    #[test]
    fn what_falls_with_the_crowd_is_found() {
        let few = crowd(&[(OURS, round(1000, 1000, 10))]);
        let many = crowd(&[(OURS, round(790, 790, 12))]);
        let goals = goals(&[(2, few), (128, many)]);
        assert_eq!(holds(&goals[4..]), [Some(false), Some(false)]);
    }

    #[test]
    fn an_overlap_and_a_lost_count_are_no_exclusion() {
        let lost = Round { lost: 1, ..round(5, 5, 1) };
        let mut overlapped = round(5, 5, 1);
        overlapped.judged.overlaps = 1;
        assert!(!lost.excluded() && !overlapped.excluded() && round(5, 5, 1).excluded());
    }
}
