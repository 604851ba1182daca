//! From the command line to a command, and from its end to an exit code.

use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use crate::args::setup::{Add, Init, Install, Remove};
use crate::args::{Cli, Command};
use crate::error::Error;
use crate::exit::Exit;
use crate::fleet::Wish;
use crate::home::{self, Environment, Home};
use crate::lock::args::LockPath;
use crate::lock::doctor;
use crate::plan::Verb;
use crate::report::Screen;
use crate::supervisor::{Patience, pane};
use crate::{completions, documents, fleet, lock, look, setup, unit, usage};

/// Runs `fleet` with this process's arguments, environment and standard streams.
pub(crate) fn run() -> Exit {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == doctor::COMMAND => return doctor::become_rival(arguments),
        Some(first) if first == pane::COMMAND => return pane::become_agent(),
        Some(first) if first == unit::COMMAND => return unit::run(arguments),
        _ => {}
    }
    if let Some(exit) = completions::answer() {
        return exit;
    }
    let line: Vec<_> = std::env::args_os().collect();
    let cli = match Cli::read(&line) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are what was asked for; anything else is a usage error.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = usage::advised(error, line).print();
            return exit;
        }
    };
    let mut screen = Screen::standard(json(&cli.command));
    let exit = dispatch(cli, &mut screen).unwrap_or_else(|error| {
        screen.error(&error);
        error.exit()
    });
    screen.finish(exit)
}

fn dispatch(cli: Cli, screen: &mut Screen) -> Result<Exit, Error> {
    let find = Find { flag: cli.home.home, environment: Environment::read() };
    // What a verb does not wait for, it needs no patience for.
    let none = Duration::ZERO;
    match cli.command {
        Command::Restart { change, grace, settle, rollout, others } => {
            let patience = Patience { grace: grace.grace, settle: settle.settle };
            let wish = Wish { rollout, join: others.join, resume: others.into() };
            fleet::change(Verb::Restart, &find.home()?, &change, wish, patience, screen)
        }
        Command::Start { change, settle, rollout } => {
            let patience = Patience { grace: none, settle: settle.settle };
            let wish = Wish { rollout, ..Wish::PLAIN };
            fleet::change(Verb::Start, &find.home()?, &change, wish, patience, screen)
        }
        Command::Stop { change, grace } => {
            let patience = Patience { grace: grace.grace, settle: none };
            fleet::change(Verb::Stop, &find.home()?, &change, Wish::PLAIN, patience, screen)
        }
        Command::Status { .. } => fleet::status(&find.home()?, screen),
        Command::Init(args) => setup::init(&find.home()?, &args, screen),
        Command::Add(args) => setup::add(&find.home()?, &args, screen),
        Command::Remove(args) => setup::remove(&find.home()?, &args, screen),
        Command::Install(args) => setup::install(&find.home()?, &find.environment, &args, screen),
        Command::Look(command) => look::dispatch(command, &find, screen),
        Command::Lock(command) => lock::dispatch(command, &find, screen),
        Command::Completions { shell } => {
            screen.raw(&completions::script(shell));
            Ok(Exit::Done)
        }
        Command::Man(args) => documents::man(&args, screen),
        Command::Schema(args) => documents::schema(&args, screen),
    }
}

/// How to find what the command line leaves to the environment.
pub(crate) struct Find {
    flag: Option<Utf8PathBuf>,
    environment: Environment,
}

impl Find {
    /// The home.
    ///
    /// # Errors
    ///
    /// When nothing names one.
    pub(crate) fn home(&self) -> Result<Home, Error> {
        Ok(Home::find(self.flag.clone(), &self.environment)?)
    }

    /// The lock that is meant.
    ///
    /// # Errors
    ///
    /// When nothing names one.
    pub(crate) fn lock(&self, args: &LockPath) -> Result<Utf8PathBuf, Error> {
        match &args.lock {
            Some(path) => Ok(home::absolute(path)?),
            None => Ok(self.home()?.restart_lock()),
        }
    }

    /// Whether Mosaic takes this lock, too: it is the one of Mosaic's own home, and Mosaic is in use
    /// here.
    pub(crate) fn is_mosaics(&self, lock: &Utf8Path) -> bool {
        let Environment { mosaic_home, user_home, .. } = &self.environment;
        let environment = Environment {
            mosaic_home: mosaic_home.clone(),
            user_home: user_home.clone(),
            ..Environment::default()
        };
        let its = Home::find(None, &environment).is_ok_and(|home| home.restart_lock() == *lock);
        let on_path = || {
            std::env::var_os("PATH").is_some_and(|path| {
                std::env::split_paths(&path).any(|directory| directory.join("mosaic").is_file())
            })
        };
        its && (mosaic_home.is_some() || on_path())
    }
}

fn json(command: &Command) -> bool {
    match command {
        Command::Restart { change, .. }
        | Command::Start { change, .. }
        | Command::Stop { change, .. } => change.output.json,
        Command::Init(Init { output, .. })
        | Command::Add(Add { output, .. })
        | Command::Remove(Remove { output, .. })
        | Command::Install(Install { output, .. })
        | Command::Status { output } => output.json,
        Command::Look(command) => command.json(),
        Command::Lock(command) => command.json(),
        Command::Completions { .. } | Command::Man(_) | Command::Schema(_) => false,
    }
}
