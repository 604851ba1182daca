//! `cargo xtask tour`: types into a real terminal what a user would, and keeps what it showed
//! as pictures for the documentation.
//!
//! Nothing is made up: the built `fleet` runs in a home of its own, and tmux says what is on
//! the screen.

mod scenes;
mod terminal;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::terminal::Terminal;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The one argument is missing.
    #[error("say into which directory the pictures go")]
    Usage,
    /// The program stands next to this one.
    #[error("there is no `fleet` beside {0}; build it first, in the same profile")]
    NotBuilt(PathBuf),
    /// Something could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// tmux cannot be run.
    #[error("cannot run tmux; install it first")]
    NoTmux(#[source] io::Error),
    /// tmux refused.
    #[error("`tmux {command}` failed: {said}")]
    Tmux {
        /// What it was told.
        command: String,
        /// What it said.
        said: String,
    },
    /// The screen never showed it.
    #[error("the screen never showed {wanted:?}, but:\n{screen}")]
    NeverShown {
        /// What was waited for.
        wanted: String,
        /// What was there instead.
        screen: String,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut sentence = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                sentence = format!("{sentence}: {cause}");
                source = cause.source();
            }
            let _ = writeln!(io::stderr(), "error: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let gallery = std::env::args_os().nth(1).map(PathBuf::from).ok_or(Error::Usage)?;
    let programs = programs()?;
    std::fs::create_dir_all(&gallery).map_err(file("create", &gallery))?;
    for scene in scenes::ALL {
        let stage = tempfile::Builder::new().prefix("fleet-").tempdir();
        let stage = stage.map_err(file("create", &std::env::temp_dir()))?;
        let terminal = Terminal::open(stage.path(), &programs, scene.size)?;
        (scene.play)(&terminal, &mut |name, screen: &str| {
            let path = gallery.join(format!("{name}.svg"));
            let svg = anstyle_svg::Term::new().render_svg(screen);
            std::fs::write(&path, format!("{}\n", svg.trim_end())).map_err(file("write", &path))?;
            // Whoever takes the pictures wants to know what is on them.
            let _ = writeln!(io::stdout(), "{}\n{screen}\n", path.display());
            Ok(())
        })?;
    }
    Ok(())
}

/// The directory that `fleet` was built into: this program's own.
fn programs() -> Result<PathBuf, Error> {
    let this = std::env::current_exe().map_err(file("find", Path::new("this program")))?;
    let directory = this.parent().map(Path::to_owned).unwrap_or_default();
    match directory.join("fleet").is_file() {
        true => Ok(directory),
        false => Err(Error::NotBuilt(this)),
    }
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}
