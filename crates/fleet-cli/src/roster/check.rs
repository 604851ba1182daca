//! The checks that a roster has to pass, and the defaults that it leaves to us.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_saphyr::Spanned;

use super::error::{Place, RosterError};
use super::file::{AgentEntry, Argv, RosterFile, Runtime, SupervisorKind};
use super::template::Template;
use super::{Agent, Kept, NAME_LIMIT, Roster, env_file, names};
use crate::home::Home;

const DEFAULT_CLASS: &str = "worker";
const DEFAULT_WORKING_DIRECTORY: &str = "~/src";

/// Turns the file at `path` into a roster.
///
/// # Errors
///
/// The first check that fails, with its place in the file.
pub(super) fn check(path: &Utf8Path, file: RosterFile, home: &Home) -> Result<Roster, RosterError> {
    if file.version.value != 1 {
        let place = place(path, &file.version);
        return Err(RosterError::Version { place, found: file.version.value });
    }
    if file.transport.value != "tmux" {
        let place = place(path, &file.transport);
        return Err(RosterError::Transport { place, found: file.transport.value });
    }
    if file.agents.value.is_empty() {
        return Err(RosterError::NoAgents { place: place(path, &file.agents) });
    }
    check_names(path, &file.agents.value)?;
    let supervisor = file.supervisor;
    let tmux = names::tmux(path, file.tmux)?;
    let units = names::units(path, file.systemd)?;
    if supervisor == SupervisorKind::Tmux {
        names::check_sessions(path, &tmux, &file.agents.value)?;
    }
    let directory = file.defaults.working_directory;
    let directory = directory.as_deref();
    let context = Context { path, home, supervisor, runtimes: &file.runtimes, directory };
    let agents = file.agents.value.into_iter().map(|entry| context.agent(entry));
    Ok(Roster { supervisor, tmux, units, agents: agents.collect::<Result<_, _>>()? })
}

/// What the agents of one roster have in common.
struct Context<'a> {
    path: &'a Utf8Path,
    home: &'a Home,
    supervisor: SupervisorKind,
    runtimes: &'a BTreeMap<String, Runtime>,
    directory: Option<&'a str>,
}

impl Context<'_> {
    fn agent(&self, entry: AgentEntry) -> Result<Agent, RosterError> {
        let command = self.command(&entry)?;
        self.check_env(&entry)?;
        let directory = entry.working_directory.as_deref().or(self.directory);
        let working_directory = self.home.expand(directory.unwrap_or(DEFAULT_WORKING_DIRECTORY));
        let default_directory = directory.is_none();
        let template = Template {
            name: &entry.name.value,
            runtime: &entry.runtime,
            working_directory: working_directory.as_str(),
            home: self.home.root().as_str(),
        };
        Ok(Agent {
            command: command.iter().map(|argument| template.fill(argument)).collect(),
            default_directory,
            working_directory,
            name: entry.name.value,
            runtime: entry.runtime,
            class: entry.class.unwrap_or_else(|| DEFAULT_CLASS.to_owned()),
            env: entry.env,
            kept: Kept {
                host: entry.host,
                ssh: entry.ssh,
                socket: entry.socket,
                model_hint: entry.model_hint,
                reset_between_tasks: entry.reset_between_tasks,
            },
        })
    }

    /// systemd's units know their commands, so a Mosaic roster has none.
    fn command<'a>(&'a self, entry: &'a AgentEntry) -> Result<&'a [String], RosterError> {
        let of_runtime = || self.runtimes.get(&entry.runtime)?.command.as_ref();
        match (entry.command.as_ref().or_else(of_runtime), self.supervisor) {
            (Some(Spanned { value: Argv(argv), .. }), _) => Ok(argv),
            (None, SupervisorKind::Systemd) => Ok(&[]),
            (None, SupervisorKind::Tmux | SupervisorKind::Process) => Err(RosterError::NoCommand {
                place: place(self.path, &entry.name),
                name: entry.name.value.clone(),
                runtime: entry.runtime.clone(),
            }),
        }
    }

    fn check_env(&self, entry: &AgentEntry) -> Result<(), RosterError> {
        match entry.env.keys().find(|key| !env_file::is_variable_name(key)) {
            None => Ok(()),
            Some(key) => Err(RosterError::BadVariable {
                place: place(self.path, &entry.name),
                key: key.clone(),
            }),
        }
    }
}

fn check_names(path: &Utf8Path, entries: &[AgentEntry]) -> Result<(), RosterError> {
    let mut lines = BTreeMap::new();
    for entry in entries {
        let name = &entry.name.value;
        if !is_name(name) {
            let place = place(path, &entry.name);
            return Err(RosterError::BadName { place, name: name.clone() });
        }
        if name.len() > NAME_LIMIT {
            let place = place(path, &entry.name);
            return Err(RosterError::LongName { place, length: name.len() });
        }
        let line = entry.name.referenced.line();
        if let Some(first) = lines.insert(name, line) {
            let place = place(path, &entry.name);
            return Err(RosterError::SameName { place, name: name.clone(), first });
        }
    }
    Ok(())
}

/// `^[A-Za-z0-9_.-]+$`, but not a name that leads out of a directory.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !name.is_empty() && name.chars().all(allowed) && !matches!(name, "." | "..")
}

/// Where a value stands.
pub(super) fn place<T>(path: &Utf8Path, value: &Spanned<T>) -> Place {
    Place::new(path, Some(value.referenced))
}
