//! `fleet remove`: one agent less.

use std::time::Duration;

use super::error::SetupError;
use super::file;
use super::systemctl::Call;
use super::{Draft, WAIT_LIMIT, alone};
use crate::args::Change;
use crate::args::setup::Remove;
use crate::error::Error;
use crate::exit::Exit;
use crate::fleet::{self, Fenced, Last, Wish};
use crate::home::Home;
use crate::plan::{Plan, Verb};
use crate::report::Screen;
use crate::roster::{self, SupervisorKind, edit};
use crate::supervisor::Patience;

/// Stops an agent, disables its unit and takes it out of the roster, all under the restart
/// lock: nobody can start it again in between.
///
/// # Errors
///
/// When there is no such agent, or it cannot be taken out. An agent that cannot be stopped
/// stays in the roster.
pub(crate) fn remove(home: &Home, args: &Remove, screen: &mut Screen) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    Plan::new(&roster, Verb::Stop, std::slice::from_ref(&args.name))?;
    if !args.write.write {
        let draft = draft(home, args)?;
        screen.setup(&draft);
        return Ok(Exit::Done);
    }
    // Whatever is in the way of the edit shows before anything is stopped.
    draft(home, args)?;
    let patience = Patience { grace: args.grace.grace, settle: Duration::ZERO };
    let stop = Change::of_one(&args.name, args.output, &args.lock);
    let mut done = Draft::new("remove", Vec::new());
    let mut work = |fenced: &mut Fenced<'_>| {
        done = alone(home, "remove", || {
            let mut draft = Some(draft(home, args)?);
            let mut withdrawn = None;
            let label = format!("removing {}", args.name);
            fenced(&label, &mut || withdrawn = draft.take().map(Draft::withdraw))?;
            withdrawn.unwrap_or_else(|| Ok(Draft::new("remove", Vec::new())))
        })?;
        Ok(())
    };
    let last = Some(Last { limit: WAIT_LIMIT, work: &mut work });
    let carried = fleet::carry_out(Verb::Stop, home, &stop, Wish::PLAIN, patience, screen, last)?;
    Ok(screen.setup_and(&done, &carried))
}

fn draft(home: &Home, args: &Remove) -> Result<Draft, Error> {
    let (path, name) = (home.roster(), args.name.clone());
    let mut change = file::Change::to(path.clone(), None)?;
    let text = change.before.as_deref().unwrap_or_default();
    let roster = roster::parse(home, text)?;
    if let [_] = roster.agents.as_slice() {
        return Err(SetupError::OnlyAgent { path, name }.into());
    }
    let text = edit::remove(text, &name);
    change.after = Some(text.map_err(|_| SetupError::NoWayOut { path, name: name.clone() })?);
    let mut changes = vec![change];
    if args.purge {
        // Last: without the roster's entry nobody misses it.
        let env_file = file::Change::to(home.env_file(&name), None)?;
        changes.push(file::Change { secret: true, ..env_file });
    }
    let mut draft = Draft::new("remove", changes);
    if roster.supervisor == SupervisorKind::Systemd {
        draft.calls.push(Call::disable(roster.units.agent(&name)));
    }
    Ok(draft)
}
