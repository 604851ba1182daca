//! What contenders write down while they work, so that it can be judged afterwards.
//!
//! Each process has a file of its own and adds a line for whatever it does, in one write: the
//! instant (nanoseconds of the boot clock), the generation, what it was. A process that is
//! killed may leave half a line at the end; any other line must be whole.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::now_ns;

/// What the name of a child's file begins with.
pub const CHILD: &str = "child-";

const PREEMPTIBLE: &str = "preemptible";

/// The name of the conductor's file: whom it has killed, and when.
pub const CONDUCTOR: &str = "conductor";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds of the boot clock.
    pub at: u64,
    /// Under which fencing token; 0 where there is none.
    pub generation: u64,
    /// What.
    pub what: What,
}

/// What can happen to a contender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It owns the lock. Written after that is so.
    Begin {
        /// Names this ownership.
        token: String,
        /// Why it was taken over, and from which token, if it was.
        takeover: Option<(String, Option<String>)>,
        /// Whether it agrees to be replaced while it lives.
        preemptible: bool,
    },
    /// It is about to let go. Written while it still owns the lock.
    End,
    /// What its release reported: `released`, `lost`, or `failed`.
    Outcome(String),
    /// It is in a fenced step.
    StepBegin,
    /// It is about to leave the step.
    StepEnd,
    /// The loss of the lock was delivered to it.
    Told,
    /// It has sent a signal to this process, which an owner before it had left.
    Signalled(u32),
    /// It is about to rename its ticket over the lock.
    Intent,
    /// It is a child that has the ticket. A tied one dies with its parent.
    ChildBegin {
        /// Whether it does.
        tied: bool,
    },
    /// It is about to end.
    ChildEnd,
    /// An operation failed, for this reason.
    Failure(String),
    /// The conductor is about to kill this process.
    Killed(String),
    /// The conductor has seen the end of this process, which it killed.
    Reaped(String),
}

/// One process and what it wrote down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Its file's name.
    pub name: String,
    /// When it was killed: a moment at which it still was alive.
    pub killed: Option<u64>,
    /// When it had ended.
    pub reaped: Option<u64>,
    /// In the order in which it wrote them down.
    pub events: Vec<Event>,
}

/// A file that a process of a torture adds its lines to.
#[derive(Debug)]
pub struct Recorder {
    file: File,
}

impl Recorder {
    /// A new file in `directory`.
    ///
    /// # Errors
    ///
    /// When it cannot be made, or is there.
    pub fn create(directory: &Path, name: &str) -> io::Result<Self> {
        let path = directory.join(format!("{name}.log"));
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { file })
    }

    /// Adds a line, with the present instant.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn note(&self, generation: u64, what: What) -> io::Result<()> {
        let event = Event { at: now_ns(), generation, what };
        (&self.file).write_all(format!("{event}\n").as_bytes())
    }
}

/// Reads all files of a directory.
///
/// # Errors
///
/// When one cannot be read, or says what nobody writes.
pub fn read(directory: &Path) -> Result<Vec<Source>, String> {
    let complain = |error: io::Error| format!("{}: {error}", directory.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(complain)? {
        let path = entry.map_err(complain)?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, fs::read_to_string(&path).map_err(complain)?));
        }
    }
    parse(&files)
}

/// Makes sense of files, each given by its name and its text.
///
/// # Errors
///
/// With the line that makes none.
pub fn parse(files: &[(String, String)]) -> Result<Vec<Source>, String> {
    let mut sources = BTreeMap::new();
    for (name, text) in files {
        sources.insert(name.clone(), source(name, text)?);
    }
    let conductor = sources.remove(CONDUCTOR).unwrap_or_default();
    for event in conductor.events {
        let (What::Killed(name) | What::Reaped(name)) = &event.what else {
            return Err(format!("{CONDUCTOR}: {event}"));
        };
        // One that was killed before it could write anything has no file.
        if let Some(source) = sources.get_mut(name) {
            match &event.what {
                What::Killed(_) => source.killed = Some(event.at),
                _ => source.reaped = Some(event.at),
            }
        }
    }
    for (name, text) in files {
        let torn = !text.is_empty() && !text.ends_with('\n');
        let killed = sources.get(name).is_some_and(|source| source.killed.is_some());
        if torn && !killed && !name.starts_with(CHILD) {
            return Err(format!("{name}: nobody killed it, yet its last line is not whole"));
        }
    }
    Ok(sources.into_values().collect())
}

fn source(name: &str, text: &str) -> Result<Source, String> {
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let events: Result<_, _> = whole
        .lines()
        .map(|line| Event::parse(line).ok_or_else(|| format!("{name}: what is {line:?}?")))
        .collect();
    Ok(Source { name: name.to_owned(), events: events?, ..Source::default() })
}

impl Event {
    /// From a line.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let at = words.next()?.parse().ok()?;
        let generation = words.next()?.parse().ok()?;
        let verb = words.next()?;
        let mut word = || words.next().map(str::to_owned);
        let what = match verb {
            "begin" => {
                let token = word()?;
                let named = |word: String| (word != "-").then_some(word);
                let (reason, victim) = (named(word()?), named(word()?));
                let preemptible = match word() {
                    None => false,
                    Some(word) if word == PREEMPTIBLE => true,
                    Some(_) => return None,
                };
                let takeover = reason.map(|reason| (reason, victim));
                What::Begin { token, takeover, preemptible }
            }
            "end" => What::End,
            "outcome" => What::Outcome(word()?),
            "step" => What::StepBegin,
            "stepped" => What::StepEnd,
            "told" => What::Told,
            "signalled" => What::Signalled(word()?.parse().ok()?),
            "intent" => What::Intent,
            "child" => What::ChildBegin { tied: word()? == "tied" },
            "childless" => What::ChildEnd,
            "failure" => What::Failure(word()?),
            "killed" => What::Killed(word()?),
            "reaped" => What::Reaped(word()?),
            _ => return None,
        };
        words.next().is_none().then_some(Self { at, generation, what })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.at, self.generation)?;
        match &self.what {
            What::Begin { token, takeover, preemptible } => {
                let (reason, victim) = match takeover {
                    Some((reason, victim)) => (reason.as_str(), victim.as_deref()),
                    None => ("-", None),
                };
                write!(f, "begin {token} {reason} {}", victim.unwrap_or("-"))?;
                if *preemptible { write!(f, " {PREEMPTIBLE}") } else { Ok(()) }
            }
            What::End => f.write_str("end"),
            What::Outcome(outcome) => write!(f, "outcome {outcome}"),
            What::StepBegin => f.write_str("step"),
            What::StepEnd => f.write_str("stepped"),
            What::Told => f.write_str("told"),
            What::Signalled(pid) => write!(f, "signalled {pid}"),
            What::Intent => f.write_str("intent"),
            What::ChildBegin { tied } => {
                write!(f, "child {}", if *tied { "tied" } else { "free" })
            }
            What::ChildEnd => f.write_str("childless"),
            What::Failure(reason) => write!(f, "failure {reason}"),
            What::Killed(name) => write!(f, "killed {name}"),
            What::Reaped(name) => write!(f, "reaped {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("5 1 begin t - -")]
    #[case("5 2 begin u Silent t")]
    #[case("5 2 begin u Corrupt -")]
    #[case("5 2 begin u Corrupt - preemptible")]
    #[case("5 2 signalled 42")]
    #[case("5 2 end")]
    #[case("5 2 outcome lost")]
    #[case("5 2 step")]
    #[case("5 2 stepped")]
    #[case("5 2 told")]
    #[case("5 2 intent")]
    #[case("5 2 child tied")]
    #[case("5 2 child free")]
    #[case("5 2 childless")]
    #[case("5 0 failure MutexHeld")]
    #[case("5 0 killed worker-1")]
    #[case("5 0 reaped worker-1")]
    fn what_is_written_is_read(#[case] line: &str) {
        let event = Event::parse(line).expect("because it is a line of ours");
        assert_eq!(event.to_string(), line);
    }

    #[rstest]
    #[case("")]
    #[case("5")]
    #[case("x 1 end")]
    #[case("5 1 dance")]
    #[case("5 1 begin t")]
    #[case("5 1 end more")]
    #[case("5 1 begin t - - willing")]
    #[case("5 1 signalled someone")]
    fn nonsense_is_refused(#[case] line: &str) {
        assert_eq!(Event::parse(line), None);
    }

    #[test]
    fn only_the_killed_may_leave_half_a_line() {
        let half = ("worker-1".to_owned(), "5 1 end\n6 1 outc".to_owned());
        let kill = (CONDUCTOR.to_owned(), "7 0 killed worker-1\n8 0 reaped worker-1\n".to_owned());
        assert!(parse(std::slice::from_ref(&half)).is_err());
        let sources = parse(&[half, kill]).expect("because it was killed");
        let source = sources.first().expect("because there is one");
        assert_eq!((source.killed, source.reaped), (Some(7), Some(8)));
        assert_eq!(source.events.len(), 1);
    }
}
