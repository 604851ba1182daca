//! The holder's unit: a tmux server with one session, which keeps it up.

use std::os::unix::process::CommandExt;

use super::UnitError;
use super::tmux::Server;
use crate::exit::Exit;
use crate::roster::Tmux;

/// Becomes the tmux client that starts the server. It ends when the server answers; then the
/// server is the only process of the unit that systemd started, and so its main process.
pub(super) fn become_server(tmux: &Tmux) -> Result<Exit, UnitError> {
    let server = Server::of(tmux);
    // Its sessions would be in another control group, and would not end with this unit.
    if server.answers()? {
        return Err(UnitError::ForeignServer(server.name()));
    }
    let session = ["new-session", "-d", "-s", &tmux.holder_session, "--", "sleep", "infinity"];
    Err(UnitError::NoTmux(server.command().args(session).exec()))
}
