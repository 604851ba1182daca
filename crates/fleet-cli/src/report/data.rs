//! The shape of every `--json` output.

use camino::Utf8Path;
use lock_fs::{Evicted, Generation, Token, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error;
use crate::home::Home;
use crate::outcome::{Ending, Outcome, Stopped, Turn};
use crate::owner::{self, Owner};
use crate::plan::Verb;
use crate::roster::{Kept, Roster, SupervisorKind};
use crate::standing::{AgentMark, Standing};
use crate::supervisor::State;

/// What became of the agents.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Change<'a> {
    /// What was to be done.
    verb: Verb,
    /// How the work ended.
    ending: EndingData,
    /// The signal that interrupted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    /// What was wrong with the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why the lock could not be released afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreleased: Option<String>,
    /// The ownership under which it was done.
    lock: Ownership<'a>,
    /// What became of the holder; absent if it had no turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<TurnData>,
    /// What became of each agent, in the order of the work.
    agents: Vec<AgentTurn<'a>>,
}

/// How the work ended.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename = "Ending", rename_all = "snake_case")]
enum EndingData {
    /// Everything was attempted.
    Complete,
    /// An agent failed, and the others were not to have their turns then.
    HeldBack,
    /// A signal ended it; the lock was released.
    Interrupted,
    /// Another took the lock over.
    LockLost,
    /// The lock could not be used any more.
    LockFailed,
}

/// One ownership of a lock.
#[derive(Debug, JsonSchema, Serialize)]
struct Ownership<'a> {
    /// The lock file.
    #[schemars(with = "&str")]
    path: &'a Utf8Path,
    /// Names this ownership and no other.
    token: &'a str,
    /// Grows with each ownership of the lock.
    generation: u64,
}

/// What became of one agent.
#[derive(Debug, JsonSchema, Serialize)]
struct AgentTurn<'a> {
    /// Its name.
    agent: &'a str,
    #[serde(flatten)]
    turn: TurnData,
}

/// What became of one turn.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename = "Turn")]
struct TurnData {
    /// In a word.
    result: TurnResult,
    /// The process that was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// Whether the process that was stopped had to be killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    killed: Option<bool>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What became of one turn, in a word.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum TurnResult {
    /// It was stopped, if it ran, and started.
    Restarted,
    /// It was started.
    Started,
    /// It was stopped.
    Stopped,
    /// It was as it should be, and nothing was done.
    Already,
    /// It failed.
    Failed,
    /// The work ended in the middle of its turn.
    CutShort,
    /// An earlier restart, which this one went on with, had done it.
    Earlier,
    /// The work ended before its turn.
    NotReached,
}

impl<'a> Change<'a> {
    /// What became of a plan.
    pub(super) fn new(
        path: &'a Utf8Path,
        token: &'a Token,
        generation: Generation,
        outcome: &'a Outcome<lock_fs::Error>,
    ) -> Self {
        let verb = outcome.verb;
        let (ending, signal, error) = match &outcome.ending {
            Ending::Complete => (EndingData::Complete, None, None),
            Ending::HeldBack => (EndingData::HeldBack, None, None),
            Ending::Interrupted(signal) => (EndingData::Interrupted, Some(*signal), None),
            Ending::Refused(refusal) => {
                let ending = match refusal {
                    lock_fs::Error::Lost { .. } => EndingData::LockLost,
                    _ => EndingData::LockFailed,
                };
                (ending, None, Some(error::chain(refusal)))
            }
        };
        let agents = outcome.agents.iter().map(|report| AgentTurn {
            agent: &report.agent,
            turn: TurnData::new(verb, &report.turn),
        });
        Self {
            verb,
            ending,
            signal,
            error,
            unreleased: outcome.unreleased.as_ref().map(|error| error::chain(error)),
            lock: Ownership { path, token: token.as_str(), generation: generation.0 },
            holder: outcome.holder.as_ref().map(|turn| TurnData::new(verb, turn)),
            agents: agents.collect(),
        }
    }
}

impl TurnData {
    fn new(verb: Verb, turn: &Turn) -> Self {
        let of = |result| Self { result, pid: None, killed: None, error: None };
        match turn {
            Turn::Done(done) => Self {
                result: match (verb, done.started, done.stopped) {
                    (Verb::Restart, Some(_), _) => TurnResult::Restarted,
                    (Verb::Start, Some(_), _) => TurnResult::Started,
                    (Verb::Stop, _, Some(_)) => TurnResult::Stopped,
                    (Verb::Restart | Verb::Start, None, _) | (Verb::Stop, _, None) => {
                        TurnResult::Already
                    }
                },
                pid: done.started,
                killed: done.stopped.map(|stopped| stopped == Stopped::Killed),
                error: None,
            },
            Turn::Failed(problem) => {
                Self { error: Some(error::chain(problem)), ..of(TurnResult::Failed) }
            }
            Turn::CutShort { .. } => of(TurnResult::CutShort),
            Turn::Earlier => of(TurnResult::Earlier),
            Turn::NotReached => of(TurnResult::NotReached),
        }
    }
}

/// What another restart did that this one waited for (`--join`).
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Joined<'a> {
    /// What was to be done.
    verb: Verb,
    /// How the work ended here.
    ending: JoinedEnding,
    /// The ownership that did it.
    generation: u64,
    /// How far each agent came.
    agents: &'a [AgentMark],
}

/// How the work ended that another restart did.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum JoinedEnding {
    /// Another did it, and this one waited for its end and took its exit code.
    Joined,
}

impl<'a> Joined<'a> {
    /// What it has done.
    pub(super) fn new(verb: Verb, last: &'a Standing) -> Self {
        Self {
            verb,
            ending: JoinedEnding::Joined,
            generation: last.generation,
            agents: &last.agents,
        }
    }
}

/// The agents, and who changes them.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Status<'a> {
    /// The home directory.
    #[schemars(with = "&str")]
    home: &'a Utf8Path,
    /// The restart lock.
    lock: Lock<'a>,
    /// How far the last command came that stopped before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished: Option<&'a Standing>,
    /// Each agent, in the order of the roster.
    agents: Vec<AgentStatus<'a>>,
}

/// One agent.
#[derive(Debug, JsonSchema, Serialize)]
struct AgentStatus<'a> {
    /// Its name.
    name: &'a str,
    /// Its runtime.
    runtime: &'a str,
    /// Its class.
    class: &'a str,
    #[serde(flatten)]
    state: &'a State,
    /// Where its output goes, if that is a file of fleet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(flatten)]
    kept: &'a Kept,
}

impl<'a> Status<'a> {
    /// The agents with their states.
    pub(super) fn new(
        home: &'a Home,
        path: &'a Utf8Path,
        lock: Option<&'a lock_fs::Status>,
        unfinished: Option<&'a Standing>,
        roster: &'a Roster,
        states: &'a [State],
    ) -> Self {
        let has_log = roster.supervisor == SupervisorKind::Process;
        let agents = roster.agents.iter().zip(states).map(|(agent, state)| AgentStatus {
            name: &agent.name,
            runtime: &agent.runtime,
            class: &agent.class,
            state,
            log: has_log.then(|| home.log(&agent.name).into_string()),
            kept: &agent.kept,
        });
        let lock = Lock::new(path, lock);
        Self { home: home.root(), lock, unfinished, agents: agents.collect() }
    }
}

/// What a look at a lock showed.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Lock<'a> {
    /// The lock file.
    #[schemars(with = "&str")]
    path: &'a Utf8Path,
    /// Whether somebody has it.
    state: LockState,
    /// Why it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Who has it; absent where nobody does, or the file is no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
}

/// Whether somebody has a lock.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum LockState {
    /// Nobody has it.
    Free,
    /// Its owner works.
    Held,
    /// Its owner is gone or hung; the next who wants it takes it over.
    Stale,
}

impl<'a> Lock<'a> {
    /// What a look showed.
    pub(super) fn new(path: &'a Utf8Path, look: Option<&'a lock_fs::Status>) -> Self {
        let (state, reason) = match look.map(|look| look.verdict) {
            None | Some(Verdict::Free) => (LockState::Free, None),
            Some(Verdict::Stale(why)) => (LockState::Stale, Some(owner::stale(why))),
            Some(Verdict::TimedOut(_) | Verdict::Wait { .. }) => (LockState::Held, None),
        };
        let owner = look.and_then(|look| {
            let record = look.owner()?;
            Some(Owner::new(record, look.now))
        });
        Self { path, state, reason, owner }
    }
}

/// What became of a lock that was to be taken away.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Broken<'a> {
    /// The lock file.
    #[schemars(with = "&str")]
    path: &'a Utf8Path,
    /// What became of it.
    result: BreakResult,
    /// Who had it, or has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
    /// The processes that had it kernel-locked: what they do goes on.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    holders: &'a [u32],
}

/// What became of a lock that was to be taken away.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum BreakResult {
    /// It was taken away from its owner.
    TakenAway,
    /// Nobody had it.
    WasFree,
    /// It is another ownership than `--generation` says, and was left alone.
    OtherOwner,
    /// Its owner lives, is not preemptible, and was not named by `--generation`.
    OwnerLives,
    /// A process that wrote no record has it kernel-locked: only that can let go of it.
    Unbreakable,
}

impl<'a> Broken<'a> {
    /// What became of the lock.
    pub(super) fn new(path: &'a Utf8Path, evicted: &'a Evicted, holders: &'a [u32]) -> Self {
        let now = lock_fs::Clock::default().now();
        let (result, record) = match evicted {
            Evicted::Done(record) => (BreakResult::TakenAway, record.as_ref()),
            Evicted::WasFree => (BreakResult::WasFree, None),
            Evicted::Other(record) => (BreakResult::OtherOwner, record.as_ref()),
            Evicted::Living(record) => (BreakResult::OwnerLives, Some(record)),
            Evicted::Unbreakable(record) => (BreakResult::Unbreakable, record.as_ref()),
        };
        Self { path, result, owner: record.map(|record| Owner::new(record, now)), holders }
    }
}
