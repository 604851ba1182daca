//! Everything that is explored, and what must come of it.

mod ours;
mod subjects;

use std::fmt::{self, Display};

use lock_core::policy::PolicyError;

use crate::explore::{Explored, explore};
use crate::property::Property;
use crate::scope::{Scope, Universe};
use crate::words::tell;

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

/// A row with what came of it.
#[derive(Clone, Debug)]
pub struct Row {
    subject: &'static str,
    scope: String,
    states: usize,
    depth: usize,
    properties: usize,
    /// As it was expected.
    pub good: bool,
    result: String,
    /// The shortest ways to what broke, in words.
    pub traces: Vec<String>,
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

    /// Explores it.
    ///
    /// # Errors
    ///
    /// When the scope's settings do not fit together.
    pub fn run(&self) -> Result<Row, PolicyError> {
        let universe = Universe::new(self.scope.clone())?;
        let explored = explore(&universe, self.limit);
        let traces = explored.found.iter();
        Ok(Row {
            subject: self.subject,
            scope: self.scope.name.clone(),
            states: explored.states,
            depth: explored.depth,
            properties: self.scope.properties.len(),
            good: self.is_good(&explored),
            result: self.result(&explored),
            traces: traces
                .map(|(property, trace)| {
                    let story = tell(&universe, trace);
                    format!("{}, {}: {property}\n{story}", self.subject, self.scope.name)
                })
                .collect(),
        })
    }

    fn is_good(&self, explored: &Explored) -> bool {
        match self.expected {
            Expected::Holds => explored.found.is_empty() && explored.complete,
            Expected::Breaks(_) => !explored.found.is_empty(),
        }
    }

    fn result(&self, explored: &Explored) -> String {
        let steps = explored.found.values().map(|trace| trace.actions.len()).min();
        match (self.expected, steps) {
            (Expected::Holds, None) if explored.complete => "all hold".to_owned(),
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

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// The head.
    #[must_use]
    pub fn head() -> String {
        columns(&"subject", &"scope", [&"states", &"depth", &"properties"], &"result")
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: [&dyn Display; 3] = [&self.states, &self.depth, &self.properties];
        f.write_str(&columns(&self.subject, &self.scope, numbers, &self.result))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Self::head())?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

fn columns(
    subject: &dyn Display,
    scope: &dyn Display,
    [states, depth, properties]: [&dyn Display; 3],
    result: &dyn Display,
) -> String {
    format!("{subject:<24} {scope:<52} {states:>9} {depth:>6} {properties:>10}  {result}")
}
