//! `ps`: the fleet from all sides, once or again and again.

use super::NO_PATIENCE;
use super::args::Ps;
use super::panorama::Panorama;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::report::Screen;
use crate::roster;
use crate::supervisor::{self, State};

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
            let is_known = |state: &State| !matches!(state, State::Unknown { .. });
            let all_known = panorama.rows.iter().all(|row| is_known(&row.sight.state));
            return Ok(if all_known { Exit::Done } else { Exit::Io });
        }
        if screen.is_broken() {
            return Ok(Exit::Done);
        }
        std::thread::sleep(args.every);
    }
}
