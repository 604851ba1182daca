//! A process that wants the lock. It does what it reads on stdin, a command a line, and
//! answers each with a line of JSON.
//!
//! | command | does |
//! |---|---|
//! | `open DIR` | goes on in another experiment |
//! | `trap kill\|stop\|off NAME\|* NTH` | before the NTH such effect from now, ends or stops itself; `*` is any, but the keeper's |
//! | `trace` | says the effects since the last `trace`, and when each was about to be |
//! | `acquire [AT]` | acquires, not before the instant AT |
//! | `work US` | works, as the owner |
//! | `step LABEL US` | works in a fenced step |
//! | `quiet MS` | takes a step that so long a quiet may follow |
//! | `nest step\|ticket` | tries that inside a step |
//! | `release` | releases |
//! | `cycle US [AT]` | all three |
//! | `cycles N US` | N times |
//! | `threads N TIMES US AT` | N threads do that TIMES times each |
//! | `loss MS` | waits for the loss of the lock |
//! | `cancel MS` | the next `acquire` is cancelled after so long |
//! | `status` | looks |
//! | `holders` | lists the processes that have the lock |
//! | `evict [GENERATION]` | takes the lock away |
//! | `wall MS` | steps the wall clock |
//! | `advance MS`, `suspend MS` | lets time pass; with `--attentive`, while it waits as well |
//! | `fork drop\|release\|step\|acquire` | does that in a forked child, as a program would that knows no better |
//! | `descriptors` | counts its open files and threads |
//! | `leave MS` | leaves a process behind that has the ticket for so long |
//! | `share` | takes a copy of the ticket, and closes it |
//! | `send PATH` | hands the ticket to whoever listens on a unix socket there |
//! | `inherited` | lists what files its children inherit |

mod args;
mod forked;
mod report;
mod senses;
mod trap;

use std::error::Error as StdError;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Parser;
use lock_fs::{Cancel, Clock, Error, Generation, Guard, Lock, Options};
use lock_tests::{Arena, Work, now_ns, sleep_until_ns};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::args::Args;
use crate::report::Notices;
use crate::trap::Trap;

type Anything<T> = Result<T, Box<dyn StdError>>;

fn main() -> Anything<()> {
    let args = Args::parse();
    let trap = Trap::default();
    let clock = args.clock();
    let options = Options {
        policy: args.policy()?,
        command: "contender".to_owned(),
        clock: clock.clone(),
        tracer: Some(trap.tracer()),
        preemptible: args.preemptible,
    };
    let commands = senses::commands(args.attentive.then(|| clock.clone()));
    for _ in 0..args.spawners {
        thread::spawn(spawn_children);
    }
    let mut contender = Contender {
        arena: Arena::new(args.arena),
        elsewhere: args.lock,
        options,
        clock,
        trap,
        lock: None,
        guard: None,
        cancel_after: None,
        all_waits: args.attentive,
    };
    for line in commands {
        let line = line?;
        let words: Vec<_> = line.split_whitespace().collect();
        report::say(&contender.obey(&words)?);
    }
    Ok(())
}

/// Starts one child after the other, by fork and exec: only then does each child have copies
/// of all our descriptors for a moment. Asking for our own user id makes the standard library
/// do it this way.
fn spawn_children() {
    let uid = rustix::process::geteuid().as_raw();
    loop {
        let mut child = Command::new("/bin/true");
        child.uid(uid).stdin(Stdio::null()).stdout(Stdio::null());
        let _ = child.status();
    }
}

struct Contender {
    arena: Arena,
    elsewhere: Option<Utf8PathBuf>,
    options: Options,
    clock: Clock,
    trap: Trap,
    lock: Option<Lock>,
    guard: Option<Guard>,
    cancel_after: Option<Duration>,
    /// Whether each wait is told, not only the first.
    all_waits: bool,
}

/// What came of an acquire, some work and a release.
#[derive(Default)]
struct Cycle {
    overlap: Option<String>,
    lost: bool,
    notices: Notices,
}

impl Contender {
    fn obey(&mut self, words: &[&str]) -> Anything<Value> {
        Ok(match words {
            ["open", root] => {
                self.arena = Arena::new(*root);
                (self.lock, self.guard) = (None, None);
                json!({"ok": true})
            }
            ["trap", what, name, nth] => self.set_trap(what, name, nth.parse()?),
            ["trace"] => {
                let (at, trace): (Vec<_>, Vec<_>) = self.trap.trace().into_iter().unzip();
                json!({"ok": true, "trace": trace, "at": at})
            }
            ["acquire"] => self.acquire(),
            ["acquire", at] => {
                sleep_until_ns(at.parse()?);
                self.acquire()
            }
            ["work", us] => self.work(us.parse()?)?,
            ["step", label, us] => self.step(label, us.parse()?)?,
            ["quiet", ms] => self.quiet(ms.parse()?),
            ["nest", what] => self.nest(what),
            ["release"] => self.release(),
            ["cycle", us] => self.cycles(1, us.parse()?),
            ["cycle", us, at] => {
                sleep_until_ns(at.parse()?);
                self.cycles(1, us.parse()?)
            }
            ["cycles", times, us] => self.cycles(times.parse()?, us.parse()?),
            ["threads", threads, times, us, at] => {
                sleep_until_ns(at.parse()?);
                self.threads(threads.parse()?, times.parse()?, us.parse()?)
            }
            ["loss", ms] => self.loss(ms.parse()?),
            ["cancel", ms] => {
                self.cancel_after = Some(Duration::from_millis(ms.parse()?));
                json!({"ok": true})
            }
            ["status"] => self.status(),
            ["holders"] => self.holders(),
            ["evict"] => self.evict(None),
            ["evict", generation] => self.evict(Some(Generation(generation.parse()?))),
            [clock @ ("wall" | "advance" | "suspend"), ms] => {
                senses::move_clock(&self.clock, clock, ms.parse()?);
                json!({"ok": true})
            }
            ["fork", what] => self.fork(what)?,
            ["share"] => {
                drop(self.guard.as_ref().ok_or("there is no guard")?.ticket()?);
                json!({"ok": true})
            }
            ["send", path] => self.send(path)?,
            ["leave", ms] => self.leave(ms.parse()?)?,
            ["inherited"] => {
                let mut child = Command::new("/bin/ls");
                let listing = child.args(["-l", "/proc/self/fd"]).output()?;
                json!({"ok": true, "listing": String::from_utf8_lossy(&listing.stdout)})
            }
            ["descriptors"] => json!({
                "ok": true,
                "files": std::fs::read_dir("/proc/self/fd")?.count(),
                "threads": std::fs::read_dir("/proc/self/task")?.count(),
            }),
            other => return Err(format!("no such command: {other:?}").into()),
        })
    }

    fn set_trap(&self, what: &str, name: &str, nth: u32) -> Value {
        let name = if name == "*" { "" } else { name };
        match what {
            "kill" => self.trap.arm(Signal::KILL, name, nth),
            "stop" => self.trap.arm(Signal::STOP, name, nth),
            _ => self.trap.disarm(),
        }
        json!({"ok": true})
    }

    fn lock(&mut self) -> Result<&Lock, Error> {
        let lock = match self.lock.take() {
            Some(lock) => lock,
            None => {
                let path = self.elsewhere.clone();
                let path = path.unwrap_or_else(|| self.arena.lock());
                Lock::open(path, self.options.clone())?
            }
        };
        Ok(self.lock.insert(lock))
    }

    fn acquire(&mut self) -> Value {
        let begun = now_ns();
        let mut notices = Notices::telling(self.all_waits);
        let cancel = match self.cancel_after.take() {
            None => Cancel::never(),
            Some(limit) => cancelled_after(limit),
        };
        let outcome = self
            .lock()
            .and_then(|lock| lock.acquire(&cancel, &mut |notice| notices.take(notice, true)));
        let at = now_ns();
        match outcome {
            Ok(guard) => {
                let reply = json!({
                    "ok": true, "at": at, "took": at - begun, "pid": std::process::id(),
                    "token": guard.token().as_str(), "generation": guard.generation().0,
                    "notices": notices.to_json(),
                });
                self.guard = Some(guard);
                reply
            }
            Err(error) => with_times(report::error(&error), begun),
        }
    }

    fn work(&self, us: u64) -> Anything<Value> {
        let generation = self.guard.as_ref().map_or(0, |guard| guard.generation().0);
        let work = Work { arena: &self.arena, generation, lasts: Duration::from_micros(us) };
        Ok(json!({"ok": true, "overlap": work.perform()?}))
    }

    fn step(&self, label: &str, us: u64) -> Anything<Value> {
        let Some(guard) = self.guard.as_ref() else { return Ok(no_guard()) };
        let begun = now_ns();
        match guard.step(label, || self.work(us)) {
            Ok(worked) => worked,
            Err(error) => Ok(with_times(report::error(&error), begun)),
        }
    }

    fn quiet(&self, ms: u64) -> Value {
        let Some(guard) = self.guard.as_ref() else { return no_guard() };
        match guard.begin_step("waiting", Duration::from_millis(ms)) {
            Ok(step) => match step.leave() {
                Ok(()) => json!({"ok": true}),
                Err(error) => report::error(&error),
            },
            Err(error) => report::error(&error),
        }
    }

    fn nest(&self, what: &str) -> Value {
        let Some(guard) = self.guard.as_ref() else { return no_guard() };
        let begun = now_ns();
        let nested = guard.step("outer", || match what {
            "ticket" => guard.ticket().map(drop),
            _ => guard.step("inner", || ()),
        });
        match nested {
            Ok(Err(error)) | Err(error) => with_times(report::error(&error), begun),
            Ok(Ok(())) => json!({"ok": true}),
        }
    }

    /// What came of it, by the child's account.
    fn fork(&mut self, what: &str) -> Anything<Value> {
        let (guard, lock) = (&mut self.guard, &self.lock);
        let told = forked::run(|| match (what, guard.take(), lock) {
            ("drop", Some(guard), _) => {
                drop(guard);
                "dropped".to_owned()
            }
            ("release", Some(guard), _) => format!("{:?}", guard.release().map(|_| ())),
            ("step", Some(guard), _) => {
                let told = format!("{:?}", guard.step("in the child", || ()));
                std::mem::forget(guard);
                told
            }
            ("acquire", guard, Some(lock)) => {
                std::mem::forget(guard);
                format!("{:?}", lock.acquire_quietly().map(|_| ()))
            }
            _ => "nothing to do that with".to_owned(),
        })?;
        Ok(json!({"ok": true, "told": told}))
    }

    fn send(&self, path: &str) -> Anything<Value> {
        let guard = self.guard.as_ref().ok_or("there is no guard")?;
        forked::send(&guard.ticket()?, path)?;
        Ok(json!({"ok": true}))
    }

    fn holders(&mut self) -> Value {
        match self.lock().and_then(Lock::holders) {
            Ok(holders) => {
                json!({"ok": true, "pids": holders.pids, "taken_by": holders.taken_by})
            }
            Err(error) => report::error(&error),
        }
    }

    fn evict(&mut self, only: Option<Generation>) -> Value {
        let begun = now_ns();
        match self.lock().and_then(|lock| lock.evict(only)) {
            Ok(evicted) => {
                let debug = format!("{evicted:?}");
                let how = debug.split(['(', ' ']).next();
                json!({"ok": true, "evicted": how, "took": now_ns() - begun})
            }
            Err(error) => with_times(report::error(&error), begun),
        }
    }

    fn release(&mut self) -> Value {
        match self.guard.take().map(Guard::release) {
            None => json!({"ok": true, "released": null}),
            Some(Ok(released)) => report::released(&released),
            Some(Err(error)) => report::error(&error),
        }
    }

    /// As a daemon would that the work starts and nobody means to wait for.
    fn leave(&self, ms: u64) -> Anything<Value> {
        let guard = self.guard.as_ref().ok_or("there is no guard")?;
        let seconds = Duration::from_millis(ms).as_secs_f64().to_string();
        let mut daemon = Command::new("/bin/sleep");
        let daemon = daemon.arg(seconds).stdin(guard.ticket()?).stdout(Stdio::null()).spawn()?;
        Ok(json!({"ok": true, "pid": daemon.id()}))
    }

    fn cycles(&mut self, times: u32, us: u64) -> Value {
        let begun = now_ns();
        let arena = self.arena.clone();
        let lock = match self.lock() {
            Ok(lock) => lock,
            Err(error) => return report::error(&error),
        };
        let mut last = Cycle::default();
        for _ in 0..times {
            match cycle(lock, &arena, us, times == 1) {
                Ok(cycle) => last = cycle,
                Err(error) => return with_times(error, begun),
            }
            if last.overlap.is_some() {
                break;
            }
        }
        json!({
            "ok": true, "overlap": last.overlap, "lost": last.lost,
            "took": now_ns() - begun, "notices": last.notices.to_json(),
        })
    }

    fn threads(&mut self, threads: u32, times: u32, us: u64) -> Value {
        let arena = self.arena.clone();
        let lock = match self.lock() {
            Ok(lock) => lock,
            Err(error) => return report::error(&error),
        };
        let worker = || {
            for _ in 0..times {
                let cycle = cycle(lock, &arena, us, false)?;
                if let Some(other) = cycle.overlap {
                    return Err(json!({"error": "Overlap", "message": other}));
                }
            }
            Ok(())
        };
        let outcome = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| {
                let crash = |_| Err(json!({"error": "Panic", "message": "a thread panicked"}));
                worker.join().unwrap_or_else(crash)
            })
        });
        match outcome {
            Ok(()) => json!({"ok": true, "overlap": null}),
            Err(error) => error,
        }
    }

    fn loss(&self, ms: u64) -> Value {
        let loss = self.guard.as_ref().map(Guard::loss);
        let limit = Some(Duration::from_millis(ms));
        match loss.map(|loss| loss.wait(limit)) {
            Some(Some(to)) => {
                json!({"ok": true, "lost": true, "to": report::record(to.as_deref())})
            }
            _ => json!({"ok": true, "lost": false}),
        }
    }

    fn status(&mut self) -> Value {
        match self.lock().and_then(Lock::status) {
            Ok(status) => json!({
                "ok": true, "held": status.is_held(), "owner": report::record(status.owner()),
            }),
            Err(error) => report::error(&error),
        }
    }
}

/// Acquires, works, releases.
fn cycle(lock: &Lock, arena: &Arena, us: u64, aloud: bool) -> Result<Cycle, Value> {
    let mut notices = Notices::default();
    let told = &mut |notice| notices.take(notice, aloud);
    let acquired = lock.acquire(&Cancel::never(), told);
    let guard = acquired.map_err(|error| report::error(&error))?;
    let work = Work { arena, generation: guard.generation().0, lasts: Duration::from_micros(us) };
    let overlap = work.perform();
    let overlap =
        overlap.map_err(|error| json!({"error": "Work", "message": error.to_string()}))?;
    let released = guard.release().map_err(|error| report::error(&error))?;
    Ok(Cycle { overlap, lost: released != lock_fs::Released::Released, notices })
}

fn no_guard() -> Value {
    json!({"error": "NoGuard", "message": "nothing was acquired"})
}

fn cancelled_after(limit: Duration) -> Cancel {
    let cancel = Cancel::new().unwrap_or_else(|_| Cancel::never());
    let later = cancel.clone();
    thread::spawn(move || {
        // The command says when.
        thread::sleep(limit);
        later.cancel();
    });
    cancel
}

fn with_times(mut reply: Value, begun: u64) -> Value {
    if let Some(fields) = reply.as_object_mut() {
        let at = now_ns();
        fields.insert("at".to_owned(), json!(at));
        fields.insert("took".to_owned(), json!(at - begun));
    }
    reply
}
