//! The table as it was last reviewed.

use super::{Case, Row, Table};

/// The rows that a change to the protocol or to the model has to answer for: how many
/// states there are says as much about it as a diff.
#[derive(Clone, Debug)]
pub struct Known(String);

impl Known {
    /// The committed table.
    #[must_use]
    pub fn committed() -> Self {
        Self(include_str!("../../table.txt").to_owned())
    }

    /// As it is in the file now, which an update of other rows may have changed since.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn on_disk() -> std::io::Result<Self> {
        std::fs::read_to_string(Self::path()).map(Self)
    }

    /// Where it is committed.
    #[must_use]
    pub const fn path() -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/table.txt")
    }

    /// What it says of the row's scope, if that is not what the row says.
    #[must_use]
    pub fn contradicts(&self, row: &Row) -> Option<&str> {
        match self.row(&row.title_columns()) {
            Some(line) if line == row.to_string() => None,
            Some(line) => Some(line),
            None => Some("nothing"),
        }
    }

    /// The cases' rows: these where there is one, else as they were.
    #[must_use]
    pub fn updated(&self, cases: &[Case], rows: &[Row]) -> String {
        let mut text = format!("{}\n", Table::head());
        for case in cases {
            let title = case.columns();
            let new = rows.iter().find(|row| row.title_columns() == title).map(Row::to_string);
            let line = new.or_else(|| self.row(&title).map(str::to_owned));
            text.extend(line.map(|line| line + "\n"));
        }
        text
    }

    fn row(&self, title: &str) -> Option<&str> {
        self.0.lines().find(|line| line.starts_with(title))
    }
}
