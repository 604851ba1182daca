//! What is done to a call.

use std::fmt;
use std::io;

/// An error that a call may be made to return, instead of being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    Io,
    NoSpace,
    Access,
    Interrupted,
    TooManyFiles,
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The call is not made, and returns this.
    Error(Errno),
    /// SIGKILL on the way into the call, which is not made.
    Kill,
    /// SIGSTOP on the way out of the call; another comes, who waits for a moment and takes over
    /// from the stopped one if that is preemptible; then SIGCONT.
    Stop,
    /// SIGSTOP likewise; another comes, who ends whoever is in the way.
    End,
}

impl Fault {
    /// The columns of the matrix.
    pub(crate) const ALL: [Self; 8] = [
        Self::Error(Errno::Io),
        Self::Error(Errno::NoSpace),
        Self::Error(Errno::Access),
        Self::Error(Errno::Interrupted),
        Self::Error(Errno::TooManyFiles),
        Self::Kill,
        Self::Stop,
        Self::End,
    ];

    /// As strace is told of it.
    pub(crate) fn injection(self) -> String {
        match self {
            Self::Error(errno) => format!("error={errno}"),
            Self::Kill => "signal=SIGKILL".to_owned(),
            Self::Stop | Self::End => "signal=SIGSTOP".to_owned(),
        }
    }

    /// Whether the one it happens to stays alive and well.
    pub(crate) const fn is_error(self) -> bool {
        matches!(self, Self::Error(_))
    }
}

impl Errno {
    /// How the system says it, as everyone who passes it on does.
    pub(crate) fn words(self) -> String {
        let number = match self {
            Self::Io => 5,
            Self::NoSpace => 28,
            Self::Access => 13,
            Self::Interrupted => 4,
            Self::TooManyFiles => 24,
        };
        io::Error::from_raw_os_error(number).to_string()
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "EIO",
            Self::NoSpace => "ENOSPC",
            Self::Access => "EACCES",
            Self::Interrupted => "EINTR",
            Self::TooManyFiles => "EMFILE",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(errno) => errno.fmt(f),
            Self::Kill => f.write_str("SIGKILL"),
            Self::Stop => f.write_str("SIGSTOP"),
            Self::End => f.write_str("ended"),
        }
    }
}
