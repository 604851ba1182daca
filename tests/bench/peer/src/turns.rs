//! Taking turns: again and again, each turn written down, and counted where all count.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Failure, Subject, cpu_ns, now_ns, sleep_until_ns};

/// One ownership: instants in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// When it was asked for.
    pub wanted: u64,
    /// When it was had.
    pub got: u64,
    /// When it was about to be let go.
    pub left: u64,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, got, left } = self;
        write!(f, "turn {wanted} {got} {left}")
    }
}

/// Takes turns from one instant to another; says how many and what they cost of the
/// processors.
///
/// # Errors
///
/// When the lock fails, or the log or the counter cannot be written.
pub fn contend(
    subject: &mut dyn Subject,
    window: Range<u64>,
    log: &Path,
    counter: &Path,
) -> Result<(usize, u64), Failure> {
    let mut turns = Vec::with_capacity(1 << 16);
    sleep_until_ns(window.start);
    let used = cpu_ns();
    loop {
        let wanted = now_ns();
        if wanted >= window.end {
            break;
        }
        subject.acquire()?;
        let got = now_ns();
        work(counter)?;
        let left = now_ns();
        subject.release()?;
        turns.push(Turn { wanted, got, left });
    }
    let used = cpu_ns().saturating_sub(used);
    let mut log = BufWriter::new(File::create(log)?);
    for turn in &turns {
        writeln!(log, "{turn}")?;
    }
    log.flush()?;
    Ok((turns.len(), used))
}

/// What is done under the lock: reads a number from a file and writes the next, and says so in
/// a log beside it. Two at once lose one of the numbers.
fn work(counter: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().read(true).write(true).open(counter)?;
    let mut number = [0; 8];
    file.read_exact_at(&mut number, 0)?;
    let next = u64::from_le_bytes(number) + 1;
    file.write_all_at(&next.to_le_bytes(), 0)?;
    let log = counter.with_extension("log");
    let mut log = OpenOptions::new().append(true).create(true).open(log)?;
    Ok(writeln!(log, "{} {next}", std::process::id())?)
}
