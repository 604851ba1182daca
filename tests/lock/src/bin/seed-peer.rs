//! A peer that knows only the original's rules: three lines in the lock file, a mutex that
//! is a file created exclusively, and age as the only sign of death.
//!
//! Reads `cycles N US`, `acquire` and `release` on stdin, as a contender does. Its rules have
//! the holes that they are known for; it is only good for scenes that spare them.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use camino::Utf8PathBuf;
use clap::Parser;
use lock_tests::{Arena, Work, now_ns};
use serde_json::{Value, json};

/// Wants a lock by the original's rules.
#[derive(Parser)]
struct Args {
    /// The experiment's directory.
    arena: Utf8PathBuf,
    /// Milliseconds, like all durations here.
    #[arg(long, default_value_t = 30_000)]
    stale_after: u64,
    #[arg(long, default_value_t = 120_000)]
    max_wait: u64,
    #[arg(long, default_value_t = 5)]
    poll: u64,
    #[arg(long, default_value_t = 2)]
    mutex_retry: u64,
}

struct Peer {
    arena: Arena,
    stale_after: Duration,
    max_wait: Duration,
    poll: Duration,
    mutex_retry: Duration,
    /// Counts up, so that each ownership has a name of its own.
    ownerships: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut peer = Peer {
        arena: Arena::new(args.arena),
        stale_after: Duration::from_millis(args.stale_after),
        max_wait: Duration::from_millis(args.max_wait),
        poll: Duration::from_millis(args.poll),
        mutex_retry: Duration::from_millis(args.mutex_retry),
        ownerships: 0,
    };
    let mut held = None;
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<_> = line.split_whitespace().collect();
        let reply = match words.as_slice() {
            ["acquire"] => {
                let token = peer.acquire()?;
                let reply = json!({"ok": true, "token": token, "pid": std::process::id()});
                held = Some(token);
                reply
            }
            ["release"] => {
                let token: String = held.take().ok_or("nothing is held")?;
                json!({"released": peer.release(&token)?})
            }
            ["cycles", times, us] => peer.cycles(times.parse()?, us.parse()?)?,
            other => return Err(format!("no such command: {other:?}").into()),
        };
        writeln!(io::stdout(), "{reply}")?;
    }
    Ok(())
}

impl Peer {
    fn cycles(&mut self, times: u32, us: u64) -> io::Result<Value> {
        for _ in 0..times {
            let token = self.acquire()?;
            let work = Work { arena: &self.arena, generation: 0, lasts: Duration::from_micros(us) };
            let overlap = work.perform()?;
            let released = self.release(&token)?;
            if overlap.is_some() || !released {
                return Ok(json!({"ok": true, "overlap": overlap, "lost": !released}));
            }
        }
        Ok(json!({"ok": true, "overlap": null, "lost": false}))
    }

    /// Takes the lock if it is free, old or unreadable, or once it has waited long enough.
    fn acquire(&mut self) -> io::Result<String> {
        self.ownerships += 1;
        let token = format!("seed-{}-{}", std::process::id(), self.ownerships);
        let lock = self.arena.lock();
        fs::create_dir_all(self.arena.run())?;
        let deadline = now_ns() + u64::try_from(self.max_wait.as_nanos()).unwrap_or(u64::MAX);
        loop {
            self.enter(&token)?;
            let fresh = match fs::read_to_string(&lock) {
                Ok(text) => self.is_fresh(&text),
                Err(_) => false,
            };
            let mine = !fresh || now_ns() >= deadline;
            // Plain writing, in place: a reader outside the mutex may see half of it.
            let written = if mine { fs::write(&lock, record(&token)) } else { Ok(()) };
            self.leave(&token)?;
            written?;
            if mine {
                return Ok(token);
            }
            // The original polls.
            thread::sleep(self.poll);
        }
    }

    fn release(&self, token: &str) -> io::Result<bool> {
        self.enter(token)?;
        let lock = self.arena.lock();
        let mine = token_in(lock.as_std_path()).as_deref() == Some(token);
        if mine {
            fs::remove_file(&lock)?;
        }
        self.leave(token)?;
        Ok(mine)
    }

    fn is_fresh(&self, text: &str) -> bool {
        let stamp = text.split('\n').nth(1).map(str::trim);
        let Some(stamp) = stamp.and_then(|stamp| stamp.parse::<u64>().ok()) else {
            return false;
        };
        u128::from(wall_ms().saturating_sub(stamp)) < self.stale_after.as_millis()
    }

    /// Creating the file is entering; nothing else is.
    fn enter(&self, token: &str) -> io::Result<()> {
        let mutex = self.mutex();
        loop {
            match create(&mutex) {
                Ok(mut file) => {
                    return file.write_all(record(token).as_bytes()).inspect_err(|_| {
                        let _ = fs::remove_file(&mutex);
                    });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            if self.is_old(&mutex) {
                self.reclaim(&mutex)?;
            } else {
                // The original polls here too.
                thread::sleep(self.mutex_retry);
            }
        }
    }

    fn leave(&self, token: &str) -> io::Result<()> {
        let mutex = self.mutex();
        if token_in(&mutex).as_deref() == Some(token) {
            fs::remove_file(&mutex)?;
        }
        Ok(())
    }

    fn reclaim(&self, mutex: &Path) -> io::Result<()> {
        let reclaim = self.arena.beside(".mutex.reclaim").into_std_path_buf();
        match create(&reclaim) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if self.is_old(&reclaim) {
                    let _ = fs::remove_file(&reclaim);
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        if self.is_old(mutex) {
            let _ = fs::remove_file(mutex);
        }
        let _ = fs::remove_file(&reclaim);
        Ok(())
    }

    /// What cannot be looked at counts as young.
    fn is_old(&self, path: &Path) -> bool {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age >= self.stale_after)
    }

    fn mutex(&self) -> PathBuf {
        self.arena.beside(".mutex").into_std_path_buf()
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn record(token: &str) -> String {
    format!("{}\n{}\n{token}\n", std::process::id(), wall_ms())
}

fn token_in(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.split('\n').nth(2).map(|token| token.trim().to_owned())
}

fn wall_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
