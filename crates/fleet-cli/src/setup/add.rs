//! `fleet add`: one more agent.

use std::time::Duration;

use super::error::SetupError;
use super::file;
use super::{Draft, drafted, env_file};
use crate::args::Change;
use crate::args::setup::Add;
use crate::error::Error;
use crate::exit::Exit;
use crate::fleet::{self, Wish};
use crate::home::Home;
use crate::plan::Verb;
use crate::report::Screen;
use crate::roster::edit::{self, NewAgent};
use crate::roster::{self, RosterError};
use crate::supervisor::Patience;

/// Writes an agent into the roster, and starts it if that is asked for.
///
/// # Errors
///
/// When the roster cannot have it, or it does not come to a start.
pub(crate) fn add(home: &Home, args: &Add, screen: &mut Screen) -> Result<Exit, Error> {
    let agent = NewAgent {
        name: args.name.clone(),
        runtime: args.runtime.clone(),
        class: args.class.clone(),
        command: args.command.clone(),
        working_directory: args.working_directory.clone(),
        env: args.env.iter().cloned().collect(),
    };
    let draft = drafted(home, "add", args.write.write, || draft(home, &agent))?;
    if !args.start {
        screen.setup(&draft);
        return Ok(Exit::Done);
    }
    screen.written(&draft);
    let patience = Patience { grace: Duration::ZERO, settle: args.settle.settle };
    let start = Change::of_one(&agent.name, args.output, &args.lock);
    let carried = fleet::carry_out(Verb::Start, home, &start, Wish::PLAIN, patience, screen, None);
    if carried.is_err() {
        screen.added_only(&agent.name);
    }
    Ok(screen.setup_and(&draft, &carried?))
}

fn draft(home: &Home, agent: &NewAgent) -> Result<Draft, Error> {
    let roster = roster::load(home)?;
    let path = home.roster();
    if roster.agents.iter().any(|other| other.name == agent.name) {
        return Err(SetupError::NameTaken { path, name: agent.name.clone() }.into());
    }
    let mut change = file::Change::to(path.clone(), None)?;
    let text = change.before.as_deref().unwrap_or_default();
    let no_place = |_| SetupError::NoPlace { path, agent: Box::new(agent.clone()) };
    let text = edit::append(text, agent).map_err(no_place)?;
    let roster = roster::parse(home, &text).map_err(|error| refused(agent, &error))?;
    change.after = Some(text);
    // Nobody reads the env file of an agent that is not in the roster, so it comes first.
    let added = roster.agents.iter().filter(|other| other.name == agent.name);
    let env_files = added.map(|agent| env_file::change(home, agent));
    let mut changes = env_files.collect::<Result<Vec<_>, _>>()?;
    changes.push(change);
    Ok(Draft::new("add", changes))
}

/// The mistake, without a place in a text that is on no disk.
fn refused(agent: &NewAgent, error: &RosterError) -> SetupError {
    let problem = match error {
        RosterError::NoCommand { runtime, .. } => format!(
            "nothing says what to run; put `-- CMD` at the end, \
             or give the runtime a command as `runtimes.{runtime}.command`"
        ),
        RosterError::BadName { .. } => {
            "a name has letters, digits and . _ -, and is not just `.` or `..`".to_owned()
        }
        RosterError::LongName { length, .. } => {
            let limit = roster::NAME_LIMIT;
            format!("its name is {length} characters long, and the limit is {limit}")
        }
        RosterError::BadVariable { key, .. } => {
            format!("`{key}` is not the name of an environment variable")
        }
        other => other.to_string(),
    };
    SetupError::NotAnAgent { name: agent.name.clone(), problem }
}
