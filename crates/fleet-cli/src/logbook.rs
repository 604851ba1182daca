//! Keeps a plan's standing in `fleet/run/plan.json`.
//!
//! Written only inside fenced steps, so an owner that lost the lock cannot write over what
//! its successor wrote; and as a whole, by a rename, so no reader sees half of it. Nothing is
//! synced: a standing is of no use after a power cut, when nothing of what it says runs.

use std::io::{self, ErrorKind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use camino::{Utf8Path, Utf8PathBuf};
use lock_fs::Clock;

use crate::replace::replace;
use crate::restart::Marks;
use crate::standing::{Mark, Standing, Who};

/// The standing of our plan, kept on disk as far as that is possible.
#[derive(Debug)]
pub(crate) struct Logbook {
    path: Utf8PathBuf,
    clock: Clock,
    page: Mutex<Page>,
}

#[derive(Debug)]
struct Page {
    standing: Standing,
    /// Why it could not be written. Nothing depends on it but a successor's ease, so the
    /// work goes on.
    failed: Option<io::Error>,
}

/// Reads the standing that the last owner left, if there is one that can be read.
///
/// # Errors
///
/// When the file is there and cannot be read. What it holds may be anything: what we do not
/// understand is not gone on with.
pub(crate) fn read(path: &Utf8Path) -> io::Result<Option<Standing>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Logbook {
    /// One that begins with `standing`. Nothing is written before the first mark.
    pub(crate) fn new(path: Utf8PathBuf, standing: Standing) -> Self {
        let page = Mutex::new(Page { standing, failed: None });
        Self { path, clock: Clock::default(), page }
    }

    /// Writes it down as it stands.
    pub(crate) fn open(&self) {
        self.write(self.page());
    }

    /// The work has come to its end.
    pub(crate) fn end(&self, exit: u8) {
        let mut page = self.page();
        page.standing.exit = Some(exit);
        self.write(page);
    }

    /// Why it could not be kept, if it could not.
    pub(crate) fn failed(self) -> Option<(Utf8PathBuf, io::Error)> {
        let page = self.page.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((self.path, page.failed?))
    }

    fn write(&self, mut page: MutexGuard<'_, Page>) {
        page.standing.updated_ms = self.clock.now().boot.0;
        if let Err(error) = keep(&self.path, &page.standing) {
            page.failed.get_or_insert(error);
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks for Logbook {
    fn set(&self, whom: &[Who], mark: Mark) {
        let mut page = self.page();
        // The second step of a turn comes no further than its first.
        let further = |who: &&Who| page.standing.set(**who, mark);
        if whom.iter().filter(further).count() > 0 {
            self.write(page);
        }
    }
}

/// One fixed name on the way is enough: whoever writes has the lock's mutex.
fn keep(path: &Utf8Path, standing: &Standing) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    let mut text = serde_json::to_vec_pretty(standing)?;
    text.push(b'\n');
    std::fs::write(&draft, text)?;
    Ok(replace(draft.as_std_path(), path.as_std_path())?)
}
