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

/// `restart`, `start`, `stop`.
#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    verb: Verb,
    /// `complete`, `held_back`, `interrupted`, `lock_lost` or `lock_failed`.
    ending: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    lock: Ownership<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<TurnData>,
    agents: Vec<AgentTurn<'a>>,
}

#[derive(Debug, Serialize)]
struct Ownership<'a> {
    path: &'a Utf8Path,
    token: &'a str,
    generation: u64,
}

#[derive(Debug, Serialize)]
struct AgentTurn<'a> {
    agent: &'a str,
    #[serde(flatten)]
    turn: TurnData,
}

#[derive(Debug, Default, Serialize)]
struct TurnData {
    /// `restarted`, `started`, `stopped`, `already`, `failed`, `cut_short`, `earlier` or
    /// `not_reached`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    killed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
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
            Ending::Complete => ("complete", None, None),
            Ending::HeldBack => ("held_back", None, None),
            Ending::Interrupted(signal) => ("interrupted", Some(*signal), None),
            Ending::Refused(refusal) => {
                let lost = matches!(refusal, lock_fs::Error::Lost { .. });
                let ending = if lost { "lock_lost" } else { "lock_failed" };
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
            lock: Ownership { path, token: token.as_str(), generation: generation.0 },
            holder: outcome.holder.as_ref().map(|turn| TurnData::new(verb, turn)),
            agents: agents.collect(),
        }
    }
}

impl TurnData {
    fn new(verb: Verb, turn: &Turn) -> Self {
        let of = |result| Self { result, ..Self::default() };
        match turn {
            Turn::Done(done) => Self {
                result: match (verb, done.started, done.stopped) {
                    (Verb::Restart | Verb::Start, None, _) | (Verb::Stop, _, None) => "already",
                    (_, Some(_), _) | (Verb::Stop, ..) => verb.done(),
                },
                pid: done.started,
                killed: done.stopped.map(|stopped| stopped == Stopped::Killed),
                error: None,
            },
            Turn::Failed(problem) => Self { error: Some(error::chain(problem)), ..of("failed") },
            Turn::CutShort { .. } => of("cut_short"),
            Turn::Earlier => of("earlier"),
            Turn::NotReached => of("not_reached"),
        }
    }
}

/// `restart --join`, when another restart did the work.
#[derive(Debug, Serialize)]
pub(super) struct Joined<'a> {
    verb: Verb,
    /// `joined`.
    ending: &'static str,
    /// The ownership that did it.
    generation: u64,
    agents: &'a [AgentMark],
}

impl<'a> Joined<'a> {
    /// What it has done.
    pub(super) fn new(verb: Verb, last: &'a Standing) -> Self {
        Self { verb, ending: "joined", generation: last.generation, agents: &last.agents }
    }
}

/// `status`.
#[derive(Debug, Serialize)]
pub(super) struct Status<'a> {
    home: &'a Utf8Path,
    lock: Lock<'a>,
    /// How far the last command came that stopped before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    unfinished: Option<&'a Standing>,
    agents: Vec<AgentStatus<'a>>,
}

#[derive(Debug, Serialize)]
struct AgentStatus<'a> {
    name: &'a str,
    runtime: &'a str,
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

/// Who has a lock.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Lock<'a> {
    /// The lock file.
    #[schemars(with = "String")]
    path: &'a Utf8Path,
    /// `free`, `held` or `stale`.
    state: &'static str,
    /// Why it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Who has it, if its file can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
}

impl<'a> Lock<'a> {
    /// What a look showed.
    pub(super) fn new(path: &'a Utf8Path, look: Option<&'a lock_fs::Status>) -> Self {
        let (state, reason) = match look.map(|look| look.verdict) {
            None | Some(Verdict::Free) => ("free", None),
            Some(Verdict::Stale(why)) => ("stale", Some(owner::stale(why))),
            Some(Verdict::TimedOut | Verdict::Wait { .. }) => ("held", None),
        };
        let owner = look.and_then(|look| {
            let record = look.owner()?;
            Some(Owner::new(record, look.now))
        });
        Self { path, state, reason, owner }
    }
}

/// `lock break`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Broken<'a> {
    /// The lock file.
    #[schemars(with = "String")]
    path: &'a Utf8Path,
    /// `taken_away`, `was_free` or `other_owner`.
    result: &'static str,
    /// Whom it was taken from, or who has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<Owner<'a>>,
}

impl<'a> Broken<'a> {
    /// What became of the lock.
    pub(super) fn new(path: &'a Utf8Path, evicted: &'a Evicted) -> Self {
        let now = lock_fs::Clock::default().now();
        let (result, record) = match evicted {
            Evicted::Done(record) => ("taken_away", record.as_ref()),
            Evicted::WasFree => ("was_free", None),
            Evicted::Other(record) => ("other_owner", record.as_ref()),
        };
        Self { path, result, owner: record.map(|record| Owner::new(record, now)) }
    }
}
