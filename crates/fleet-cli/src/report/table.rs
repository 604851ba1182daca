//! Text in columns.

use std::time::Duration;

use super::screen::{Paint, Screen};
use crate::duration::format;
use crate::roster::Agent;
use crate::supervisor::State;

/// Rows of cells. The second cell of a row is painted; a column in which no row has anything is
/// left out.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<(Vec<String>, Option<Paint>)>,
}

impl Table {
    /// One with these headings.
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![(head.iter().copied().map(str::to_owned).collect(), None)] }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, cells: Vec<String>, paint: Option<Paint>) {
        self.rows.push((cells, paint));
    }

    /// The whole of it, without a newline at the end.
    pub(super) fn text(&self, screen: &Screen) -> String {
        let columns = self.rows.iter().map(|(cells, _)| cells.len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        let lines = self.rows.iter().map(|(cells, paint)| {
            let cells = cells.iter().zip(&widths).enumerate().filter(|(_, (_, width))| **width > 0);
            let cells = cells.map(|(column, (cell, width))| {
                let cell = if cell.is_empty() { "-" } else { cell };
                let padded = format!("{cell:width$}");
                match paint.filter(|_| column == 1) {
                    Some(paint) => screen.paint(paint, &padded),
                    None => padded,
                }
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// How wide a column is; nothing if only its heading is there.
    fn width(&self, column: usize) -> usize {
        let cells = || self.rows.iter().filter_map(|(cells, _)| cells.get(column));
        match cells().skip(1).all(String::is_empty) {
            true => 0,
            false => cells().map(|cell| cell.chars().count()).max().unwrap_or(0),
        }
    }
}

/// One line per agent.
pub(super) fn agents(screen: &Screen, agents: &[Agent], states: &[State]) -> String {
    let mut table = Table::new(&["AGENT", "STATE", "PID", "UPTIME", "RUNTIME", "CLASS"]);
    for (agent, at) in agents.iter().zip(states) {
        let (name, pid, uptime) = state(at);
        let cells = vec![
            agent.name.clone(),
            name.to_owned(),
            pid.map(|pid| pid.to_string()).unwrap_or_default(),
            uptime.map(format).unwrap_or_default(),
            agent.runtime.clone(),
            agent.class.clone(),
        ];
        table.add(cells, Some(paint(at)));
    }
    table.text(screen)
}

/// A state in a word, its process, and for how long it has run.
pub(super) const fn state(state: &State) -> (&'static str, Option<u32>, Option<Duration>) {
    match state {
        State::Running { pid, uptime } => ("running", Some(*pid), Some(*uptime)),
        State::Starting => ("starting", None, None),
        State::Stopping { pid } => ("stopping", *pid, None),
        State::Stopped => ("stopped", None, None),
        State::Dead { leftover, .. } if !leftover.is_empty() => ("dead, children left", None, None),
        State::Dead { .. } => ("dead", None, None),
        State::Unknown { .. } => ("unknown", None, None),
    }
}

/// How a state is to look.
pub(super) const fn paint(state: &State) -> Paint {
    match state {
        State::Running { .. } => Paint::Good,
        State::Starting | State::Stopping { .. } | State::Stopped => Paint::Odd,
        State::Dead { .. } | State::Unknown { .. } => Paint::Bad,
    }
}
