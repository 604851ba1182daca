//! The lock's own commands.

pub(crate) mod args;
pub(crate) mod doctor;
mod evict;
mod group;
mod history;
mod relay;
mod run;
mod status;
mod stranger;

use camino::Utf8PathBuf;

use self::args::{LockCommand, LockPath};
use crate::error::Error;
use crate::exit::Exit;
use crate::home;
use crate::report::Screen;
use crate::run::Find;

/// Carries out one of them.
///
/// # Errors
///
/// When it cannot be done.
pub(crate) fn dispatch(
    command: LockCommand,
    find: &Find,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    match command {
        LockCommand::Run(args) => {
            let path = own_path(find, &args.lock)?;
            if find.is_mosaics(&path) {
                screen.mosaic_breaks(&path);
            }
            // What a restart has left in flight concerns every command on the home's own lock.
            let home = find.home().ok().filter(|home| home.restart_lock() == path);
            let ran = run::run(&path, home.as_ref(), &args, screen);
            match (ran, args.conflict_exit_code) {
                (Err(error), Some(code)) if error.exit() == Exit::LockNotAcquired => {
                    screen.error(&error);
                    Ok(Exit::Command(code))
                }
                (ran, _) => ran,
            }
        }
        LockCommand::Status { lock, .. } => status::status(&own_path(find, &lock)?, screen),
        LockCommand::Explain { lock, options, .. } => {
            status::explain(&own_path(find, &lock)?, &options, screen)
        }
        LockCommand::History(args) => history::history(&find.lock(&args.lock)?, &args, screen),
        LockCommand::Doctor { directory, .. } => match directory {
            Some(directory) => doctor::doctor(&home::absolute(&directory)?, true, screen),
            None => {
                let lock = find.home()?.restart_lock();
                doctor::doctor(lock.parent().unwrap_or(&lock), false, screen)
            }
        },
        LockCommand::Break { lock, generation, .. } => {
            evict::evict(&own_path(find, &lock)?, generation, screen)
        }
    }
}

/// The lock that a command is about; a path that was named by hand has to be a lock's.
fn own_path(find: &Find, lock: &LockPath) -> Result<Utf8PathBuf, Error> {
    let path = find.lock(lock)?;
    if lock.lock.is_some() {
        stranger::refuse(&path)?;
    }
    Ok(path)
}
