//! Everything that is explored, and what must come of it.

mod build;
mod known;
mod ours;
mod row;
mod run;
mod subjects;

use lock_core::policy::PolicyError;

use crate::explore::{Explored, explore};
use crate::property::Property;
use crate::scope::{Scope, Universe};
use crate::words::tell;

pub use known::Known;
pub use row::{Row, Table};
pub use run::run_all;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Whose rules.
    pub subject: &'static str,
    /// What must come of it.
    pub expected: Expected,
    /// Only in the deep run.
    pub deep: bool,
    /// Where to stop.
    pub limit: usize,
    /// Whether it is known not to come to its end before that.
    pub bounded: bool,
    /// What is explored.
    pub scope: Scope,
}

/// What must come of an exploration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Every property holds in every state.
    Holds,
    /// The known bug is found: the scope's property breaks. Names the bug.
    Breaks(&'static str),
}

/// Every case, in the order of the table.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = ours::cases();
    cases.extend(subjects::cases());
    cases
}

impl Case {
    /// Subject and scope.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}: {}", self.subject, self.scope.name)
    }

    /// The same as the row begins with.
    #[must_use]
    pub fn columns(&self) -> String {
        row::title_columns(self.subject, &self.scope.name)
    }

    /// Explores it.
    ///
    /// # Errors
    ///
    /// When the scope's settings do not fit together.
    pub fn run(&self) -> Result<Row, PolicyError> {
        let universe = Universe::new(self.scope.clone())?;
        let explored = explore(&universe, self.limit);
        let title = self.title();
        let traces = explored.found.iter();
        Ok(Row {
            subject: self.subject,
            scope: self.scope.name.clone(),
            states: explored.states,
            depth: explored.depth,
            properties: self.scope.properties.len(),
            good: self.is_good(&explored),
            result: self.result(&explored),
            bytes: explored.bytes,
            traces: traces
                .map(|(property, trace)| {
                    let story = tell(&universe, trace);
                    format!("{title}: {property}\n{story}")
                })
                .collect(),
        })
    }

    fn is_good(&self, explored: &Explored) -> bool {
        match self.expected {
            Expected::Holds => explored.found.is_empty() && (explored.complete || self.bounded),
            Expected::Breaks(_) => !explored.found.is_empty(),
        }
    }

    fn result(&self, explored: &Explored) -> String {
        let steps = explored.found.values().map(|trace| trace.actions.len()).min();
        match (self.expected, steps) {
            (Expected::Holds, None) if explored.complete => "all hold".to_owned(),
            (Expected::Holds, None) if self.bounded => "none broken so far, cut off".to_owned(),
            (Expected::Holds, None) => "none broken, NOT COMPLETE".to_owned(),
            (Expected::Holds, Some(_)) => {
                let broken = explored.found.keys().copied().map(Property::name);
                format!("BROKEN: {}", broken.collect::<Vec<_>>().join("; "))
            }
            (Expected::Breaks(hole), Some(steps)) => format!("{hole} found, {steps} steps"),
            (Expected::Breaks(hole), None) => format!("{hole} NOT FOUND"),
        }
    }
}
