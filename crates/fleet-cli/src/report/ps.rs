//! `ps` and `verify`: the fleet from all sides.

use camino::Utf8Path;
use lock_fs::{Now, Verdict};
use schemars::JsonSchema;
use serde::Serialize;

use super::data::Lock;
use super::screen::{Paint, Screen};
use super::table::{self, Table};
use crate::duration::format;
use crate::heartbeat::BeatData;
use crate::home::Home;
use crate::look::panorama::{Flag, Panorama, Row};
use crate::look::verify::{Checked, Wrong};
use crate::owner::{self, Who, printable};
use crate::roster::Roster;
use crate::supervisor::{PaneSight, State, Stranger, UnitSight};
use crate::tenure::millis;

impl Screen {
    /// The fleet at one moment; one of many if it is watched.
    pub(crate) fn panorama(
        &mut self,
        home: &Home,
        roster: &Roster,
        panorama: &Panorama<'_>,
        watched: bool,
    ) {
        if self.json() {
            let lock = home.restart_lock();
            let data = PsData::new(home, &lock, panorama);
            return if watched { self.data_line(&data) } else { self.data(&data) };
        }
        for row in &panorama.rows {
            if let State::Unknown { error, .. } = &row.sight.state
                && !watched
            {
                self.complain(&format!("cannot look at {}: {error}", row.agent.name));
            }
        }
        let mut text = self.table(panorama).text(self);
        for line in self.below(roster, panorama) {
            text.push('\n');
            text.push_str(&line);
        }
        match watched {
            true => self.picture(&text),
            false => self.result(&text),
        }
    }

    fn table(&self, panorama: &Panorama<'_>) -> Table {
        let head =
            ["AGENT", "STATE", "PID", "UPTIME", "IDLE", "HEARTBEAT", "PANE", "UNIT", "FLAGS"];
        let mut table = Table::new(&head);
        for row in &panorama.rows {
            table.add(cells(row, panorama.now), Some(table::paint(&row.sight.state)));
        }
        for stranger in &panorama.strangers {
            let mut cells = vec![String::new(); head.len()];
            let filled = [(0, stranger.name.as_str()), (1, stranger.kind), (8, "unmanaged")];
            for (place, text) in filled {
                if let Some(cell) = cells.get_mut(place) {
                    *cell = text.to_owned();
                }
            }
            table.add(cells, Some(Paint::Odd));
        }
        table
    }

    /// What concerns all of them.
    fn below(&self, roster: &Roster, panorama: &Panorama<'_>) -> Vec<String> {
        let mut lines = vec![String::new()];
        if let Some(Err(why)) = &panorama.holder {
            let what = self.paint(Paint::Bad, "the holder does not answer");
            lines.push(format!("{what}: {}", printable(why)));
        }
        let supervisor = roster.supervisor.name();
        lines.push(match &panorama.lock {
            None => format!("supervisor {supervisor}; nobody restarts the fleet now"),
            Some(look) => {
                let state = match look.verdict {
                    Verdict::Stale(why) => format!("stale ({})", owner::stale(why)),
                    _ => "busy".to_owned(),
                };
                let owner = look.owner();
                let at = owner.map(super::progress).unwrap_or_default();
                let who = Who(owner);
                format!("supervisor {supervisor}; the restart lock is {state} by {who}{at}")
            }
        });
        lines
    }

    /// Whether every agent really runs.
    pub(crate) fn verified(&mut self, holder: Option<&Result<(), String>>, checked: &[Checked]) {
        if self.json() {
            self.data(&VerifyData::new(holder, checked));
        }
        if let Some(Err(why)) = holder {
            self.complain(&format!("the holder does not answer: {}", printable(why)));
        }
        let mut failed = Vec::new();
        for it @ Checked { agent, result } in checked {
            match result {
                Ok(pid) => {
                    let agent = self.paint(Paint::Strong, agent);
                    self.result(&format!("{agent} runs (pid {pid})"));
                }
                Err(wrong) if it.runs().is_none() => {
                    self.complain(&format!("cannot look at {agent}: {}", describe(wrong)));
                }
                Err(wrong) => {
                    self.complain(&format!("{agent} does not really run: {}", describe(wrong)));
                    failed.push(agent.as_str());
                }
            }
        }
        if !failed.is_empty() {
            let (count, of) = (failed.len(), checked.len());
            self.complain(&format!("{count} of {of} agents do not run: {}", failed.join(", ")));
        }
    }
}

fn cells(row: &Row<'_>, now: Now) -> Vec<String> {
    let (name, pid, uptime) = table::state(&row.sight.state);
    let flags = row.flags.iter().map(|flag| flag_name(*flag).to_owned());
    let hands = row.in_the_hands_of.map(|pid| format!("in the hands of pid {pid}"));
    let beat = row.beat.as_ref().map(|beat| {
        let (age, status) = (format(beat.age(now.wall)), printable(&beat.status));
        if status.is_empty() { format!("{age} ago") } else { format!("{status}, {age} ago") }
    });
    let unit = row.sight.unit.as_ref().map(|unit| {
        let enabled = match unit.enabled {
            Some(true) => ", enabled",
            Some(false) => ", disabled",
            None => "",
        };
        format!("{}{enabled}", unit.active)
    });
    let pane = row.sight.pane.as_ref().map(|pane| format!("{}:{}", pane.session, pane.id));
    vec![
        row.agent.name.clone(),
        name.to_owned(),
        pid.map(|pid| pid.to_string()).unwrap_or_default(),
        uptime.map(format).unwrap_or_default(),
        row.idle(now).map(format).unwrap_or_default(),
        beat.unwrap_or_default(),
        pane.unwrap_or_default(),
        unit.unwrap_or_default(),
        flags.chain(hands).collect::<Vec<_>>().join(", "),
    ]
}

const fn flag_name(flag: Flag) -> &'static str {
    match flag {
        Flag::Dead => "dead",
        Flag::Leftover => "leftover processes",
        Flag::Suspended => "suspended",
        Flag::DriftCommand => "drift: command",
        Flag::DriftDirectory => "drift: directory",
        Flag::DriftUnitFile => "drift: unit file",
        Flag::NotEnabled => "not enabled",
        Flag::OtherPid => "heartbeat of another pid",
    }
}

fn describe(wrong: &Wrong) -> String {
    match wrong {
        Wrong::Suspended(pid) => {
            format!("process {pid} is suspended; `kill -CONT {pid}` lets it go on")
        }
        Wrong::Gone(pid) => format!("there is no process {pid}"),
        Wrong::State(state) => match state {
            State::Running { pid, .. } => format!("process {pid} is not to be found"),
            State::Starting => "it is still starting".to_owned(),
            State::Stopping { .. } => "it is being stopped".to_owned(),
            State::Stopped => "it is stopped".to_owned(),
            State::Dead { how: Some(how), .. } => format!("it ended ({how})"),
            State::Dead { how: None, .. } => "it ended by itself".to_owned(),
            State::Unknown { error, .. } => error.clone(),
        },
    }
}

/// `ps`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PsData<'a> {
    /// The fleet's home.
    #[schemars(with = "String")]
    home: &'a Utf8Path,
    /// Who restarts the fleet now.
    lock: Lock<'a>,
    /// Whether the holder is of use; absent where there is no such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderData<'a>>,
    /// Each agent, in the order of the roster.
    agents: Vec<AgentData<'a>>,
    /// What looks like an agent and is not in the roster.
    unmanaged: &'a [Stranger],
}

/// The holder.
#[derive(Debug, Serialize, JsonSchema)]
struct HolderData<'a> {
    /// Whether it answers.
    answers: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a str>,
}

/// One agent.
#[derive(Debug, Serialize, JsonSchema)]
struct AgentData<'a> {
    /// Its name.
    name: &'a str,
    #[serde(flatten)]
    state: &'a State,
    /// How long ago its pane was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_ms: Option<u64>,
    /// What it said of itself last.
    #[serde(skip_serializing_if = "Option::is_none")]
    heartbeat: Option<BeatData>,
    /// Its pane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pane: Option<&'a PaneSight>,
    /// Its unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a UnitSight>,
    /// The process that restarts, starts or stops it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_the_hands_of: Option<u32>,
    /// What is odd about it.
    flags: &'a [Flag],
}

impl<'a> PsData<'a> {
    fn new(home: &'a Home, lock: &'a Utf8Path, panorama: &'a Panorama<'_>) -> Self {
        let agents = panorama.rows.iter().map(|row| AgentData {
            name: &row.agent.name,
            state: &row.sight.state,
            idle_ms: row.idle(panorama.now).map(millis),
            heartbeat: row.beat.as_ref().map(|beat| beat.data(panorama.now.wall)),
            pane: row.sight.pane.as_ref(),
            unit: row.sight.unit.as_ref(),
            in_the_hands_of: row.in_the_hands_of,
            flags: &row.flags,
        });
        Self {
            home: home.root(),
            lock: Lock::new(lock, panorama.lock.as_ref()),
            holder: panorama.holder.as_ref().map(HolderData::new),
            agents: agents.collect(),
            unmanaged: &panorama.strangers,
        }
    }
}

impl<'a> HolderData<'a> {
    fn new(holder: &'a Result<(), String>) -> Self {
        Self { answers: holder.is_ok(), problem: holder.as_ref().err().map(String::as_str) }
    }
}

/// `verify`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct VerifyData<'a> {
    /// Whether the holder is of use; absent where there is no such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<HolderData<'a>>,
    /// Each agent that was to be checked.
    agents: Vec<CheckedData<'a>>,
}

/// One agent.
#[derive(Debug, Serialize, JsonSchema)]
struct CheckedData<'a> {
    /// Its name.
    name: &'a str,
    /// Whether it really runs; absent if it cannot be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs: Option<bool>,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

impl<'a> VerifyData<'a> {
    fn new(holder: Option<&'a Result<(), String>>, checked: &'a [Checked]) -> Self {
        let agents = checked.iter().map(|it @ Checked { agent, result }| CheckedData {
            name: agent,
            runs: it.runs(),
            pid: result.as_ref().ok().copied(),
            problem: result.as_ref().err().map(describe),
        });
        Self { holder: holder.map(HolderData::new), agents: agents.collect() }
    }
}
