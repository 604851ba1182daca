//! The few lines that every peer in a measurement speaks with the harness.
//!
//! A peer is a process that wants one lock. It reads commands on standard input and answers
//! each with a line on standard output; when its input ends, so does it. Instants are
//! nanoseconds of `CLOCK_MONOTONIC`, which all processes of a machine share, and each is read
//! by the peer itself right beside the call it is about.
//!
//! | command | does | answer |
//! |---|---|---|
//! | `cycles N` | acquires and releases so often | `cycled NANOSECONDS` |
//! | `trace N` | the same, with a call of `getppid` before each and after the last | `traced N` |
//! | `acquire` | acquires | `acquired WANTED GOT` |
//! | `release` | releases, rests a moment, then tells | `released BEGAN ENDED` |
//! | `once START HOLD` | acquires at an instant, holds it so long, releases | `turn WANTED GOT LEFT` |
//! | `contend START UNTIL LOG COUNTER` | acquires, works, releases, again and again; writes its turns to a log | `contended TURNS CPU` |
//!
//! The work is short and touches files that all share, as what a lock is for: the number in
//! `COUNTER` is read and the next one written, and both are told in a log beside it.
//!
//! Whatever goes wrong is answered with `failed` and the reason. The peers in Node and Python
//! speak the same, except for `trace`.

mod clock;
mod turns;

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Duration;

pub use clock::{cpu_ns, now_ns, sleep_until_ns};
pub use turns::{Turn, contend};

/// Why a lock could not be had, or not be let go.
pub type Failure = Box<dyn Error>;

/// A lock to be measured. What is acquired is held by the subject itself.
pub trait Subject {
    /// Waits until the lock is held.
    ///
    /// # Errors
    ///
    /// When the lock cannot be had.
    fn acquire(&mut self) -> Result<(), Failure>;

    /// Lets go of it.
    ///
    /// # Errors
    ///
    /// When that is not possible, or there is nothing to let go of.
    fn release(&mut self) -> Result<(), Failure>;
}

/// So long a peer rests between a release and telling of it, so that whoever listens does not
/// compete for a processor with whoever was waiting for the lock.
const REST: Duration = Duration::from_millis(2);

/// Does what standard input says, to its end.
///
/// # Errors
///
/// When standard input or output break.
pub fn serve(subject: &mut dyn Subject) -> Result<(), Failure> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match answer(subject, &words) {
            Ok(answer) => answer,
            Err(error) => format!("failed {}", error.to_string().replace('\n', " ")),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(subject: &mut dyn Subject, words: &[&str]) -> Result<String, Failure> {
    Ok(match words {
        ["cycles", times] => {
            let (times, begun) = (times.parse()?, now_ns());
            for _ in 0..times {
                subject.acquire()?;
                subject.release()?;
            }
            format!("cycled {}", now_ns() - begun)
        }
        ["trace", times] => {
            for _ in 0..times.parse::<u64>()? {
                let _ = rustix::process::getppid();
                subject.acquire()?;
                subject.release()?;
            }
            let _ = rustix::process::getppid();
            format!("traced {times}")
        }
        ["acquire"] => {
            let wanted = now_ns();
            subject.acquire()?;
            format!("acquired {wanted} {}", now_ns())
        }
        ["release"] => {
            let began = now_ns();
            subject.release()?;
            let ended = now_ns();
            // Not to wait for anything: the peer has nothing to do, and shall be seen so.
            thread::sleep(REST);
            format!("released {began} {ended}")
        }
        ["once", start, hold] => once(subject, start.parse()?, hold.parse()?)?.to_string(),
        ["contend", start, until, log, counter] => {
            let window = start.parse()?..until.parse()?;
            let (turns, cpu) = contend(subject, window, log.as_ref(), counter.as_ref())?;
            format!("contended {turns} {cpu}")
        }
        other => return Err(format!("no such command: {other:?}").into()),
    })
}

fn once(subject: &mut dyn Subject, start: u64, hold: u64) -> Result<Turn, Failure> {
    sleep_until_ns(start);
    let wanted = now_ns();
    subject.acquire()?;
    let got = now_ns();
    sleep_until_ns(got + hold);
    let left = now_ns();
    subject.release()?;
    Ok(Turn { wanted, got, left })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts instead of locking.
    #[derive(Default)]
    struct Counted {
        acquired: u32,
        released: u32,
    }

    impl Subject for Counted {
        fn acquire(&mut self) -> Result<(), Failure> {
            self.acquired += 1;
            Ok(())
        }

        fn release(&mut self) -> Result<(), Failure> {
            self.released += 1;
            Ok(())
        }
    }

    fn ask(subject: &mut Counted, line: &str) -> Result<String, Failure> {
        answer(subject, &line.split(' ').collect::<Vec<_>>())
    }

    #[test]
    fn a_cycle_is_one_acquire_and_one_release() {
        let mut subject = Counted::default();
        let answer = ask(&mut subject, "cycles 5").expect("because counting does not fail");
        assert!(answer.starts_with("cycled "), "{answer}");
        assert_eq!((subject.acquired, subject.released), (5, 5));
    }

    #[test]
    fn instants_are_in_the_order_in_which_they_were() {
        let mut subject = Counted::default();
        let answer = ask(&mut subject, "once 0 1000").expect("because counting does not fail");
        let instants: Vec<u64> =
            answer.split(' ').skip(1).map(|word| word.parse().expect("a number")).collect();
        assert!(instants.is_sorted() && instants.len() == 3, "{answer}");
        assert!(instants[2] - instants[1] >= 1000, "{answer}");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        assert!(ask(&mut Counted::default(), "acquire twice").is_err());
        assert!(ask(&mut Counted::default(), "cycles many").is_err());
    }
}
