//! `lock history`.

use camino::Utf8Path;
use lock_fs::Clock;

use crate::error::Error;
use crate::exit::Exit;
use crate::journal::{self, History};
use crate::lock::args::HistoryArgs;
use crate::report::Screen;

/// Shows what became of the lock at `path`.
///
/// # Errors
///
/// When its journal cannot be read.
pub(crate) fn history(
    path: &Utf8Path,
    args: &HistoryArgs,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let mut history = journal::history(path)?;
    if let Some(since) = args.since {
        let since = since.wall(Clock::default().now().wall);
        history.entries.retain(|entry| entry.wall_ms >= since.0);
    }
    if let Some(lines) = args.lines {
        keep_last(&mut history, lines);
    }
    screen.history(path, &history);
    Ok(Exit::Done)
}

fn keep_last(history: &mut History, count: usize) {
    let surplus = history.entries.len().saturating_sub(count);
    history.entries.drain(..surplus);
}
