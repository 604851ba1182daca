//! The command lines for tmux, and what its answers mean.
//!
//! A session is named exactly (`=name`), or tmux would take one whose name only begins like
//! it. A session's name holds no dot and no colon, which tmux replaces by `_`; so do we.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use rustix::process::Signal;

use crate::processes::Process;
use crate::roster;
use crate::supervisor::tool::{self, Said};
use crate::supervisor::{LookError, PaneSight, SupervisorError, View, look};

/// The program.
pub(in crate::supervisor) const PROGRAM: &str = "tmux";

/// What we ask about a pane. No field but the last can hold a colon, and that one cannot
/// either.
const PANE_FORMAT: &str = "#{pid}:#{pane_id}:#{pane_pid}:#{pane_dead}:#{pane_dead_status}:\
                           #{pane_dead_signal}:#{window_activity}:#{session_name}";

/// How long a server may take to reap a child, and how often to look.
const REAP_PATIENCE: Duration = Duration::from_secs(1);
const REAP_RETRY: Duration = Duration::from_millis(5);

/// How a process ended when nobody knows.
pub(super) const UNKNOWN_STATUS: &str = "an unknown status";

/// The tmux server of one fleet.
#[derive(Clone, Debug)]
pub(in crate::supervisor) struct Tmux {
    socket: Option<String>,
    directory: Utf8PathBuf,
}

/// What a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Panes {
    /// The process of the server; `None` where there is no server.
    pub(in crate::supervisor) server: Option<u32>,
    /// All panes of all its sessions, the oldest first.
    pub(in crate::supervisor) panes: Vec<Pane>,
}

/// A pane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::supervisor) struct Pane {
    /// The session that it is in.
    pub(in crate::supervisor) session: String,
    /// Its number, which the server gives away only once.
    pub(in crate::supervisor) id: u32,
    /// The process that it was made for.
    pub(in crate::supervisor) pid: u32,
    /// How that process ended, if it has.
    pub(in crate::supervisor) dead: Option<String>,
    /// When it last wrote, in seconds since 1970.
    pub(in crate::supervisor) active_at: u64,
}

impl Tmux {
    /// The server that the roster names; the user's default one if it names none.
    pub(in crate::supervisor) fn new(roster: &roster::Tmux, directory: &Utf8Path) -> Self {
        Self { socket: roster.socket_name.clone(), directory: directory.to_owned() }
    }

    /// Whether everything on the server is the fleet's, so that it can be ended as a whole.
    pub(in crate::supervisor) fn is_ours(&self) -> bool {
        !matches!(self.socket.as_deref(), None | Some("default"))
    }

    /// Runs tmux.
    ///
    /// # Errors
    ///
    /// When it cannot be run, hangs, or says that it failed.
    pub(in crate::supervisor) fn run(
        &self,
        arguments: &[&str],
        ticket: Option<BorrowedFd<'_>>,
    ) -> Result<Said, SupervisorError> {
        let arguments = self.arguments(arguments);
        self.call(&arguments, ticket)?.success(PROGRAM, &arguments)
    }

    /// Every pane of the server.
    ///
    /// # Errors
    ///
    /// When tmux cannot be run, hangs, or fails for another reason than that there is no
    /// server.
    pub(in crate::supervisor) fn panes(&self) -> Result<Panes, SupervisorError> {
        let arguments = self.arguments(&["list-panes", "-a", "-F", PANE_FORMAT]);
        let said = self.call(&arguments, None)?;
        if !said.status.success() && is_no_server(&said.complaint()) {
            return Ok(Panes::default());
        }
        Ok(parse(&said.success(PROGRAM, &arguments)?.out))
    }

    /// Every pane of the server, now that the process `pid` in one of them may have ended.
    ///
    /// A server can miss the end of a child, and learns of it only from the next one's. It is
    /// told to look.
    ///
    /// # Errors
    ///
    /// As [`Self::panes`].
    pub(in crate::supervisor) fn after(&self, pid: u32) -> Result<Panes, SupervisorError> {
        let deadline = Instant::now() + REAP_PATIENCE;
        loop {
            let unreaped = Process::find(pid).is_some_and(|process| process.is_zombie());
            let found = self.panes()?;
            if !unreaped || Instant::now() >= deadline {
                return Ok(found);
            }
            if let Some(server) = found.server.and_then(Process::find) {
                let told = server.signal(Signal::CHILD);
                told.map_err(|source| SupervisorError::System { action: "wake tmux", source })?;
            }
            std::thread::sleep(REAP_RETRY);
        }
    }

    /// Whether the server answers for a session. If not, what tmux says.
    ///
    /// # Errors
    ///
    /// When tmux cannot be run, or hangs.
    pub(in crate::supervisor) fn has_session(
        &self,
        name: &str,
    ) -> Result<Result<(), String>, SupervisorError> {
        let target = exactly(name);
        let arguments = self.arguments(&["has-session", "-t", &target]);
        let said = self.call(&arguments, None)?;
        Ok(if said.status.success() { Ok(()) } else { Err(said.complaint()) })
    }

    /// What a pane shows, and the last `lines` that have scrolled out of it.
    ///
    /// # Errors
    ///
    /// When tmux cannot be run, hangs, or says that it failed.
    pub(in crate::supervisor) fn text(
        &self,
        pane: u32,
        lines: u32,
    ) -> Result<String, SupervisorError> {
        let (target, start) = (format!("%{pane}"), format!("-{lines}"));
        let said = self.run(&["capture-pane", "-p", "-S", &start, "-t", &target], None)?;
        // tmux's own remark in a pane that it keeps.
        let ours = |line: &&str| !line.starts_with("Pane is dead");
        Ok(said.out.lines().filter(ours).collect::<Vec<_>>().join("\n"))
    }

    /// How to see what an agent's session shows and, to `follow`, what it will.
    ///
    /// # Errors
    ///
    /// When there is no such session.
    pub(in crate::supervisor) fn view(
        &self,
        agent: &str,
        lines: u32,
        follow: bool,
    ) -> Result<View, LookError> {
        let session = session_name(agent);
        let found = self.panes()?;
        let Some(pane) = found.of(&session).next() else {
            return Err(LookError::NoSession { name: agent.to_owned(), session });
        };
        if !follow {
            return Ok(View::Text(look::last(&self.text(pane.id, lines)?, lines)));
        }
        let mut program = self.command(&["-C", "attach-session", "-r", "-t"]);
        program.args([&exactly(&session), "-f", "ignore-size"]);
        Ok(View::Control { program, pane: pane.id })
    }

    /// The program that shows an agent's session on our terminal.
    ///
    /// # Errors
    ///
    /// When there is no such session.
    pub(in crate::supervisor) fn attach(
        &self,
        agent: &str,
        read_only: bool,
    ) -> Result<Command, LookError> {
        let session = session_name(agent);
        if !self.panes()?.has(&session) {
            return Err(LookError::NoSession { name: agent.to_owned(), session });
        }
        // A client of this very server is to show another session, not a server inside it.
        let inside = std::env::var("TMUX").unwrap_or_default();
        let inside = inside.split(',').next().is_some_and(|path| Path::new(path) == self.path());
        let mut program = match inside {
            true => Command::new(PROGRAM),
            false => self.command(&["attach-session"]),
        };
        if inside {
            program.arg("switch-client");
        }
        if read_only {
            program.arg("-r");
        }
        program.args(["-t", &exactly(&session)]);
        Ok(program)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(self.arguments(arguments)).env_remove("TMUX").env_remove("TMUX_PANE");
        command
    }

    /// The process of the server, if there is one, even if it does not answer.
    pub(in crate::supervisor) fn server(&self) -> Option<u32> {
        peer(&self.path()).ok()
    }

    /// The socket.
    fn path(&self) -> PathBuf {
        let directory = std::env::var_os("TMUX_TMPDIR").filter(|value| !value.is_empty());
        let directory = directory.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let user = rustix::process::getuid().as_raw();
        let name = self.socket.as_deref().unwrap_or("default");
        directory.join(format!("tmux-{user}")).join(name)
    }

    fn arguments<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        let socket = self.socket.iter().flat_map(|name| ["-L", name.as_str()]);
        socket.chain(arguments.iter().copied()).collect()
    }

    fn call(
        &self,
        arguments: &[&str],
        ticket: Option<BorrowedFd<'_>>,
    ) -> Result<Said, SupervisorError> {
        tool::run(PROGRAM, arguments, ticket, |command| {
            // Inside of tmux, these lead to the server we are in.
            command.env_remove("TMUX").env_remove("TMUX_PANE");
            // A server keeps the directory that it was started in.
            command.current_dir(&self.directory);
        })
    }
}

impl Pane {
    /// How its process ended, if it has and tmux knows.
    pub(in crate::supervisor) fn how(&self) -> Option<String> {
        self.dead.clone().filter(|how| how != UNKNOWN_STATUS)
    }

    /// What a person wants to know.
    pub(in crate::supervisor) fn sight(&self) -> PaneSight {
        let (session, id) = (self.session.clone(), format!("%{}", self.id));
        PaneSight { session, id, active_at: self.active_at }
    }
}

impl Panes {
    /// Whether there is such a session.
    pub(in crate::supervisor) fn has(&self, session: &str) -> bool {
        self.of(session).next().is_some()
    }

    /// The panes of a session, the oldest first: that is the agent's, if somebody made
    /// others beside it.
    pub(in crate::supervisor) fn of<'a>(
        &'a self,
        session: &'a str,
    ) -> impl Iterator<Item = &'a Pane> {
        self.panes.iter().filter(move |pane| pane.session == session)
    }
}

/// The session for an agent, as tmux names it.
pub(crate) fn session_name(agent: &str) -> String {
    agent.replace(['.', ':'], "_")
}

/// A target that means this session and no other.
pub(crate) fn exactly(session: &str) -> String {
    format!("={session}")
}

/// A path as an argument that tmux expands formats in.
pub(crate) fn unexpanded(path: &Utf8Path) -> String {
    argument(&path.as_str().replace('#', "##"))
}

/// An argument that does not end a command of tmux's, as one with a semicolon at its end
/// does.
pub(crate) fn argument(text: &str) -> String {
    match text.strip_suffix(';') {
        Some(rest) => format!("{rest}\\;"),
        None => text.to_owned(),
    }
}

/// The process that listens on a socket.
fn peer(path: &Path) -> std::io::Result<u32> {
    // It may hang, and then its queue may be full.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket_peercred(&socket)?.pid.as_raw_nonzero().get().unsigned_abs())
}

fn is_no_server(complaint: &str) -> bool {
    // The last one ended while it was asked.
    complaint.starts_with("no server running on ")
        || complaint == "server exited unexpectedly"
        || complaint.starts_with("error connecting to ")
            && ["(No such file or directory)", "(Connection refused)"]
                .iter()
                .any(|why| complaint.ends_with(why))
}

fn parse(text: &str) -> Panes {
    let mut found = Panes::default();
    for line in text.lines() {
        let Some((server, pane)) = parse_line(line) else { continue };
        found.server = Some(server);
        found.panes.push(pane);
    }
    found.panes.sort_by_key(|pane| pane.id);
    found
}

/// A line of [`PANE_FORMAT`].
fn parse_line(line: &str) -> Option<(u32, Pane)> {
    let mut fields = line.splitn(8, ':');
    let mut next = || fields.next();
    let server = next()?.parse().ok()?;
    let id = next()?.strip_prefix('%')?.parse().ok()?;
    let pid = next()?.parse().ok()?;
    let (is_dead, status, signal) = (next()? == "1", next()?, next()?);
    let dead = is_dead.then(|| match (status, signal) {
        ("", "") => UNKNOWN_STATUS.to_owned(),
        (status, "") => format!("exit status: {status}"),
        (_, signal) => format!("signal: {signal}"),
    });
    let active_at = next()?.parse().unwrap_or_default();
    Some((server, Pane { session: next()?.to_owned(), id, pid, dead, active_at }))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn panes_are_read_and_sorted() {
        let text = "7:%12:30:0:::1700000000:b\n7:%2:20:1:3::1700000001:a\nnonsense\n";
        let pane = |session: &str, id, pid, dead: Option<&str>, active_at| Pane {
            session: session.into(),
            id,
            pid,
            dead: dead.map(str::to_owned),
            active_at,
        };
        let a = pane("a", 2, 20, Some("exit status: 3"), 1_700_000_001);
        let b = pane("b", 12, 30, None, 1_700_000_000);
        assert_eq!(parse(text), Panes { server: Some(7), panes: vec![a, b] });
    }

    #[rstest]
    #[case("no server running on /tmp/tmux-0/fleet", true)]
    #[case("error connecting to /tmp/tmux-0/fleet (No such file or directory)", true)]
    #[case("error connecting to /tmp/tmux-0/fleet (Connection refused)", true)]
    #[case("server exited unexpectedly", true)]
    #[case("error connecting to /tmp/tmux-0/fleet (Permission denied)", false)]
    #[case("can't find session: a", false)]
    fn no_server_is_no_failure(#[case] complaint: &str, #[case] none: bool) {
        assert_eq!(is_no_server(complaint), none);
    }

    #[rstest]
    #[case("/a/b", "/a/b")]
    #[case("/a#{pid}/b", "/a##{pid}/b")]
    #[case("/a;/b;", "/a;/b\\;")]
    fn a_path_stays_what_it_is(#[case] path: &str, #[case] argument: &str) {
        assert_eq!(unexpanded(Utf8Path::new(path)), argument);
    }
}
