//! Sleeping until something can have changed.

use std::sync::Arc;
use std::time::Duration;

use lock_core::effect::{Event, Wake};
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::{self, Errno};

/// Bytes of news that one read takes, and that one piece of them can have: a header and a name.
const NEWS_AT_ONCE: usize = 4096;
const LONGEST_NEWS: usize = 16 + 256;

/// Ends a wait from elsewhere: another thread, a signal's handler thread. Clones share it,
/// and once cancelled it stays so.
#[derive(Clone, Debug)]
pub struct Cancel {
    event: Option<Arc<OwnedFd>>,
}

/// Waits on the kernel for one contender.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    /// Made when first needed. Closing it can take the kernel many milliseconds, so it is
    /// kept for as long as the lock's handle and never closed on the way to a hand-off.
    inotify: Option<OwnedFd>,
}

impl Cancel {
    /// Something that can be cancelled.
    ///
    /// # Errors
    ///
    /// When the process has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let event = io::retry_on_intr(|| eventfd(0, flags))?;
        Ok(Self { event: Some(Arc::new(event)) })
    }

    /// For a wait that nobody means to cancel.
    #[must_use]
    pub const fn never() -> Self {
        Self { event: None }
    }

    /// Ends every wait that was given this, now and later.
    pub fn cancel(&self) {
        if let Some(event) = &self.event {
            // It can fail only when the counter is full, and then it is readable already.
            let _ = io::write(event, &1_u64.to_ne_bytes());
        }
    }

    /// Makes it as if it had never been cancelled: for a bell that rings more than once.
    pub(crate) fn reset(&self) {
        if let Some(event) = &self.event {
            // It fails when there was nothing to reset.
            let _ = io::read(event, &mut [0; 8]);
        }
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.event.as_ref().is_some_and(|event| {
            let mut fds = [PollFd::new(&**event, PollFlags::IN)];
            poll(&mut fds, Some(&timespec(Duration::ZERO))).is_ok_and(|ready| ready > 0)
        })
    }

    /// Waits for it, at most so long; says whether it was cancelled.
    pub(crate) fn wait(&self, also: Option<BorrowedFd<'_>>, limit: Duration) -> Woken {
        let mut fds = Vec::with_capacity(2);
        fds.extend(self.event.as_deref().map(|event| PollFd::new(event, PollFlags::IN)));
        fds.extend(also.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, Some(&timespec(limit))) {
            Ok(0) => Woken::Due,
            Ok(_) if self.is_cancelled() => Woken::Cancelled,
            // EINTR included: look again, and sleep again if nothing has changed.
            Ok(_) | Err(_) => Woken::Changed,
        }
    }
}

/// What a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// A file that is judged: it may be released, replaced, or its owner may die.
    NamesAndClose,
    /// The waiter before us: it ends when its last name goes, which takes the watch away
    /// (`IN_IGNORED`), or when it dies.
    End,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    Due,
    Changed,
    Cancelled,
}

impl Watcher {
    /// Watches the inode of an open file: the very one that was judged, whatever its path
    /// leads to by now. Where that is not to be had, the machine polls.
    pub(crate) fn watch(&mut self, file: Option<BorrowedFd<'_>>, what: Interest) -> Event {
        let watched = file.ok_or(Errno::BADF).and_then(|file| self.add(file, what));
        if watched.is_ok() { Event::Done } else { Event::Unsupported }
    }

    /// Sleeps until the watched inode changes, the time is up, or the wait is cancelled.
    pub(crate) fn sleep(&self, limit: Duration, cancel: &Cancel) -> Event {
        let wake = match cancel.wait(self.fd(), limit) {
            Woken::Due => Wake::Due,
            Woken::Cancelled => Wake::Cancelled,
            Woken::Changed => self.what_changed(),
        };
        Event::Woken(wake)
    }

    /// The descriptor that becomes readable with a change.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(rustix::fd::AsFd::as_fd)
    }

    /// Takes note of what there is to take note of.
    pub(crate) fn what_changed(&self) -> Wake {
        let Some(inotify) = &self.inotify else {
            return Wake::Changed;
        };
        let mut buffer = Vec::with_capacity(NEWS_AT_ONCE);
        let mut wake = Wake::Changed;
        // Until nothing is left, so that the next sleep is not ended by old news: one read
        // takes all that there is room for.
        loop {
            buffer.clear();
            let read = io::read(inotify, spare_capacity(&mut buffer));
            if tells_of_a_close(&buffer) {
                wake = Wake::Closed;
            }
            if !matches!(read, Ok(len) if len + LONGEST_NEWS > NEWS_AT_ONCE) {
                return wake;
            }
        }
    }

    fn add(&mut self, file: BorrowedFd<'_>, interest: Interest) -> io::Result<()> {
        let inotify = match self.inotify.take() {
            Some(inotify) => inotify,
            None => inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
        };
        let inotify = self.inotify.insert(inotify);
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // ATTRIB tells of a name that went or was replaced; DELETE_SELF would come only
        // once nobody has the file open any more. CLOSE_WRITE tells of a death: the maker
        // has its ticket open for writing.
        let what = match interest {
            Interest::NamesAndClose => {
                WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::CLOSE_WRITE
            }
            Interest::End => WatchFlags::CLOSE_WRITE,
        };
        io::retry_on_intr(|| inotify::add_watch(&*inotify, path.as_str(), what))?;
        Ok(())
    }
}

/// Whether one of the events in a buffer from inotify is a writer's close.
fn tells_of_a_close(buffer: &[u8]) -> bool {
    const HEADER: usize = 16;
    let mut rest = buffer;
    while let Some((header, tail)) = rest.split_at_checked(HEADER) {
        let word = |at: usize| {
            let bytes = header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            u32::from_ne_bytes(bytes.unwrap_or_default())
        };
        if ReadFlags::from_bits_retain(word(4)).contains(ReadFlags::CLOSE_WRITE) {
            return true;
        }
        let name = usize::try_from(word(12)).unwrap_or(usize::MAX);
        rest = tail.get(name..).unwrap_or_default();
    }
    false
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
