//! What is typed, and when the picture is taken.

use std::path::Path;

use crate::terminal::{Size, Terminal};
use crate::{Error, file};

/// Keeps a picture under a name.
type Keep<'a> = &'a mut dyn FnMut(&str, &str) -> Result<(), Error>;

/// A few lines of a play.
pub(crate) struct Scene {
    /// The terminal's.
    pub(crate) size: Size,
    /// What happens.
    pub(crate) play: fn(&Terminal, Keep<'_>) -> Result<(), Error>,
}

/// In the order of the documentation.
pub(crate) const ALL: &[Scene] = &[
    Scene { size: (130, 16), play: a_restart_that_waits },
    Scene { size: (130, 20), play: who_holds_what },
    Scene { size: (120, 14), play: three_mistakes },
];

/// One restart runs; a person starts another, which says for whom it waits, and then goes.
fn a_restart_that_waits(terminal: &Terminal, keep: Keep<'_>) -> Result<(), Error> {
    prepare(terminal)?;
    terminal.run("fleet start >/dev/null; (fleet restart --stagger 2s >/dev/null 2>&1 &)")?;
    terminal.clear()?;
    terminal.enter("fleet restart")?;
    terminal.until("held for 3.")?;
    keep("waiting", &terminal.screen()?)?;
    terminal.until("4/4 restarted reviewer")?;
    keep("restarted", &terminal.screen()?)?;
    terminal.run("fleet stop")
}

/// The agents, and the lock's own view.
fn who_holds_what(terminal: &Terminal, keep: Keep<'_>) -> Result<(), Error> {
    prepare(terminal)?;
    terminal.run("fleet start >/dev/null; (fleet restart --stagger 1h >/dev/null 2>&1 &)")?;
    terminal.run("until fleet status | grep -q 'go on with'; do sleep 0.1; done")?;
    terminal.clear()?;
    terminal.run("fleet ps")?;
    keep("ps", &terminal.screen()?)?;
    terminal.clear()?;
    terminal.run("fleet lock explain")?;
    keep("explain", &terminal.screen()?)?;
    // It is told of a lost lock only before its next step, which is an hour away.
    terminal.run("kill $(head -n 1 .config/mosaic/fleet/run/restart.lock); fleet stop")
}

/// What users get wrong.
fn three_mistakes(terminal: &Terminal, keep: Keep<'_>) -> Result<(), Error> {
    prepare(terminal)?;
    terminal.clear()?;
    terminal.run("fleet restart codr-1")?;
    terminal.run("fleet lock run --max-wait soon -- ./deploy.sh")?;
    terminal.run("sed -i s/working_directory/workingdir/ .config/mosaic/fleet/roster.yaml")?;
    terminal.run("fleet restart")?;
    keep("mistakes", &terminal.screen()?)
}

/// A fleet in the user's own place, that runs nothing but `sleep`.
fn prepare(terminal: &Terminal) -> Result<(), Error> {
    let fleet = terminal.stage().join(".config/mosaic/fleet");
    std::fs::create_dir_all(&fleet).map_err(file("create", &fleet))?;
    write(&fleet.join("roster.yaml"), ROSTER)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(file("write", path))
}

const ROSTER: &str = "\
version: 1
transport: tmux
supervisor: process
defaults:
  working_directory: .
runtimes:
  model:
    command: [sleep, infinity]
agents:
  - {name: planner, runtime: model, class: planner}
  - {name: coder-1, runtime: model}
  - {name: coder-2, runtime: model}
  - {name: reviewer, runtime: model, class: reviewer}
";
