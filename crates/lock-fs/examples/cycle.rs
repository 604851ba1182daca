//! Acquires and releases a lock so many times and says how long a cycle took.

use std::io::Write;
use std::time::Instant;

use lock_fs::{Lock, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: cycle PATH [TIMES]")?;
    let times: u32 = args.next().map_or(Ok(1), |word| word.parse())?;
    let lock = Lock::open(&path, Options::default())?;
    let begun = Instant::now();
    for _ in 0..times {
        let guard = lock.acquire_quietly()?;
        let _ = guard.release()?;
    }
    writeln!(std::io::stdout(), "{:?} a cycle", begun.elapsed() / times)?;
    Ok(())
}
