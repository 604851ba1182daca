//! Signals, turned into calls: on a thread of their own, or when somebody asks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::iterator::exfiltrator::origin::Origin;
use signal_hook::low_level::siginfo::Cause;
use signal_hook::low_level::signal_name;

use crate::processes;

/// What a thread that deals with signals is called.
pub(crate) const THREAD: &str = "signals";

/// The signals that ask a command to end.
pub(crate) const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// The signals that `lock run` hands on to its command.
pub(crate) const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];

/// A signal that this process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    /// Its number.
    pub(crate) number: i32,
    /// Whether a key on the terminal made it: then every process of the foreground group
    /// got it, our children included.
    pub(crate) from_keyboard: bool,
}

/// Signals that are caught, and kept until somebody asks.
#[derive(Debug)]
pub(crate) struct Caught(SignalDelivery<UnixStream, WithOrigin>);

impl Caught {
    /// Catches `signals` from now on.
    ///
    /// A hangup that our starter has us ignore (`nohup`) stays ignored, here and in our
    /// children. The other signals are caught even so: scripts start everything behind an
    /// `&` with SIGINT ignored, and a `kill -INT` that names us is meant for us.
    ///
    /// # Errors
    ///
    /// When a handler cannot be installed.
    pub(crate) fn new(signals: &[i32]) -> io::Result<Self> {
        let wanted = signals.iter().filter(|signal| **signal != SIGHUP || !is_ignored(SIGHUP));
        let (read, write) = UnixStream::pair()?;
        Ok(Self(SignalDelivery::with_pipe(read, write, WithOrigin::default(), wanted)?))
    }

    /// Those that have arrived since this was called last.
    pub(crate) fn arrived(&mut self) -> impl Iterator<Item = Received> {
        self.0.pending().map(|origin| Received::from(&origin))
    }

    /// Calls `react` for each that arrives, and never returns.
    pub(crate) fn each(&mut self, mut react: impl FnMut(Received)) -> ! {
        loop {
            // However this ends, what has arrived is found below.
            let _ = poll(&mut [PollFd::new(&*self, PollFlags::IN)], None);
            self.arrived().for_each(&mut react);
        }
    }
}

/// Becomes readable when a signal arrives.
impl AsFd for Caught {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_read().as_fd()
    }
}

/// Calls `react` for each of `signals` that arrives, until the process ends.
///
/// # Errors
///
/// As [`Caught::new`].
pub(crate) fn listen(
    signals: &[i32],
    react: impl FnMut(Received) + Send + 'static,
) -> io::Result<()> {
    let mut caught = Caught::new(signals)?;
    std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || caught.each(react))?;
    Ok(())
}

/// Whether this process ignores a signal; as it was started, unless it has changed that.
fn is_ignored(signal: i32) -> bool {
    ignored_by("self", signal)
}

/// Whether a process, named as in `/proc`, ignores a signal.
pub(crate) fn ignored_by(process: &str, signal: i32) -> bool {
    let status = processes::text(&format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

/// The signal that a user names: `TERM`, `SIGTERM`, `sigterm` or `15`.
///
/// # Errors
///
/// When no signal has that name.
pub(crate) fn parse(text: &str) -> Result<Signal, UnknownSignal> {
    let upper = text.trim().to_ascii_uppercase();
    let wanted = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = |number: &i32| {
        let name = signal_name(*number).and_then(|name| name.strip_prefix("SIG"));
        name == Some(wanted) || number.to_string() == wanted
    };
    let number = (1..32).find(named);
    number.and_then(Signal::from_named_raw).ok_or_else(|| UnknownSignal(text.to_owned()))
}

/// The name of a signal, as `SIGTERM`.
pub(crate) fn name(number: i32) -> String {
    signal_name(number).map_or_else(|| format!("signal {number}"), str::to_owned)
}

/// There is no such signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no signal `{0}`: use a name such as TERM, or a number from 1 to 31")]
pub(crate) struct UnknownSignal(String);

impl From<&Origin> for Received {
    fn from(origin: &Origin) -> Self {
        // The kernel sends SIGINT and SIGQUIT for keys only. SIGHUP it may send to a
        // session's leader alone, so a hangup always counts as meant for us.
        let from_keyboard =
            origin.cause == Cause::Kernel && matches!(origin.signal, SIGINT | SIGQUIT);
        Self { number: origin.signal, from_keyboard }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("TERM", Signal::TERM)]
    #[case("SIGTERM", Signal::TERM)]
    #[case("sigterm", Signal::TERM)]
    #[case("15", Signal::TERM)]
    #[case("kill", Signal::KILL)]
    #[case("USR1", Signal::USR1)]
    fn signals_have_names(#[case] text: &str, #[case] signal: Signal) {
        assert_eq!(parse(text), Ok(signal));
    }

    #[rstest]
    #[case("")]
    #[case("SIG")]
    #[case("0")]
    #[case("99")]
    #[case("TERMINATE")]
    fn others_do_not(#[case] text: &str) {
        assert_eq!(parse(text), Err(UnknownSignal(text.to_owned())));
    }
}
