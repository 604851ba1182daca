//! Changes to the roster's text that leave every other byte of it alone.
//!
//! A roster is written by people: its order, its comments and its blank lines are theirs. So
//! nothing here writes a roster from values. An agent's text is put in, or taken out, where
//! the parser says that it stands; then old and new text are both read as plain data, and the
//! change counts only if the data differ in exactly that agent. Whatever else a text may hold
//! (anchors, a sequence that is an alias, two documents) is refused, never guessed at.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use serde_json::Value;

use super::tree::{Node, Style, parse};

/// An agent to write into a roster.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct NewAgent {
    /// Its name.
    pub(crate) name: String,
    /// Its program family.
    pub(crate) runtime: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) class: Option<String>,
    /// Its command line, if not its runtime's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// Where it starts, if not where the others do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_directory: Option<String>,
    /// Its variables.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
}

/// The text has no place where the change would be the only change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPlace;

/// `text` with `agent` after its last agent.
///
/// # Errors
///
/// When that would change anything else.
pub(crate) fn append(text: &str, agent: &NewAgent) -> Result<String, NoPlace> {
    let agents = agents(text)?;
    let last = agents.items.last().ok_or(NoPlace)?;
    let (at, piece) = match agents.style {
        Style::Block => block_piece(text, &agents.items, agent)?,
        Style::Flow => (last.range.end, format!(", {}", flow(agent)?)),
    };
    let new = spliced(text, at..at, &piece).ok_or(NoPlace)?;
    let mut expected = data(text)?;
    let entry = serde_json::to_value(agent).map_err(|_| NoPlace)?;
    list(&mut expected).ok_or(NoPlace)?.push(entry);
    checked(new, &expected)
}

/// `text` without the agent called `name`. Comments above it stay.
///
/// # Errors
///
/// When that would change anything else, or there is no such agent.
pub(crate) fn remove(text: &str, name: &str) -> Result<String, NoPlace> {
    let agents = agents(text)?;
    let index = agents.items.iter().position(|item| item.value("name") == Some(name));
    let index = index.ok_or(NoPlace)?;
    let range = match agents.style {
        Style::Block => block_range(text, &agents.items, index)?,
        Style::Flow => flow_range(&agents.items, index)?,
    };
    let new = spliced(text, range, "").ok_or(NoPlace)?;
    let mut expected = data(text)?;
    let entries = list(&mut expected).ok_or(NoPlace)?;
    entries.remove(index);
    checked(new, &expected)
}

/// `agent` as it would stand in a roster, for people to paste.
pub(crate) fn snippet(agent: &NewAgent) -> String {
    let options = serde_saphyr::ser_options! { min_fold_chars: usize::MAX };
    // Every field is text; there is nothing that could not be written.
    serde_saphyr::to_string_with_options(&[agent], options).unwrap_or_default()
}

fn agents(text: &str) -> Result<Agents, NoPlace> {
    let root = parse(text).ok_or(NoPlace)?;
    match root.into_entry("agents").ok_or(NoPlace)? {
        Node { shape: super::tree::Shape::Sequence(style, items), .. } => {
            Ok(Agents { style, items })
        }
        _ => Err(NoPlace),
    }
}

struct Agents {
    style: Style,
    items: Vec<Node>,
}

/// Where a new entry of a block sequence goes, and how it is written there.
fn block_piece(text: &str, items: &[Node], agent: &NewAgent) -> Result<(usize, String), NoPlace> {
    let last = items.last().ok_or(NoPlace)?;
    let dash = dash(text, last)?;
    let at = end_of_entry(text, last, dash.column);
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut piece = String::new();
    if !text.get(..at).is_some_and(|before| before.ends_with('\n')) {
        piece.push_str(newline);
    }
    let apart = match items {
        [.., before, _] => {
            let end = end_of_entry(text, before, dash.column);
            text.get(end..dash.line).is_some_and(|gap| gap.lines().any(|l| l.trim().is_empty()))
        }
        _ => false,
    };
    if apart {
        piece.push_str(newline);
    }
    for line in snippet(agent).lines() {
        if !line.is_empty() {
            piece.push_str(&" ".repeat(dash.column));
            piece.push_str(line);
        }
        piece.push_str(newline);
    }
    Ok((at, piece))
}

/// What an entry of a block sequence takes up: whole lines, from its dash on.
fn block_range(text: &str, items: &[Node], index: usize) -> Result<Range<usize>, NoPlace> {
    let item = items.get(index).ok_or(NoPlace)?;
    let dash = dash(text, item)?;
    let end = end_of_entry(text, item, dash.column);
    let before = text.get(..dash.line).ok_or(NoPlace)?;
    let after = text.get(end..).ok_or(NoPlace)?;
    // Two blank lines would be left where one was on each side.
    let blank = |line: Option<&str>| line.is_some_and(|line| line.trim().is_empty());
    let first = after.split_inclusive('\n').next();
    match (blank(before.lines().next_back()) && blank(first), first) {
        (true, Some(line)) => Ok(dash.line..end + line.len()),
        _ => Ok(dash.line..end),
    }
}

/// What an entry of a flow sequence takes up, with one of the commas beside it.
fn flow_range(items: &[Node], index: usize) -> Result<Range<usize>, NoPlace> {
    let item = items.get(index).ok_or(NoPlace)?;
    let before = index.checked_sub(1).and_then(|index| items.get(index));
    match (before, items.get(index + 1)) {
        (_, Some(next)) => Ok(item.range.start..next.range.start),
        (Some(before), None) => Ok(before.range.end..item.range.end),
        (None, None) => Ok(item.range.clone()),
    }
}

/// Where an entry's dash stands.
struct Dash {
    /// The first byte of its line.
    line: usize,
    /// How far it is from there.
    column: usize,
}

fn dash(text: &str, item: &Node) -> Result<Dash, NoPlace> {
    let before = text.get(..item.range.start).ok_or(NoPlace)?.trim_end();
    let before = before.strip_suffix('-').ok_or(NoPlace)?;
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    let indent = before.get(line..).ok_or(NoPlace)?;
    match indent.bytes().all(|byte| byte == b' ') {
        true => Ok(Dash { line, column: indent.len() }),
        false => Err(NoPlace),
    }
}

/// Behind the last line of an entry whose dash is at `column`, and of the comments inside it.
fn end_of_entry(text: &str, item: &Node, column: usize) -> usize {
    let content = text.get(..item.range.end).unwrap_or(text).trim_end().len();
    let rest = text.get(content..).unwrap_or_default();
    let mut lines = rest.split_inclusive('\n');
    let mut end = content + lines.next().unwrap_or_default().len();
    for line in lines {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if indent <= column || !line.trim_start().starts_with('#') {
            break;
        }
        end += line.len();
    }
    end
}

fn spliced(text: &str, range: Range<usize>, piece: &str) -> Option<String> {
    Some([text.get(..range.start)?, piece, text.get(range.end..)?].concat())
}

/// JSON is YAML in flow style.
fn flow(agent: &NewAgent) -> Result<String, NoPlace> {
    serde_json::to_string(agent).map_err(|_| NoPlace)
}

fn data(text: &str) -> Result<Value, NoPlace> {
    serde_saphyr::from_str(text).map_err(|_| NoPlace)
}

fn list(roster: &mut Value) -> Option<&mut Vec<Value>> {
    roster.get_mut("agents")?.as_array_mut()
}

fn checked(new: String, expected: &Value) -> Result<String, NoPlace> {
    match data(&new)? == *expected {
        true => Ok(new),
        false => Err(NoPlace),
    }
}

#[cfg(test)]
mod tests;
