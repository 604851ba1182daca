//! `lock status`.

use camino::Utf8Path;

use crate::error::Error;
use crate::exit::Exit;
use crate::locking;
use crate::report::Screen;

/// Shows who holds the lock at `path`.
///
/// # Errors
///
/// When it cannot be looked at.
pub(crate) fn status(path: &Utf8Path, screen: &mut Screen) -> Result<Exit, Error> {
    let look = locking::look(path)?;
    screen.lock_status(path, look.as_ref());
    Ok(Exit::Done)
}
