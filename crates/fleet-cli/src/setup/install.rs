//! `fleet install`: the units of a systemd fleet.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::SetupError;
use super::file::Kind;
use super::systemctl::{self, Call};
use super::{Draft, drafted, env_file, units};
use crate::args::setup::Install;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::{self, Environment, Home};
use crate::report::Screen;
use crate::roster::{self, Agent, Roster, SupervisorKind};
use crate::supervisor::session_name;

/// Where a unit directory keeps what is started at login.
const WANTED: &str = "default.target.wants";

/// Writes the unit files, brings the env files up to date, reloads systemd and enables the
/// units. Only what is not so already is done.
///
/// # Errors
///
/// When the roster is not one of units, or something cannot be written or enabled.
pub(crate) fn install(
    home: &Home,
    environment: &Environment,
    args: &Install,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let place = Place::find(args, environment)?;
    let write = args.write.write;
    let refuse = |draft: &Draft| if args.force { Ok(()) } else { draft.refuse_others() };
    let draft = drafted(home, "install", write, || {
        let draft = draft(home, &place)?;
        if write {
            refuse(&draft)?;
        }
        Ok(draft)
    })?;
    screen.setup(&draft);
    if !write {
        refuse(&draft)?;
    }
    Ok(Exit::Done)
}

/// Where the units go.
struct Place {
    directory: Utf8PathBuf,
    /// Whether systemd looks there.
    in_use: bool,
    enable: bool,
}

impl Place {
    fn find(args: &Install, environment: &Environment) -> Result<Self, Error> {
        let directory = match &args.unit_dir {
            Some(directory) => home::absolute(directory)?,
            None => home::unit_directory(environment).ok_or(SetupError::NoUnitDirectory)?,
        };
        let in_use = args.unit_dir.is_none();
        Ok(Self { directory, in_use, enable: in_use && !args.no_enable })
    }
}

fn draft(home: &Home, place: &Place) -> Result<Draft, Error> {
    let mut roster = roster::load(home)?;
    // What systemd would have to make of a mistake in one shows now.
    roster.read_env_files(home, &[])?;
    if roster.supervisor != SupervisorKind::Systemd {
        let supervisor = roster.supervisor.name();
        return Err(SetupError::NoUnits { path: home.roster(), supervisor }.into());
    }
    check_commands(&roster.agents)?;
    check_sessions(home, &roster)?;
    let env_files = roster.agents.iter().map(|agent| env_file::change(home, agent));
    let mut changes = env_files.collect::<Result<Vec<_>, _>>()?;
    let units = units::changes(&place.directory, home, &roster.units)?;
    let changed = units.iter().any(|change| change.kind() != Kind::Kept);
    changes.extend(units);
    let mut draft = Draft::new("install", changes);
    let wanted: Vec<String> = std::iter::once(roster.units.holder.clone())
        .chain(roster.agents.iter().map(|agent| roster.units.agent(&agent.name)))
        .collect();
    // An earlier call may have written the files and got no further.
    if place.in_use && (changed || systemctl::is_behind(&wanted)) {
        draft.calls.push(Call::reload());
    }
    let enabled = enabled(&place.directory);
    let missing: Vec<_> = wanted.iter().filter(|unit| !enabled.contains(*unit)).cloned().collect();
    if place.enable && !missing.is_empty() {
        draft.calls.push(Call::enable(missing));
    }
    let is_stray = |unit: &String| roster.units.agent_of(unit).is_some() && !wanted.contains(unit);
    draft.strays = enabled.into_iter().filter(is_stray).collect();
    Ok(draft)
}

/// Units that would start only to fail.
fn check_commands(agents: &[Agent]) -> Result<(), SetupError> {
    let without = agents.iter().filter(|agent| agent.command.is_empty());
    let names: Vec<String> = without.map(|agent| agent.name.clone()).collect();
    match names.is_empty() {
        true => Ok(()),
        false => Err(SetupError::NoCommands { names }),
    }
}

/// Units that would end each other's sessions.
fn check_sessions(home: &Home, roster: &Roster) -> Result<(), SetupError> {
    let holder = &roster.tmux.holder_session;
    let mut taken = BTreeMap::from([(session_name(holder), holder)]);
    for agent in &roster.agents {
        if let Some(other) = taken.insert(session_name(&agent.name), &agent.name) {
            let (other, name) = (other.clone(), agent.name.clone());
            return Err(SetupError::SameSession { path: home.roster(), other, name });
        }
    }
    Ok(())
}

/// The units that are started at login. A directory that is not there holds none, and one
/// that cannot be read is no reason not to ask systemd.
fn enabled(directory: &Utf8Path) -> BTreeSet<String> {
    let entries = directory.join(WANTED).read_dir_utf8();
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_owned()).collect()
}
