//! The parts of a run, one module each: measured, judged, and made into tables and plots.

mod calls;
mod command;
mod contended;
mod crash;
mod fair;
mod hand_off;
mod idle;
mod reasons;
mod restart;
mod simulator;
mod stampede;
mod uncontended;

use std::cell::RefCell;
use std::io::{self, Write};

use crate::args::Part;
use crate::error::{Error, chain};
use crate::figures::Section;
use crate::place::Places;
use crate::stats::Summary;
use crate::subject::{Kind, OURS, Programs, Subject};

/// What every part works with.
pub(crate) struct Bench {
    pub(crate) programs: Programs,
    pub(crate) places: Places,
    /// Those that are there.
    pub(crate) subjects: Vec<Subject>,
    pub(crate) quick: bool,
    /// Who fell out of the part that runs, and why.
    pub(crate) notes: RefCell<Vec<String>>,
}

/// Measures a part.
pub(crate) fn measure(part: Part, bench: &Bench) -> Result<Section, Error> {
    let measure = match part {
        Part::Uncontended => uncontended::measure,
        Part::Calls => calls::measure,
        Part::Command => command::measure,
        Part::HandOff => hand_off::measure,
        Part::Crash => crash::measure,
        Part::Contended => contended::measure,
        Part::Fair => fair::measure,
        Part::Idle => idle::measure,
        Part::Stampede => stampede::measure,
        Part::Restart => restart::measure,
        Part::Simulator => simulator::measure,
    };
    let mut section = measure(bench)?;
    for note in bench.notes.take() {
        section.text.push_str(&format!("\n\nNot measured to the end: {note}."));
    }
    Ok(section)
}

impl Bench {
    /// One value for trying, another for the page.
    pub(crate) fn scale<T>(&self, quick: T, whole: T) -> T {
        match self.quick {
            true => quick,
            false => whole,
        }
    }

    /// Tells whoever watches.
    pub(crate) fn progress(&self, line: &str) {
        // With stderr gone there is nobody to be told.
        let _ = writeln!(io::stderr(), "  {line}");
    }

    /// What a subject failed at is written down; only ours must not fail.
    pub(crate) fn tolerate<T>(
        &self,
        subject: &Subject,
        outcome: Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(error) if subject.kind == Kind::Ours => Err(error),
            Err(error) => {
                let note = format!("{} ({})", subject.name, chain(&error));
                self.progress(&note);
                self.notes.borrow_mut().push(note);
                Ok(None)
            }
        }
    }
}

/// The value of a subject, or not-a-number.
pub(crate) fn of<T>(all: &[(Subject, T)], name: &str, value: impl Fn(&T) -> f64) -> f64 {
    let found = all.iter().find(|(subject, _)| subject.name == name);
    found.map_or(f64::NAN, |(_, figures)| value(figures))
}

/// Whoever is best, ours aside.
pub(crate) fn best<T>(
    all: &[(Subject, T)],
    is_rival: impl Fn(&Subject) -> bool,
    value: impl Fn(&T) -> f64,
) -> Option<(&'static str, f64)> {
    let rivals = all.iter().filter(|(subject, _)| subject.kind != Kind::Ours && is_rival(subject));
    let values = rivals.map(|(subject, figures)| (subject.name, value(figures)));
    values.filter(|(_, value)| value.is_finite()).max_by(|one, other| one.1.total_cmp(&other.1))
}

/// The series of each in few numbers, fastest first.
pub(crate) fn ranked(all: &[(Subject, Vec<f64>)]) -> Vec<(&Subject, Summary)> {
    let mut rows: Vec<_> = all.iter().map(|(subject, all)| (subject, Summary::of(all))).collect();
    rows.sort_by(|one, other| one.1.median.total_cmp(&other.1.median));
    rows
}

/// What a subject is, in a table.
pub(crate) fn named(subject: &Subject) -> String {
    match subject.name {
        OURS => "**ours**".to_owned(),
        "fleet" => "**fleet lock run**".to_owned(),
        name => name.to_owned(),
    }
}
