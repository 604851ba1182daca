//! What became of a lock, as lines and as data.

use camino::Utf8Path;
use lock_fs::Wall;
use schemars::JsonSchema;
use serde::Serialize;

use super::chart;
use super::screen::{Paint, Screen};
use crate::duration::format;
use crate::journal::{self, Entry, GaveUp, History, Other, Reason, What};
use crate::moment;
use crate::owner::printable;
use crate::timeline::Bar;

/// What became of a lock, as its journal has it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Data<'a> {
    /// The lock.
    #[schemars(with = "String")]
    path: &'a Utf8Path,
    /// What happened, oldest first.
    entries: &'a [Entry],
    /// How many lines of the journal could not be understood.
    unreadable: usize,
}

impl Screen {
    /// A picture was made.
    pub(crate) fn drawn(&mut self, file: &Utf8Path, bars: &[Bar]) {
        let count = bars.iter().filter(|bar| bar.is_ownership()).count();
        let ownerships = if count == 1 { "ownership" } else { "ownerships" };
        self.remark(&format!("drew {count} {ownerships} to {file}"));
    }

    /// What became of a lock.
    pub(crate) fn history(&mut self, path: &Utf8Path, history: &History) {
        let History { exists, entries, unreadable } = history;
        if !exists {
            let journal = journal::path(path);
            self.remark(&format!("there is no journal {journal}: nobody has used this lock yet"));
        } else if entries.is_empty() {
            self.remark("nothing has happened in that time");
        }
        if *unreadable > 0 {
            let lines = if *unreadable == 1 { "line" } else { "lines" };
            self.remark(&format!("skipped {unreadable} unreadable {lines} of the journal"));
        }
        if self.json() {
            return self.data(&Data { path, entries, unreadable: *unreadable });
        }
        let rows: Vec<_> = entries.iter().map(Row::new).collect();
        let width = |of: fn(&Row) -> &str| {
            rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let (generation, pid) = (width(|row| &row.generation), width(|row| &row.pid));
        for row in &rows {
            let event = self.paint(row.paint, &format!("{:9}", row.event));
            let Row { time, generation: number, pid: id, story, .. } = row;
            self.result(&format!("{time}  {number:>generation$}  {id:<pid$}  {event}  {story}"));
        }
    }
}

/// A lock's history as an SVG picture.
pub(crate) fn picture(path: &Utf8Path, bars: &[Bar]) -> String {
    chart::draw(path, bars)
}

/// One line.
struct Row {
    time: String,
    generation: String,
    pid: String,
    event: &'static str,
    paint: Paint,
    story: String,
}

impl Row {
    fn new(entry: &Entry) -> Self {
        let (event, paint) = event(&entry.what);
        Self {
            time: moment::format(Wall(entry.wall_ms)),
            generation: entry.generation.map_or_else(|| "-".to_owned(), |g| format!("#{g}")),
            pid: format!("pid {}", entry.pid),
            event,
            paint,
            story: match (story(&entry.what), printable(&entry.command)) {
                (story, command) if story.is_empty() => format!("({command})"),
                (story, command) => format!("{story}  ({command})"),
            },
        }
    }
}

/// A word for what happened.
pub(super) const fn event(what: &What) -> (&'static str, Paint) {
    match what {
        What::Waiting { .. } => ("waits", Paint::Odd),
        What::Ends { .. } => ("ends", Paint::Bad),
        What::Acquired { .. } => ("acquired", Paint::Good),
        What::TookOver { .. } => ("took over", Paint::Odd),
        What::Step { .. } => ("step", Paint::Strong),
        What::Released { .. } => ("released", Paint::Good),
        What::Lost { .. } => ("lost", Paint::Bad),
        What::Failed { .. } => ("failed", Paint::Bad),
        What::GaveUp { .. } => ("gave up", Paint::Bad),
        What::Broken { .. } => ("broke", Paint::Bad),
    }
}

/// What more there is to say about it.
fn story(what: &What) -> String {
    let after = |millis: u64| format!("after {}", span(millis));
    match what {
        What::Waiting { owner } => format!("for {}", who(owner.as_ref())),
        What::Ends { target, signal, owner } => {
            let target = owner.as_ref().map_or_else(|| format!("pid {target}"), |it| who(Some(it)));
            format!("{target} with {}", signal.name())
        }
        What::Acquired { waited_ms } => after(*waited_ms),
        What::TookOver { waited_ms, reason, from } => {
            let (from, why) = (who(from.as_ref()), why(*reason));
            format!("{}, from {from}: {why}", after(*waited_ms))
        }
        What::Step { steps, phrase } => format!("{steps}: {}", printable(phrase)),
        What::Released { held_ms, exit } => match exit {
            None => after(*held_ms),
            Some(code) => format!("{}, exit code {code}", after(*held_ms)),
        },
        What::Lost { held_ms, to: None } => format!("{}, to nobody", after(*held_ms)),
        What::Lost { held_ms, to } => format!("{}, to {}", after(*held_ms), who(to.as_ref())),
        What::Failed { held_ms, problem } => format!("{}: {}", after(*held_ms), printable(problem)),
        What::GaveUp { waited_ms, reason, owner } => {
            let owner = owner.as_ref().map(|owner| format!(", for {}", who(Some(owner))));
            let owner = owner.unwrap_or_default();
            format!("{}{owner}: {}", after(*waited_ms), gave_up(*reason))
        }
        What::Broken { from } => format!("taken from {}", who(from.as_ref())),
    }
}

/// `#7 pid 42`: what more there is to say, its own lines say.
fn who(other: Option<&Other>) -> String {
    let Some(other) = other else { return "an unknown process".to_owned() };
    let generation = other.generation.map(|g| format!("#{g} ")).unwrap_or_default();
    format!("{generation}pid {}", other.pid)
}

/// Why a lock was taken over, after "because".
pub(super) const fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Corrupt => "its file was no lock record",
        Reason::OwnerDied => "its owner had died",
        Reason::Rebooted => "its owner ran before the last reboot",
        Reason::Silent => "its owner was stopped or hung",
        Reason::Expired => "its stamp was too old",
        Reason::TimedOut => "its owner made no progress",
    }
}

/// Why a contender gave up.
pub(super) const fn gave_up(reason: GaveUp) -> &'static str {
    match reason {
        GaveUp::Busy => "would not wait",
        GaveUp::TimedOut => "would not wait longer",
        GaveUp::MutexHeld => "a process is stopped inside a transition",
        GaveUp::Survived => "the owner could not be ended",
        GaveUp::Interrupted => "interrupted",
        GaveUp::Error => "an error",
    }
}

/// Milliseconds for people.
pub(super) fn span(millis: u64) -> String {
    format(std::time::Duration::from_millis(millis))
}
