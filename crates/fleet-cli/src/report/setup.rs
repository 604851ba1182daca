//! What is said about files that are written, or would be.

use camino::Utf8Path;
use schemars::JsonSchema;
use serde::Serialize;
use similar::TextDiff;

use super::data;
use super::screen::{Paint, Screen};
use crate::exit::Exit;
use crate::fleet::{Carried, Shift};
use crate::setup::{Call, Change, Draft, Kind};

/// How many lines around a change are shown.
const CONTEXT: usize = 3;

impl Screen {
    /// What a command did to files, or would do.
    pub(crate) fn setup(&mut self, draft: &Draft) {
        if self.json() {
            self.data(&Setup::new(draft, None));
        } else {
            self.draft(draft);
        }
        for stray in &draft.strays {
            self.remark(&format!(
                "{stray} is enabled, and its agent is not in the roster; \
                 `systemctl --user disable --now {stray}` ends it"
            ));
        }
    }

    /// What a command did to files before it turns to an agent.
    pub(crate) fn written(&mut self, draft: &Draft) {
        if !self.json() {
            self.draft(draft);
        }
    }

    /// The agent is in the roster, and it did not come to its start.
    pub(crate) fn added_only(&mut self, agent: &str) {
        self.remark(&format!("{agent} was added but not started; `fleet start {agent}` starts it"));
    }

    /// What became of the agent, and of the files if that was still open; returns how the
    /// command ends.
    pub(crate) fn setup_and(&mut self, draft: &Draft, carried: &Carried) -> Exit {
        let (shift, exit) = match carried {
            Carried::Joined(exit) => (None, *exit),
            Carried::Out(shift) => (Some(shift), shift.exit),
        };
        if self.json() {
            self.data(&Setup::new(draft, shift));
        } else if draft.written && draft.command == "remove" {
            self.draft(draft);
        }
        if let Some(shift) = shift {
            self.ending(&shift.path, &shift.outcome);
        }
        exit
    }

    fn draft(&mut self, draft: &Draft) {
        if draft.is_empty() {
            return self.result("everything is as it should be");
        }
        let changes = draft.changes.iter().filter(|change| change.kind() != Kind::Kept);
        for change in changes {
            match draft.written {
                true => self.result(&format!("{} {}", done(change.kind()), change.path)),
                false => self.difference(change),
            }
        }
        for call in &draft.calls {
            let verb = if draft.written { "ran" } else { "would run" };
            self.result(&format!("{verb} `systemctl {}`", call.arguments().join(" ")));
        }
        if !draft.written {
            self.remark("nothing was written; --write does it");
        }
    }

    fn difference(&mut self, change: &Change) {
        let Some(diff) = diff(change) else {
            return self.result(&format!("would remove {}", change.path));
        };
        for line in diff.lines() {
            let line = match line.as_bytes().first() {
                Some(b'+') => self.paint(Paint::Good, line),
                Some(b'-') => self.paint(Paint::Bad, line),
                _ => line.to_owned(),
            };
            self.result(&line);
        }
    }
}

/// The difference that a change makes. A file that is nobody else's business is shown only
/// where fleet changes it, and not at all when it goes.
fn diff(change: &Change) -> Option<String> {
    if change.secret && change.after.is_none() {
        return None;
    }
    let text = |side: &Option<String>| side.clone().unwrap_or_default();
    let name = |side: &Option<String>| match side {
        Some(_) => change.path.as_str(),
        None => "/dev/null",
    };
    let (before, after) = (text(&change.before), text(&change.after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut unified = diff.unified_diff();
    unified.context_radius(if change.secret { 0 } else { CONTEXT });
    Some(unified.header(name(&change.before), name(&change.after)).to_string())
}

const fn done(kind: Kind) -> &'static str {
    match kind {
        Kind::Kept => "kept",
        Kind::Created => "wrote",
        Kind::Updated => "changed",
        Kind::Removed => "removed",
    }
}

/// What a command did to files, or would do.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Setup<'a> {
    /// `init`, `add`, `remove` or `install`.
    command: &'static str,
    /// Whether it was done, as `--write` asks.
    written: bool,
    /// The files that it has to do with.
    files: Vec<FileData<'a>>,
    /// The calls of systemctl, each as its arguments.
    systemctl: Vec<&'a [String]>,
    /// Units that are enabled for agents that the roster does not have.
    strays: &'a [String],
    /// What became of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<data::Change<'a>>,
}

/// A file.
#[derive(Debug, JsonSchema, Serialize)]
struct FileData<'a> {
    /// Its path.
    #[schemars(with = "&str")]
    path: &'a Utf8Path,
    /// What becomes of it: `unchanged`, `created`, `updated` or `removed`.
    change: &'static str,
    /// The difference, as `diff -u` writes it; absent where there is none to show.
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

impl<'a> Setup<'a> {
    fn new(draft: &'a Draft, shift: Option<&'a Shift>) -> Self {
        let run = shift.map(|shift| {
            data::Change::new(&shift.path, &shift.token, shift.generation, &shift.outcome)
        });
        Self {
            command: draft.command,
            written: draft.written,
            files: draft.changes.iter().map(FileData::new).collect(),
            systemctl: draft.calls.iter().map(Call::arguments).collect(),
            strays: &draft.strays,
            run,
        }
    }
}

impl<'a> FileData<'a> {
    fn new(change: &'a Change) -> Self {
        let (name, diff) = match change.kind() {
            Kind::Kept => ("unchanged", None),
            Kind::Created => ("created", diff(change)),
            Kind::Updated => ("updated", diff(change)),
            Kind::Removed => ("removed", diff(change)),
        };
        Self { path: &change.path, change: name, diff }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(secret: bool, before: &str, after: Option<&str>) -> Change {
        let after = after.map(str::to_owned);
        Change { path: "/h/f".into(), before: Some(before.to_owned()), after, secret }
    }

    #[test]
    fn what_is_nobody_elses_business_is_not_shown() {
        let before = "TOKEN=hush\nA=1\nKEY=hush\n";
        let shown = diff(&change(true, before, Some("TOKEN=hush\nA=2\nKEY=hush\n")));
        assert_eq!(shown.as_deref(), Some("--- /h/f\n+++ /h/f\n@@ -2 +2 @@\n-A=1\n+A=2\n"));
        assert_eq!(diff(&change(true, before, None)), None);
        let shown = diff(&change(false, "a\nb\n", Some("a\nc\n")));
        assert_eq!(shown.as_deref(), Some("--- /h/f\n+++ /h/f\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"));
    }
}
