//! What a section of the page is made of: tables, goals, plots.

use crate::stats::digits;

/// A part of the page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// How it was measured.
    pub(crate) text: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
    pub(crate) plots: Vec<Plot>,
}

/// A table, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) caption: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { caption: caption.into(), head, rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item: Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

/// A goal, and whether it holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) name: String,
    pub(crate) reach: String,
    pub(crate) found: String,
    /// Nothing if it was not measured.
    pub(crate) holds: Option<bool>,
}

impl Goal {
    /// A figure that must not be larger.
    pub(crate) fn at_most(name: impl Into<String>, found: f64, limit: f64, unit: &str) -> Self {
        Self::judged(name, "≤", found, limit, unit, found <= limit)
    }

    /// A figure that must not be smaller.
    pub(crate) fn at_least(name: impl Into<String>, found: f64, limit: f64, unit: &str) -> Self {
        Self::judged(name, "≥", found, limit, unit, found >= limit)
    }

    /// A figure that must be larger than that of all others.
    pub(crate) fn ahead(name: impl Into<String>, ours: f64, best: Option<(&str, f64)>) -> Self {
        let (name, reach) = (name.into(), "ahead of every such peer".to_owned());
        match best {
            Some((who, other)) if ours.is_finite() => {
                let found = format!("{} against {} of {who}", digits(ours), digits(other));
                Self { name, reach, found, holds: Some(ours > other) }
            }
            _ => Self { name, reach, found: "not measured".to_owned(), holds: None },
        }
    }

    /// Says beside what was found what else explains it.
    #[must_use]
    pub(crate) fn noting(mut self, note: &str) -> Self {
        if self.holds.is_some() {
            self.found = format!("{} ({note})", self.found);
        }
        self
    }

    /// Something that must be so.
    pub(crate) fn must(
        name: impl Into<String>,
        reach: impl Into<String>,
        found: impl Into<String>,
        holds: bool,
    ) -> Self {
        Self { name: name.into(), reach: reach.into(), found: found.into(), holds: Some(holds) }
    }

    fn judged(
        name: impl Into<String>,
        sign: &str,
        found: f64,
        limit: f64,
        unit: &str,
        holds: bool,
    ) -> Self {
        let (name, reach) = (name.into(), format!("{sign} {limit}{unit}"));
        if found.is_nan() {
            return Self { name, reach, found: "not measured".to_owned(), holds: None };
        }
        Self { name, reach, found: format!("{}{unit}", digits(found)), holds: Some(holds) }
    }
}

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plot {
    /// The file's name, without its ending.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// How many of a series' values are at most so large.
    Distribution { unit: &'static str, series: Vec<(String, Vec<f64>)> },
    /// Over the number of contenders.
    Lines { unit: &'static str, series: Vec<(String, Vec<(f64, f64)>)> },
    /// One value each, with the spread.
    Bars { unit: &'static str, bars: Vec<Bar> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) low: f64,
    pub(crate) middle: f64,
    pub(crate) high: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_itself_is_within() {
        assert_eq!(Goal::at_most("cost", 1.3, 1.3, " ×").holds, Some(true));
        assert_eq!(Goal::at_most("cost", 1.31, 1.3, " ×").holds, Some(false));
        assert_eq!(Goal::at_least("gain", 5.0, 5.0, " ×").holds, Some(true));
        assert_eq!(Goal::at_least("gain", 4.99, 5.0, " ×").holds, Some(false));
    }

    #[test]
    fn what_was_not_measured_neither_holds_nor_fails() {
        let goal = Goal::at_most("cost", f64::NAN, 1.3, " ×");
        assert_eq!((goal.holds, goal.found.as_str()), (None, "not measured"));
        assert_eq!(Goal::ahead("turns", 5.0, None).holds, None);
        let goal = Goal::at_most("cost", f64::INFINITY, 1.3, " ×");
        assert_eq!((goal.holds, goal.found.as_str()), (Some(false), "∞ ×"));
    }

    #[test]
    fn a_note_stands_only_beside_a_figure() {
        let found = |figure| Goal::at_most("cost", figure, 1.3, " ×").noting("why").found;
        assert_eq!([found(2.0), found(f64::NAN)], ["2.00 × (why)", "not measured"]);
    }

    #[test]
    fn being_level_is_not_being_ahead() {
        assert_eq!(Goal::ahead("turns", 5.0, Some(("a", 5.0))).holds, Some(false));
        assert_eq!(Goal::ahead("turns", 6.0, Some(("a", 5.0))).holds, Some(true));
    }
}
