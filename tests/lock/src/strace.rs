//! What strace wrote, read back: the system calls of a program and of its children.
//!
//! Only what strace writes with [`OPTIONS`] is understood. A call that was interrupted in the
//! listing by another thread's (`<unfinished ...>`, `<... resumed>`) is put together again, and
//! stands where it began. Arguments stay text until they are asked for, so that a call that
//! nobody asks about can have any.

mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::process::Command;

use camino::Utf8Path;

pub use value::{Descriptor, descriptor, elements, field, parts, sift, text};

/// How strace has to be run: every thread and child, when each call began and how long it took,
/// which file each descriptor is, structures and strings in full, and nothing but calls.
pub const OPTIONS: [&str; 8] = ["-f", "-qq", "-ttt", "-T", "-yy", "-v", "-s", "8192"];

/// Has a program traced into a listing. The tracer is its parent, so that the listing is whole
/// once the tracer has ended. `tampering` is for strace too.
#[must_use]
pub fn traced(program: &Utf8Path, listing: &Utf8Path, tampering: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(OPTIONS).args(["-o", listing.as_str()]).args(tampering).arg(program);
    command
}

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The line of the listing where it begins, from 1.
    pub line: usize,
    /// Who made it.
    pub thread: u32,
    /// When it began, in microseconds since 1970.
    pub began: u64,
    /// When it returned; nothing if it never did.
    pub ended: Option<u64>,
    /// What is called.
    pub name: String,
    /// The arguments as strace writes them.
    pub arguments: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether a signal's handler made it: it stands between a signal and `rt_sigreturn`.
    pub in_handler: bool,
}

/// What came of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this, as strace writes it, without remarks.
    Returned(String),
    /// It failed with an error of this name.
    Failed(String),
    /// A signal came; the kernel calls again by itself unless a handler runs.
    Interrupted,
    /// The caller ended first.
    Never,
}

/// A listing that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the listing is not understood ({reason}): {text}")]
pub struct Malformed {
    /// From 1.
    pub line: usize,
    /// What is missing.
    pub reason: &'static str,
    /// The line.
    pub text: String,
}

/// Reads a listing: the calls in the order in which they began.
///
/// # Errors
///
/// When a line is not what strace writes.
pub fn parse(listing: &str) -> Result<Vec<Call>, Malformed> {
    let mut calls = Vec::new();
    let mut unfinished = BTreeMap::new();
    let mut signalled = BTreeMap::new();
    for (text, line) in listing.lines().zip(1..) {
        let malformed = |reason| Malformed { line, reason, text: text.to_owned() };
        let (thread, began, rest) = head(text).ok_or(malformed("no thread or no time"))?;
        if rest.starts_with("---") || rest.starts_with("+++") {
            signalled.insert(thread, line);
            continue;
        }
        let mut part = Part { line, thread, began, text: rest.to_owned() };
        if rest.starts_with("<... ") {
            let first: Option<Part> = unfinished.remove(&thread);
            let first = first.ok_or(malformed("resumes nothing"))?;
            let tail = rest.split_once(" resumed>").ok_or(malformed("no `resumed>`"))?.1;
            part = Part { text: first.text.clone() + tail, ..first };
        }
        match part.text.strip_suffix(UNFINISHED) {
            Some(start) => {
                part.text = start.to_owned();
                unfinished.insert(thread, part);
            }
            None => calls.push(part.whole().map_err(malformed)?),
        }
        if rest.starts_with("rt_sigreturn(") {
            let since = signalled.remove(&thread).unwrap_or(line);
            let handlers = |call: &&mut Call| call.thread == thread && call.line > since;
            calls.iter_mut().filter(handlers).for_each(|call| call.in_handler = true);
        }
    }
    // Whoever was killed in the middle of a call.
    calls.extend(unfinished.into_values().map(Part::endless));
    calls.sort_by_key(|call| call.line);
    Ok(calls)
}

const UNFINISHED: &str = " <unfinished ...>";

/// A call, or the first part of one.
struct Part {
    line: usize,
    thread: u32,
    began: u64,
    text: String,
}

impl Part {
    fn whole(self) -> Result<Call, &'static str> {
        let Self { line, thread, began, text } = self;
        let (name, rest) = text.split_once('(').ok_or("no `(`")?;
        // A thread that ends in the middle of a call.
        let rest = rest.replace(" <unfinished ...>)", ")");
        let (arguments, rest) = value::until_closed(&rest).ok_or("no `)`")?;
        let result = rest.trim_start().strip_prefix("= ").ok_or("no result")?;
        let (result, took) = duration(result)?;
        let outcome = outcome(result);
        let ended = took.map(|took| began + took).filter(|_| outcome != Outcome::Never);
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        Ok(Call { line, thread, began, ended, name, arguments, outcome, in_handler: false })
    }

    fn endless(self) -> Call {
        let Self { line, thread, began, text } = self;
        let (name, arguments) = text.split_once('(').unwrap_or((&text, ""));
        let (name, arguments) = (name.to_owned(), arguments.to_owned());
        let (ended, outcome, in_handler) = (None, Outcome::Never, false);
        Call { line, thread, began, ended, name, arguments, outcome, in_handler }
    }
}

/// `4711 1795526611.480963 rest`.
fn head(line: &str) -> Option<(u32, u64, &str)> {
    let (thread, rest) = line.split_once(' ')?;
    let (began, rest) = rest.trim_start().split_once(' ')?;
    Some((thread.parse().ok()?, micros(began)?, rest.trim_start()))
}

/// Seconds with six decimals.
fn micros(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.')?;
    let (whole, fraction): (u64, u64) = (whole.parse().ok()?, fraction.parse().ok()?);
    Some(whole * 1_000_000 + fraction)
}

/// Takes the `<0.000012>` from the end; a call that never returns has none, or `<unavailable>`.
fn duration(result: &str) -> Result<(&str, Option<u64>), &'static str> {
    let Some((rest, took)) = result.strip_suffix('>').and_then(|rest| rest.rsplit_once(" <"))
    else {
        return Ok((result, None));
    };
    match took {
        "unavailable" => Ok((rest, None)),
        took => Ok((rest, Some(micros(took).ok_or("no duration")?))),
    }
}

fn outcome(result: &str) -> Outcome {
    let mut words = result.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (first, second) {
        ("?", "") => Outcome::Never,
        ("?", _) => Outcome::Interrupted,
        ("-1", error) => Outcome::Failed(error.to_owned()),
        (value, _) => Outcome::Returned(value.to_owned()),
    }
}

impl Call {
    /// The arguments, one by one, as strace writes them.
    #[must_use]
    pub fn args(&self) -> Vec<&str> {
        parts(&self.arguments)
    }

    /// One argument; nothing if there are not so many.
    #[must_use]
    pub fn arg(&self, index: usize) -> &str {
        self.args().get(index).copied().unwrap_or_default()
    }

    /// The descriptor that it returned.
    #[must_use]
    pub fn opened(&self) -> Option<Descriptor> {
        match &self.outcome {
            Outcome::Returned(value) => descriptor(value),
            _ => None,
        }
    }

    /// The number that it returned.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match &self.outcome {
            Outcome::Returned(value) => value.parse().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, arguments, outcome, .. } = self;
        write!(f, "{name}({arguments}) = {outcome}")
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Returned(value) => f.write_str(value),
            Self::Failed(error) => write!(f, "-1 {error}"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Never => f.write_str("never returned"),
        }
    }
}
