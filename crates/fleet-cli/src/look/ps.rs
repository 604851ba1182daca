//! `ps`: the fleet from all sides, once or again and again.

use super::args::Ps;
use super::panorama::Panorama;
use super::{NO_PATIENCE, blind};
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::report::Screen;
use crate::roster;
use crate::supervisor;

/// Shows the fleet.
///
/// # Errors
///
/// When it cannot be looked at.
pub(super) fn ps(home: &Home, args: &Ps, screen: &mut Screen) -> Result<Exit, Error> {
    loop {
        // The roster may change while we watch.
        let roster = roster::load(home)?;
        let supervisor = supervisor::open(&roster, home, NO_PATIENCE)?;
        let panorama = Panorama::new(home, &roster, &*supervisor)?;
        screen.panorama(home, &roster, &panorama, args.watch);
        if !args.watch {
            let states = panorama.rows.iter().map(|row| &row.sight.state);
            return Ok(blind(states).unwrap_or(Exit::Done));
        }
        if screen.is_broken() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(args.every);
    }
}
