//! The figures of a torture as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use lock_tests::checker::Figures;

use crate::error::Error;
use crate::place::Place;

/// What the conductor has done.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    pub(crate) restarts: u64,
    pub(crate) stops: u64,
    pub(crate) long_stops: u64,
    pub(crate) full_disks: u64,
}

/// The figures of all rounds, a column for each place.
pub(crate) struct Report {
    columns: Vec<Column>,
}

#[derive(Default)]
struct Column {
    name: &'static str,
    counts: BTreeMap<String, u64>,
    last: u64,
    slowest: Duration,
    violations: BTreeMap<&'static str, usize>,
}

/// The rows that stand at the top, and are there even if they are 0.
const FIRST: [&str; 12] = [
    "rounds",
    "sections",
    "steps",
    "children",
    "kills",
    "sections cut off by a kill",
    "stops",
    "stops longer than stale_after",
    "full disks",
    "takeovers: OwnerDied",
    "takeovers: Silent",
    "takeovers: TimedOut",
];

/// The rules of the checker, in words for the table.
const RULES: [(&str, &str); 10] = [
    ("consent", "**owners replaced without their consent**"),
    ("overlap", "**overlaps of the work of unbroken owners**"),
    ("settle", "**owners at work beside what one before has left**"),
    ("order", "**generations that went back**"),
    ("step", "**steps that interleaved**"),
    ("unique", "**tokens or generations given out twice**"),
    ("end", "**work after death, or without end**"),
    ("told", "**losses not reported, or invented**"),
    ("failure", "**failures without a cause**"),
    ("leftovers", "**rounds that left something behind**"),
];

impl Report {
    pub(crate) fn new(places: &[Place]) -> Self {
        let column = |place: &Place| Column { name: place.name, ..Column::default() };
        Self { columns: places.iter().map(column).collect() }
    }

    /// The largest generation that was given out in a place.
    pub(crate) fn last(&self, place: &str) -> u64 {
        self.columns.iter().find(|column| column.name == place).map_or(0, |column| column.last)
    }

    pub(crate) fn add(&mut self, place: &str, figures: Figures, tally: &Tally, clean: Duration) {
        let Some(column) = self.column(place) else { return };
        let done = [
            ("rounds", 1),
            ("kills", tally.kills),
            ("workers started again", tally.restarts),
            ("stops", tally.stops),
            ("stops longer than stale_after", tally.long_stops),
            ("full disks", tally.full_disks),
        ];
        let done = done.into_iter().map(|(what, times)| (what.to_owned(), times));
        for (what, times) in figures.counts.into_iter().chain(done) {
            *column.counts.entry(what).or_default() += times;
        }
        for violation in figures.violations {
            *column.violations.entry(violation.rule).or_default() += 1;
        }
        column.last = figures.last;
        column.slowest = column.slowest.max(clean);
    }

    pub(crate) fn left_behind(&mut self, place: &str) {
        if let Some(column) = self.column(place) {
            *column.violations.entry("leftovers").or_default() += 1;
        }
    }

    pub(crate) fn violations(&self) -> usize {
        self.columns.iter().flat_map(|column| column.violations.values()).sum()
    }

    fn column(&mut self, place: &str) -> Option<&mut Column> {
        self.columns.iter_mut().find(|column| column.name == place)
    }

    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        cell: impl Fn(&Column) -> String,
    ) -> fmt::Result {
        write!(f, "| {what} |")?;
        self.columns.iter().try_for_each(|column| write!(f, " {} |", cell(column)))?;
        writeln!(f)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.row(f, "", |column| column.name.to_owned())?;
        self.row(f, "---", |_| "---:".to_owned())?;
        let others = self.columns.iter().flat_map(|column| column.counts.keys());
        let others: BTreeSet<_> = others.map(String::as_str).collect();
        let others = others.into_iter().filter(|what| !FIRST.contains(what));
        for what in FIRST.into_iter().chain(others) {
            let cell = |column: &Column| column.counts.get(what).copied().unwrap_or(0).to_string();
            self.row(f, what, cell)?;
        }
        self.row(f, "last generation", |column| column.last.to_string())?;
        self.row(f, "slowest clean cycle afterwards, process start included", |column| {
            format!("{} ms", column.slowest.as_millis())
        })?;
        for (rule, words) in RULES {
            let cell =
                |column: &Column| column.violations.get(rule).copied().unwrap_or(0).to_string();
            self.row(f, words, cell)?;
        }
        Ok(())
    }
}

/// One line, or a table, for whoever reads standard output.
pub(crate) fn say(words: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{words}").map_err(Error::system("write", "standard output"))
}
