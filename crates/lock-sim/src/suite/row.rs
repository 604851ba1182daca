//! The table, row by row.

use std::fmt::{self, Display};

/// A row with what came of it.
#[derive(Clone, Debug)]
pub struct Row {
    pub(super) subject: &'static str,
    pub(super) scope: String,
    /// How many states there are.
    pub states: usize,
    pub(super) depth: usize,
    pub(super) properties: usize,
    /// As it was expected.
    pub good: bool,
    pub(super) result: String,
    /// What the search kept of all its states, in bytes.
    pub bytes: usize,
    /// The shortest ways to what broke, in words.
    pub traces: Vec<String>,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// The head.
    #[must_use]
    pub fn head() -> String {
        let numbers: [&dyn Display; 3] = [&"states", &"depth", &"properties"];
        columns(&title_columns("subject", "scope"), numbers, &"result")
    }
}

impl Row {
    /// What it begins with: the subject and the scope.
    #[must_use]
    pub fn title_columns(&self) -> String {
        title_columns(self.subject, &self.scope)
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: [&dyn Display; 3] = [&self.states, &self.depth, &self.properties];
        f.write_str(&columns(&self.title_columns(), numbers, &self.result))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Self::head())?;
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

pub(super) fn title_columns(subject: &str, scope: &str) -> String {
    format!("{subject:<20} {scope:<50}")
}

fn columns(
    title: &str,
    [states, depth, properties]: [&dyn Display; 3],
    result: &dyn Display,
) -> String {
    format!("{title} {states:>9} {depth:>6} {properties:>10}  {result}")
}
