//! The names that tmux and systemd know the parts of a fleet by.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_saphyr::Spanned;

use super::check::place;
use super::error::RosterError;
use super::file::{AgentEntry, SystemdKeys, TmuxKeys};
use super::{NAME, Tmux, Units};

const HOLDER_SESSION: &str = "_holder";
const HOLDER_UNIT: &str = "mosaic-tmux-holder.service";
const AGENT_UNIT: &str = "mosaic-agent@{name}.service";

/// What a unit's name may hold beside letters and digits.
const UNIT_CHARACTERS: &str = ":-_.\\@";

/// Where the sessions are.
///
/// # Errors
///
/// When tmux could not use a name.
pub(super) fn tmux(path: &Utf8Path, keys: TmuxKeys) -> Result<Tmux, RosterError> {
    let is_socket = |name: &str| !name.is_empty() && !name.contains('/');
    let socket_name = checked(path, keys.socket_name, is_socket, SOCKET_RULE)?;
    let is_session = |name: &str| !name.is_empty() && !name.chars().any(char::is_control);
    let holder = checked(path, keys.holder_session, is_session, SESSION_RULE)?;
    let holder_session = holder.unwrap_or_else(|| HOLDER_SESSION.to_owned());
    Ok(Tmux { socket_name, holder_session })
}

const SOCKET_RULE: &str = "a tmux socket's name is not empty and holds no slash";
const SESSION_RULE: &str = "a tmux session's name is not empty and holds no control character";
const HOLDER_RULE: &str =
    "a service's name ends in .service and holds letters, digits and : - _ . @";
const AGENT_RULE: &str = "an agents' service holds {name} once, ends in .service, \
                          and has letters, digits and : - _ . @ beside that";

/// What the units are called.
///
/// # Errors
///
/// When systemd could not use a name.
pub(super) fn units(path: &Utf8Path, keys: SystemdKeys) -> Result<Units, RosterError> {
    let holder = checked(path, keys.holder_unit, is_service, HOLDER_RULE)?;
    let is_agents =
        |unit: &str| unit.matches(NAME).count() == 1 && is_service(&unit.replace(NAME, "name"));
    let agent = checked(path, keys.agent_unit, is_agents, AGENT_RULE)?;
    Ok(Units {
        holder: holder.unwrap_or_else(|| HOLDER_UNIT.to_owned()),
        agent: agent.unwrap_or_else(|| AGENT_UNIT.to_owned()),
    })
}

/// Two agents in one session would be one. tmux writes `_` for a dot.
///
/// # Errors
///
/// When two agents, or an agent and the holder, would have the same session.
pub(super) fn check_sessions(
    path: &Utf8Path,
    tmux: &Tmux,
    entries: &[AgentEntry],
) -> Result<(), RosterError> {
    let session = |name: &str| name.replace(['.', ':'], "_");
    let mut taken = BTreeMap::from([(session(&tmux.holder_session), "the holder")]);
    for entry in entries {
        let name = &entry.name.value;
        if let Some(other) = taken.insert(session(name), name) {
            return Err(RosterError::SameSession {
                place: place(path, &entry.name),
                name: name.clone(),
                other: other.to_owned(),
            });
        }
    }
    Ok(())
}

fn checked(
    path: &Utf8Path,
    name: Option<Spanned<String>>,
    is_good: impl Fn(&str) -> bool,
    rule: &'static str,
) -> Result<Option<String>, RosterError> {
    match name {
        Some(name) if !is_good(&name.value) => {
            Err(RosterError::BadForeignName { place: place(path, &name), name: name.value, rule })
        }
        name => Ok(name.map(|name| name.value)),
    }
}

fn is_service(unit: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || UNIT_CHARACTERS.contains(c);
    let stem = unit.strip_suffix(".service");
    stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('-') && stem.chars().all(allowed))
}
