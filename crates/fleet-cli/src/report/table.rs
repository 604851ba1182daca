//! Text in columns.

use super::screen::{Paint, Screen};
use crate::duration::format;
use crate::roster::Agent;
use crate::supervisor::State;

/// One line per agent.
pub(super) fn agents(screen: &Screen, agents: &[Agent], states: &[State]) -> String {
    let mut rows = vec![["AGENT", "STATE", "PID", "UPTIME", "RUNTIME", "CLASS"].map(str::to_owned)];
    rows.extend(agents.iter().zip(states).map(|(agent, state)| row(agent, state)));
    let widths: Vec<usize> = (0..6).map(|column| width(&rows, column)).collect();
    let line = |row: &[String; 6], paint: Option<Paint>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let padded = format!("{cell:width$}");
            match paint.filter(|_| column == 1) {
                Some(paint) => screen.paint(paint, &padded),
                None => padded,
            }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let paints = std::iter::once(None).chain(states.iter().map(|state| Some(paint(state))));
    rows.iter().zip(paints).map(|(row, paint)| line(row, paint)).collect::<Vec<_>>().join("\n")
}

fn row(agent: &Agent, state: &State) -> [String; 6] {
    let (name, pid, uptime) = match state {
        State::Running { pid, uptime } => ("running", Some(*pid), Some(*uptime)),
        State::Starting => ("starting", None, None),
        State::Stopping { pid } => ("stopping", *pid, None),
        State::Stopped => ("stopped", None, None),
        State::Dead { leftover, .. } if !leftover.is_empty() => ("dead, children left", None, None),
        State::Dead { .. } => ("dead", None, None),
        State::Unknown { .. } => ("unknown", None, None),
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        agent.name.clone(),
        name.to_owned(),
        or_dash(pid.map(|pid| pid.to_string())),
        or_dash(uptime.map(format)),
        agent.runtime.clone(),
        agent.class.clone(),
    ]
}

fn width(rows: &[[String; 6]], column: usize) -> usize {
    rows.iter()
        .filter_map(|row| row.get(column))
        .map(|cell| cell.chars().count())
        .max()
        .unwrap_or(0)
}

const fn paint(state: &State) -> Paint {
    match state {
        State::Running { .. } => Paint::Good,
        State::Starting | State::Stopping { .. } | State::Stopped => Paint::Odd,
        State::Dead { .. } | State::Unknown { .. } => Paint::Bad,
    }
}
