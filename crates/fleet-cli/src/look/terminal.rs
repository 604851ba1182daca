//! `logs` and `attach`: what an agent writes, on this terminal.

use std::io::{BufRead, BufReader, ErrorKind, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::NO_PATIENCE;
use super::args::Logs;
use super::control::Control;
use crate::error::Error;
use crate::exit::Exit;
use crate::home::Home;
use crate::report::Screen;
use crate::supervisor::{self, LookError, View};
use crate::{plan, roster};

/// Shows what an agent wrote.
///
/// # Errors
///
/// When there is nothing to see, or no such agent.
pub(super) fn logs(home: &Home, args: &Logs, screen: &mut Screen) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    let agent = plan::agent(&roster, &args.agent)?;
    let supervisor = supervisor::open(&roster, home, NO_PATIENCE)?;
    match supervisor.view(agent, args.lines, args.follow)? {
        View::Program(program) => return Err(become_program(program)),
        View::Text(text) => screen.raw(text.as_bytes()),
        View::Control { program, pane } => follow(program, pane, args.lines, screen)?,
    }
    Ok(Exit::Done)
}

/// Gives this terminal to an agent's session.
///
/// # Errors
///
/// When it has none, we have no terminal, or there is no such agent.
pub(super) fn attach(home: &Home, name: &str, read_only: bool) -> Result<Exit, Error> {
    let roster = roster::load(home)?;
    let agent = plan::agent(&roster, name)?;
    let supervisor = supervisor::open(&roster, home, NO_PATIENCE)?;
    let program = supervisor.terminal(agent, read_only)?;
    if !std::io::stdin().is_terminal() {
        return Err(LookError::NotOnATerminal { name: name.to_owned() }.into());
    }
    Err(become_program(program))
}

/// Only returns to say why it could not.
fn become_program(mut program: Command) -> Error {
    let source = program.exec();
    Error::Run { program: program.get_program().to_string_lossy().into_owned(), source }
}

/// Shows what a pane shows now and what is written to it from now on, until its session ends
/// or nobody reads on.
fn follow(mut program: Command, pane: u32, lines: u32, screen: &mut Screen) -> Result<(), Error> {
    let name = program.get_program().to_string_lossy().into_owned();
    let watch = |source| Error::Watch { program: name.clone(), source };
    program.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child =
        program.spawn().map_err(|source| Error::Run { program: name.clone(), source })?;
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let closed = || watch(ErrorKind::BrokenPipe.into());
    // Kept open to the end: without it, tmux would detach.
    let mut input = input.ok_or_else(closed)?;
    let mut output = BufReader::new(output.ok_or_else(closed)?);
    writeln!(input, "capture-pane -p -S -{lines} -t %{pane}").map_err(watch)?;
    let mut control = Control::new(pane, lines);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).map_err(watch)? > 0 && !screen.is_broken() {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        screen.raw(&control.take(text));
        line.clear();
    }
    drop(input);
    child.wait().map_err(watch)?;
    Ok(())
}
