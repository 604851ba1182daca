//! The matrix as a document.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::time::Duration;

use crate::error::Error;
use crate::fault::Fault;
use crate::matrix::{Recorded, Run};
use crate::rules::{RULES, Rule};
use crate::site::{Phase, Site};

/// Everything that was run.
pub(crate) struct Report<'a> {
    pub(crate) lives: &'a [Recorded],
    pub(crate) faults: &'a [Fault],
    pub(crate) runs: &'a [Run],
}

impl Report<'_> {
    /// One line for each life, and the totals.
    pub(crate) fn summary(&self, took: Duration) -> String {
        let mut text = String::new();
        for (index, life) in self.lives.iter().enumerate() {
            let runs: Vec<_> = self.runs.iter().filter(|run| run.life == index).collect();
            let red = runs.iter().filter(|run| run.verdict.is_err()).count();
            let (name, calls) = (life.scenario.name, life.sites.len());
            let _ = writeln!(text, "{name:30} {calls:4} calls {:5} runs {red:4} red", runs.len());
        }
        let _ = write!(text, "{}; {:.1} s", self.totals(), took.as_secs_f64());
        text
    }

    fn totals(&self) -> String {
        let calls: usize = self.lives.iter().map(|life| life.sites.len()).sum();
        let red = self.runs.iter().filter(|run| run.verdict.is_err()).count();
        let slowest = self.runs.iter().map(|run| run.recovery).max().unwrap_or_default();
        format!(
            "{calls} calls, {} runs, {red} otherwise than documented; the slowest recovery took {} \
             ms, process start included",
            self.runs.len(),
            slowest.as_millis()
        )
    }

    fn cell(&self, life: usize, site: usize, fault: Fault) -> String {
        let is_it = |run: &&Run| (run.life, run.site, run.fault) == (life, site, fault);
        match self.runs.iter().find(is_it).map(|run| &run.verdict) {
            None => String::new(),
            Some(Ok(cell)) => cell.to_string(),
            Some(Err(_)) => "**RED**".to_owned(),
        }
    }

    /// The rows of a life. Calls in a row that are alike in everything share one.
    fn rows(&self, index: usize, life: &Recorded) -> Vec<(String, String)> {
        let mut rows: Vec<(usize, usize, String)> = Vec::new();
        for (number, site) in life.sites.iter().enumerate() {
            let Site { what, name, phase, .. } = site;
            let cells = self.faults.iter().map(|fault| self.cell(index, number, *fault));
            let cells: Vec<_> = cells.collect();
            let row = format!("{what} | `{name}` | {phase} | {} |", cells.join(" | "));
            match rows.last_mut() {
                Some((_, last, same)) if *same == row => *last = number,
                _ => rows.push((number, number, row)),
            }
        }
        let numbers = |first, last| match first == last {
            true => format!("{}", first + 1),
            false => format!("{}–{}", first + 1, last + 1),
        };
        rows.into_iter().map(|(first, last, row)| (numbers(first, last), row)).collect()
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for run in self.runs {
            let cell = run.verdict.as_ref().map_or("red".to_owned(), ToString::to_string);
            *counts.entry(cell).or_default() += 1;
        }
        counts
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}.\n", self.totals())?;
        let counts = self.counts();
        let counts: Vec<_> = counts.iter().map(|(cell, n)| format!("{n} `{cell}`")).collect();
        writeln!(f, "Outcomes: {}.\n", counts.join(", "))?;
        rules(f)?;
        let titles: Vec<_> = self.faults.iter().map(ToString::to_string).collect();
        for (index, life) in self.lives.iter().enumerate() {
            writeln!(f, "\n### {}\n\n{}\n", life.scenario.name, life.scenario.about)?;
            writeln!(f, "| | call | | when | {} |", titles.join(" | "))?;
            writeln!(f, "|---:|---|---|---|{}", "---|".repeat(titles.len()))?;
            for (numbers, row) in self.rows(index, life) {
                writeln!(f, "| {numbers} | {row}")?;
            }
        }
        Ok(())
    }
}

fn rules(f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "| call | when | an error there | why |\n|---|---|---|---|")?;
    for rule in &RULES {
        writeln!(f, "| {} | {} | {} | {} |", rule.calls(), rule.when(), rule.then, rule.why)?;
    }
    Ok(())
}

impl Rule {
    fn calls(&self) -> String {
        let verbs: Vec<_> = self.verbs.iter().map(ToString::to_string).collect();
        let objects: Vec<_> = self.objects.iter().map(ToString::to_string).collect();
        match (verbs.is_empty(), objects.is_empty()) {
            (true, true) => "any".to_owned(),
            (true, false) => format!("any on {}", objects.join(", ")),
            (false, true) => verbs.join(", "),
            (false, false) => format!("{} {}", verbs.join(", "), objects.join(", ")),
        }
    }

    fn when(&self) -> String {
        let mut words: Vec<_> = self.phases.iter().map(ToString::to_string).collect();
        words.extend(self.subjects.iter().map(ToString::to_string));
        let inside = self.inside.map(|inside| if inside { "in the mutex" } else { "outside it" });
        words.extend(inside.map(str::to_owned));
        words.join(", ")
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// One line, or a table, for whoever reads standard output.
pub(crate) fn say(words: &str) -> Result<(), Error> {
    writeln!(io::stdout(), "{words}").map_err(Error::system("write", "standard output"))
}
