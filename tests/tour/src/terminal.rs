//! A terminal with a shell in it: a tmux session on a socket of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

/// Longer than anything on a screen takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the screen is looked at; tmux has no event for what is on it.
const LOOK: Duration = Duration::from_millis(20);

/// How wide and how high.
pub(crate) type Size = (u16, u16);

/// The only session's name.
const SESSION: &str = "=tour:";

/// What the shell does before each prompt.
const SIGNAL: &str = "PROMPT_COMMAND=tmux wait-for -S prompt";

/// A screen and a keyboard; ended when dropped.
pub(crate) struct Terminal {
    stage: PathBuf,
    programs: PathBuf,
}

impl Terminal {
    /// One that starts in `stage`, which is its user's home, and finds `programs` first.
    pub(crate) fn open(stage: &Path, programs: &Path, (wide, high): Size) -> Result<Self, Error> {
        let terminal = Self { stage: stage.to_owned(), programs: programs.to_owned() };
        let (wide, high) = (wide.to_string(), high.to_string());
        let size = ["-x", wide.as_str(), "-y", high.as_str()];
        let shell = ["-s", "tour", "env", "PS1=$ ", SIGNAL, "bash", "--norc", "--noprofile"];
        terminal.tmux(&[&["new-session", "-d"], &size[..], &shell[..]].concat())?;
        terminal.tmux(&["set-option", "-g", "status", "off"])?;
        terminal.prompt()?;
        Ok(terminal)
    }

    /// The user's home, where the shell is.
    pub(crate) fn stage(&self) -> &Path {
        &self.stage
    }

    /// Types a line and presses Enter.
    pub(crate) fn enter(&self, line: &str) -> Result<(), Error> {
        self.tmux(&["send-keys", "-t", SESSION, "-l", line])?;
        self.tmux(&["send-keys", "-t", SESSION, "Enter"]).map(drop)
    }

    /// Waits until the screen shows `text`.
    pub(crate) fn until(&self, text: &str) -> Result<(), Error> {
        self.look_until(text, |screen| screen.contains(text))
    }

    /// Types a line and waits for the prompt that comes after it.
    pub(crate) fn run(&self, line: &str) -> Result<(), Error> {
        self.enter(line)?;
        self.prompt()
    }

    /// Waits for the next prompt. The shell signals each before it shows it, and a signal
    /// that comes before the wait is kept.
    fn prompt(&self) -> Result<(), Error> {
        self.tmux(&["wait-for", "prompt"])?;
        self.look_until("$", |screen| screen.trim_end().lines().next_back() == Some("$"))
    }

    /// What the screen shows, with its colours, without the empty rest.
    pub(crate) fn screen(&self) -> Result<String, Error> {
        let screen = self.tmux(&["capture-pane", "-e", "-p", "-t", SESSION])?;
        Ok(screen.trim_end().to_owned())
    }

    /// An empty screen with a prompt.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        self.run("clear")?;
        self.tmux(&["clear-history", "-t", SESSION]).map(drop)
    }

    fn look_until(&self, wanted: &str, shown: impl Fn(&str) -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-t", SESSION])?;
            if shown(&screen) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Error::NeverShown { wanted: wanted.to_owned(), screen });
            }
            std::thread::sleep(LOOK);
        }
    }

    fn tmux(&self, args: &[&str]) -> Result<String, Error> {
        let path = format!("{}:/usr/bin:/bin", self.programs.display());
        let output = Command::new("tmux")
            .args(["-f", "/dev/null", "-L", "tour"])
            .args(args)
            .env_clear()
            .env("PATH", path)
            .env("HOME", &self.stage)
            .env("TMUX_TMPDIR", &self.stage)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .current_dir(&self.stage)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::NoTmux)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Tmux { command: args.join(" "), said })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its socket is our own, so nobody else's server can be meant.
        let _ = self.tmux(&["kill-server"]);
    }
}
