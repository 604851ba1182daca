//! What each subject is told to do, and what it tells afterwards.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::error::Error;
use crate::outcome::End;
use crate::process::{Process, Tampering, apart, traced};
use crate::scenario::Subject;
use crate::stage::{Programs, Stage};

/// The file that lets a waiting command go on.
pub(crate) const GATE: &str = "gate";

/// What strace writes.
pub(crate) const TRACE: &str = "trace";

/// So often does an owner renew whose renewal is to be seen, as a command line says it: a
/// third of this, and not at the same time as its keeper's first round (100 ms).
const STALE_AFTER: &str = "600ms";

/// With a wait limit, as `--on-timeout stop` wants one.
const MAX_WAIT: &str = "100ms";

/// Of a contender that finds a silent owner, and of a restart that is to be found silent.
const IMPATIENT: &str = "300ms";
const RESTARTS: &str = "600ms";

/// What a process that lives on does: it warms up, is seen, and shows that it can still do it.
const LIFE: &str = "cycle 0\ndescriptors\nacquire\nstep on 0\nrelease\n";
const AFTERLIFE: &str = "cycle 0\ndescriptors\n";

/// What a subject told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) said: Vec<String>,
    pub(crate) ran: bool,
    pub(crate) lost: bool,
    pub(crate) more_descriptors: Option<i64>,
}

impl Subject {
    /// Starts it, traced from the start unless it is only a thread that is to be seen.
    pub(crate) fn start(
        self,
        stage: &Stage,
        programs: &Programs,
        tampering: Option<&Tampering<'_>>,
    ) -> Result<Process, Error> {
        let program = match self {
            Self::Library => &programs.contender,
            _ => &programs.fleet,
        };
        let mut command = match self {
            Self::Renewal => apart(program),
            _ => traced(program, &stage.file(TRACE), tampering),
        };
        command.args(self.args(stage, programs)?).env_clear();
        for name in ["PATH", "TMPDIR"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.env("HOME", stage.home()).current_dir(stage.home());
        command.stdin(self.stdin(stage, tampering)?);
        Process::start(command, stage, "subject")
    }

    fn args(self, stage: &Stage, programs: &Programs) -> Result<Vec<String>, Error> {
        let (root, lock) = (stage.arena.root().to_string(), stage.arena.lock().to_string());
        let mut args: Vec<String> = match self {
            Self::Library => return Ok(vec![root]),
            Self::Restart => vec!["restart".into(), "--settle".into(), "0s".into()],
            Self::Break => vec!["lock".into(), "break".into(), "--lock".into(), lock],
            _ => vec!["lock".into(), "run".into(), "--lock".into(), lock],
        };
        match self {
            Self::Restart => {
                args.extend(["--home".into(), stage.home().to_string_lossy().into_owned()]);
                args.extend(["--stale-after".into(), RESTARTS.into()]);
            }
            Self::RunAndStop => {
                args.extend(["--max-wait".into(), MAX_WAIT.into()]);
                args.extend(["--on-timeout".into(), "stop".into()]);
            }
            Self::Renewal => args.extend(["--stale-after".into(), STALE_AFTER.into()]),
            Self::Run => args.extend(["--stale-after".into(), IMPATIENT.into()]),
            _ => {}
        }
        if matches!(self, Self::Restart | Self::Break) {
            return Ok(args);
        }
        let me = programs.me.to_string_lossy().into_owned();
        args.extend(["--".into(), me, "work".into(), root, "subject".into()]);
        match self {
            Self::RunUntilLost => {
                args.extend(["--lose-to".into(), stage.beside()?.lock().into_string()]);
            }
            Self::Renewal => {
                let gate = stage.file(GATE).to_string_lossy().into_owned();
                args.extend(["--gate".into(), gate]);
            }
            _ => {}
        }
        Ok(args)
    }

    fn stdin(self, stage: &Stage, tampering: Option<&Tampering<'_>>) -> Result<Stdio, Error> {
        if self != Self::Library {
            return Ok(Stdio::null());
        }
        // One that was stopped may find the lock another's, and is not to wait for it.
        let lives_on = tampering.is_none_or(|tampering| tampering.fault.is_error());
        let script = if lives_on { format!("{LIFE}{AFTERLIFE}") } else { LIFE.to_owned() };
        let path = stage.file("script");
        fs::write(&path, script).map_err(Error::system("write", &path))?;
        Ok(File::open(&path).map_err(Error::system("open", &path))?.into())
    }

    /// What it told.
    pub(crate) fn told(self, stage: &Stage, end: End) -> Told {
        let mut told = Told {
            said: stage.text("subject.err").lines().map(str::to_owned).collect(),
            ran: stage.has("ran-subject"),
            lost: end == End::Code(76),
            more_descriptors: None,
        };
        // Its agent leaves a mark too, but later.
        if self == Self::Restart {
            told.ran |= stage.text("subject.out").contains("restarted a ");
        }
        if self == Self::Library {
            let out = stage.text("subject.out");
            let replies = out.lines().filter_map(|line| serde_json::from_str(line).ok());
            let log = fs::read_to_string(stage.arena.log()).unwrap_or_default();
            told.hear(&replies.collect::<Vec<Value>>(), &log);
        }
        told
    }

    /// Whether it has heard by now whether the lock is still its own.
    pub(crate) fn has_heard(self, stage: &Stage) -> bool {
        match self {
            Self::Library => stage.text("subject.out").contains("\"released\""),
            _ => stage.text("subject.err").contains("lost "),
        }
    }
}

impl Told {
    /// Makes sense of a contender's replies.
    fn hear(&mut self, replies: &[Value], log: &str) {
        let is_error = |reply: &&Value| {
            let error = reply["error"].as_str();
            error.is_some_and(|error| !["NoGuard", "Lost"].contains(&error))
        };
        let message = |reply: &Value| reply["message"].as_str().unwrap_or_default().to_owned();
        self.said.extend(replies.iter().filter(is_error).map(message));
        self.lost =
            replies.iter().any(|reply| reply["error"] == "Lost" || reply["released"] == false);
        let generation = replies.iter().filter(|reply| reply["token"].is_string());
        let generation = generation.filter_map(|reply| reply["generation"].as_u64()).next();
        self.ran = generation.is_some_and(|generation| {
            let worked = |line: &str| line.split(' ').nth(2) == Some(&generation.to_string());
            log.lines().any(worked)
        });
        let mut counts = replies.iter().filter_map(|reply| reply["files"].as_i64());
        let (first, last) = (counts.next(), counts.next_back());
        self.more_descriptors = first.zip(last).map(|(first, last)| last - first);
    }
}

/// Where a subject's trace is.
pub(crate) fn trace(stage: &Stage) -> PathBuf {
    stage.file(TRACE)
}
