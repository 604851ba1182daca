//! `lock history`.

use camino::Utf8Path;
use lock_fs::Clock;

use crate::error::Error;
use crate::exit::Exit;
use crate::journal::{self, History};
use crate::lock::args::HistoryArgs;
use crate::report::{Screen, picture};
use crate::timeline::{self, Present};
use crate::{locking, processes};

/// Shows what became of the lock at `path`.
///
/// # Errors
///
/// When its journal cannot be read, or the picture not be written.
pub(crate) fn history(
    path: &Utf8Path,
    args: &HistoryArgs,
    screen: &mut Screen,
) -> Result<Exit, Error> {
    let mut history = journal::history(path)?;
    // Before anything is cut: a wait may have begun long ago.
    let present = present(path, &history);
    if let Some(since) = args.since {
        let since = since.wall(Clock::default().now().wall);
        history.entries.retain(|entry| entry.wall_ms >= since.0);
    }
    if let Some(lines) = args.lines {
        keep_last(&mut history, lines);
    }
    let Some(file) = &args.svg else {
        screen.history(path, &history);
        return Ok(Exit::Done);
    };
    let bars = timeline::bars(&history.entries, &present);
    std::fs::write(file, picture(path, &bars))
        .map_err(|source| Error::Picture { path: file.clone(), source })?;
    if args.output.json {
        screen.history(path, &history);
    }
    screen.drawn(file, &bars);
    Ok(Exit::Done)
}

fn keep_last(history: &mut History, count: usize) {
    let surplus = history.entries.len().saturating_sub(count);
    history.entries.drain(..surplus);
}

/// Who has the lock now, and who waits. Where that cannot be seen, the picture goes without.
fn present(path: &Utf8Path, history: &History) -> Present {
    let look = locking::look(path).ok().flatten();
    let held = look.filter(lock_fs::Status::is_held);
    let token = held.as_ref().and_then(|look| look.lock.record()).map(|record| &record.token);
    let boot = processes::boot_id().unwrap_or_default();
    let waiting = history.waiters(boot);
    Present {
        now: Clock::default().now().wall.0,
        holder: token.map(ToString::to_string),
        waiting: waiting.iter().map(|entry| (entry.pid, entry.start_ticks)).collect(),
    }
}
