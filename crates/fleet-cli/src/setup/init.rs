//! `fleet init`: a home to begin with.

use super::file::{self, Change};
use super::{Draft, drafted, env_file, first_roster};
use crate::args::setup::Init;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::report::Screen;
use crate::roster;

/// Writes a first roster, its env files and the run directory.
///
/// # Errors
///
/// When there is another roster and it may not be written over, or the files cannot be.
pub(crate) fn init(home: &Home, args: &Init, screen: &mut Screen) -> Result<Exit, Error> {
    let write = args.write.write;
    let refuse = |draft: &Draft| if args.force { Ok(()) } else { draft.refuse_others() };
    if write {
        refuse(&first(home, args)?)?;
        file::make_directory(&home.run(), 0o700)?;
    }
    let draft = drafted(home, "init", write, || {
        let draft = first(home, args)?;
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

fn first(home: &Home, args: &Init) -> Result<Draft, Error> {
    let text = first_roster::text(args.supervisor);
    let agents = roster::parse(home, &text)?.agents;
    let env_files = agents.iter().map(|agent| env_file::change(home, agent));
    let mut changes = env_files.collect::<Result<Vec<_>, _>>()?;
    changes.push(Change::to(home.roster(), Some(text))?);
    Ok(Draft::new("init", changes))
}
