//! The exit codes: one list, one mapping, and the text that documents them.

/// How a call of `fleet` ends, as its caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done,
    /// Some agents failed, or some guarantees do not hold; each was named with its cause.
    SomeFailed,
    /// The command line is wrong.
    Usage,
    /// The roster, or a file it leads to, is invalid.
    RosterInvalid,
    /// The roster asks for a supervisor that is not there.
    SupervisorMissing,
    /// A file or directory cannot be created.
    CannotCreate,
    /// Reading or writing failed.
    Io,
    /// The lock was busy and the user did not want to wait longer.
    LockNotAcquired,
    /// The lock was taken away while we worked under it.
    LockLost,
    /// The system does not let us.
    Permission,
    /// `lock run`: the command exists but cannot be executed.
    NotExecutable,
    /// `lock run`: there is no such command.
    NotFound,
    /// A signal ended the call, or the command that `lock run` ran.
    Signal(i32),
    /// `lock run`: what the command returned.
    Command(u8),
}

impl Exit {
    /// The number for the operating system.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SomeFailed => 1,
            Self::Usage => 64,
            Self::RosterInvalid => 65,
            Self::SupervisorMissing => 69,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::LockNotAcquired => 75,
            Self::LockLost => 76,
            Self::Permission => 77,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Signal(number) => u8::try_from(128 + number).unwrap_or(u8::MAX),
            Self::Command(status) => status,
        }
    }
}

/// The table in `fleet --help`.
pub(crate) const HELP: &str = "\
Exit codes:
    0  done
    1  some agents failed, or (lock doctor) some guarantees; each is named with its cause
   64  the command line is wrong
   65  the roster is invalid
   69  the roster's supervisor is missing
   73  a file or directory cannot be created
   74  reading or writing failed
   75  the lock was not acquired: busy with --no-wait, or --max-wait is over
   76  the lock was lost while working under it
   77  permission denied
  130  interrupted (SIGINT), lock released
  143  terminated (SIGTERM), lock released";

/// The table in `fleet lock run --help`.
pub(crate) const LOCK_RUN_HELP: &str = "\
Exit codes:
  The status of CMD; 128+n if signal n ended it. Otherwise:
   64  the command line is wrong, or this runs under that very lock and would wait for itself
   73  a file or directory cannot be created
   74  reading or writing failed
   75  the lock was not acquired: busy with --no-wait, or --max-wait is over;
       --conflict-exit-code chooses another number
   76  the lock was lost while CMD ran, whatever CMD returned
   77  permission denied
  126  CMD cannot be executed
  127  CMD was not found
  130  interrupted (SIGINT) while waiting for the lock; CMD did not run
  143  terminated (SIGTERM) while waiting for the lock; CMD did not run

CMD's environment gets:
  FLEET_LOCK_TOKEN       names this ownership
  FLEET_LOCK_GENERATION  a number that grows with every ownership, for ever: the fencing token
  FLEET_LOCK_PATH        the lock file";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Exit::Done)]
    #[case(Exit::SomeFailed)]
    #[case(Exit::Usage)]
    #[case(Exit::RosterInvalid)]
    #[case(Exit::SupervisorMissing)]
    #[case(Exit::CannotCreate)]
    #[case(Exit::Io)]
    #[case(Exit::LockNotAcquired)]
    #[case(Exit::LockLost)]
    #[case(Exit::Permission)]
    #[case(Exit::Signal(2))]
    #[case(Exit::Signal(15))]
    fn the_help_documents_every_code(#[case] exit: Exit) {
        let line = format!("{:>5}  ", exit.code());
        assert!(HELP.lines().any(|l| l.starts_with(&line)), "{line:?} is not in\n{HELP}");
    }
}
