//! The model is the program: every system call that `fleet` and whatever it starts make on the
//! restart lock's paths is an effect of the machines, and every effect is a call. How that is seen
//! says `lock_tests::conformance`; what a contender does in other scenes, and with failing
//! calls, is seen in `tests/lock`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use camino::Utf8PathBuf;
use lock_fs::{Generation, Policy, Settings};
use lock_tests::conformance::{Act, Report, Subject, check, this_host};
use lock_tests::strace::parse;
use rstest::rstest;
use rustix::process::Signal;

use crate::kit::{Call, LOCK, Running, Sandbox, kill, until};

/// A command is started outside the mutex.
const CYCLE: [Act; 2] = [Act::Acquire, Act::Release];

/// A traced call of `fleet` that has been made.
struct Traced {
    running: Running,
    listing: PathBuf,
    lock: Utf8PathBuf,
    settings: Settings,
    preemptible: bool,
}

impl Traced {
    fn start(home: &Sandbox, call: Call) -> Self {
        let listing = home.path("calls");
        let lock = Utf8PathBuf::try_from(home.lock()).expect("UTF-8");
        let running = call.traced(&listing).spawn();
        Self { running, listing, lock, settings: Settings::default(), preemptible: false }
    }

    /// `fleet` itself; what we have started is its tracer.
    fn pid(&self) -> u32 {
        let pid = || {
            let listing = fs::read_to_string(&self.listing).unwrap_or_default();
            listing.split(' ').next().and_then(|pid| pid.parse().ok())
        };
        until("the first call to be written down", || pid().is_some());
        pid().expect("it was there")
    }

    /// Waits for its end, and has its calls explained.
    fn explained(self, code: i32, command: &str, acts: &[Act]) -> Report {
        let out = self.running.wait();
        assert_eq!(out.code(), code, "{out}");
        let listing = fs::read_to_string(&self.listing).expect("strace wrote it");
        let calls = parse(&listing).unwrap_or_else(|error| panic!("{error}"));
        let subject = Subject {
            lock: self.lock,
            policy: Policy::new(self.settings).expect("as fleet has it"),
            command: command.to_owned(),
            host: this_host().expect("/proc"),
            acts: acts.to_vec(),
            preemptible: self.preemptible,
        };
        check(&subject, &calls).unwrap_or_else(|mismatch| panic!("{mismatch}\n{out}"))
    }
}

/// Runs `true` under the lock.
fn run(home: &Sandbox, options: &[&str]) -> Traced {
    let args = [&["lock", "run"], options, &["--", "true"]].concat();
    Traced::start(home, home.fleet(&args))
}

#[test]
fn a_command_under_the_lock() {
    let home = Sandbox::new();
    let report = run(&home, &[]).explained(0, "true", &CYCLE);
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(report.has("SyncDirectory"), "it was the first use ever");
    let report = run(&home, &[]).explained(0, "true", &CYCLE);
    assert_eq!(report.story(), ["acquired", "released"]);
    assert!(!report.has("SyncDirectory"));
    // The command inherits the ticket, as it should, and that is all that it is given.
    let kept = report.set_up.iter().filter(|(call, _)| call == "fcntl(copy, F_SETFD, 0)");
    assert_eq!(kept.count(), 1, "{:?}", report.set_up);
}

/// Agents are children that live on; they are stopped for the trace to end.
#[test]
fn a_restart() {
    let home = Sandbox::with_idle_agents(&["a", "b"]);
    let mut traced = Traced::start(&home, home.fleet(&["restart", "--jobs", "2"]));
    traced.settings.wait_limit = Some(Duration::from_secs(600));
    traced.preemptible = true;
    until("both to run", || {
        let agents = home.status()["agents"].clone();
        let agents = agents.as_array().expect("a list");
        agents.iter().all(|agent| agent["state"] == "running") && home.lock_files().len() == 1
    });
    let out = home.fleet(&["stop"]).run();
    assert_eq!(out.code(), 0, "{out}");
    let report = traced.explained(0, "fleet restart", &[Act::Acquire, Act::Steps, Act::Release]);
    let story = report.story();
    assert_eq!(
        (story.first(), story.last()),
        (Some(&"acquired".to_owned()), Some(&"released".to_owned()))
    );
    let steps = story.iter().filter(|end| *end == "stepped").count();
    assert!(steps >= 4, "each agent is stopped and started: {story:?}");
}

#[rstest]
#[case::released(false, "acquired")]
#[case::killed(true, "took over: OwnerDied")]
fn a_command_that_waits(#[case] killed: bool, #[case] how: &str) {
    let home = Sandbox::new();
    let (holder, gate) = home.holder(&[]);
    let mut traced = run(&home, &[]);
    traced.running.await_stderr("waiting for");
    match killed {
        true => holder.signal(Signal::KILL),
        false => gate.open(),
    }
    let report = traced.explained(0, "true", &CYCLE);
    assert_eq!(report.story(), [how, "released"]);
    assert!(report.has("Sleep"));
    let _ = holder.wait();
}

#[test]
fn a_command_that_is_interrupted_while_it_waits() {
    let home = Sandbox::new();
    let (_holder, _gate) = home.holder(&[]);
    let mut traced = run(&home, &[]);
    traced.running.await_stderr("waiting for");
    kill(traced.pid(), Signal::INT);
    let report = traced.explained(130, "true", &[Act::Acquire]);
    assert_eq!(report.story(), ["failed: cancelled"]);
}

#[test]
fn a_command_that_gives_up() {
    let home = Sandbox::new();
    let (_holder, _gate) = home.holder(&[]);
    let mut traced = run(&home, &["--max-wait", "200ms"]);
    traced.settings.wait_limit = Some(Duration::from_millis(200));
    let acts = [Act::Acquire, Act::Inspect, Act::Holders, Act::Peek, Act::Waiters];
    let report = traced.explained(75, "true", &acts);
    assert_eq!(
        report.story().first().map(String::as_str),
        Some("failed: timed out waiting for the owner")
    );
}

#[test]
fn a_command_that_finds_a_peers_old_lock() {
    let home = Sandbox::new();
    home.write_foreign_lock(Duration::from_secs(3600));
    let report = run(&home, &[]).explained(0, "true", &CYCLE);
    assert_eq!(report.story(), ["took over: Expired", "released"]);
}

#[test]
fn a_command_whose_lock_is_broken() {
    let home = Sandbox::new();
    let gate = home.gate("gate");
    let script = format!("echo $$ > held; read x < {}", gate.path().display());
    let mut traced =
        Traced::start(&home, home.fleet(&["lock", "run", "--", "/bin/sh", "-c", &script]));
    home.await_pid("held");
    let out = home.fleet(&["lock", "break", "--generation", "1"]).run();
    assert_eq!(out.code(), 0, "{out}");
    traced.running.await_stderr("lost");
    gate.open();
    let report = traced.explained(76, &format!("/bin/sh -c {script}"), &CYCLE);
    assert_eq!(report.story(), ["acquired", "replaced", "lost to nobody"]);
}

#[rstest]
#[case::held(true, Some(1), 0, "evicted")]
#[case::not_named(true, None, 75, "left to its living owner")]
#[case::another(true, Some(99), 75, "left to another")]
#[case::free(false, None, 0, "was free")]
fn breaking_a_lock(
    #[case] held: bool,
    #[case] only: Option<u64>,
    #[case] code: i32,
    #[case] how: &str,
) {
    let home = Sandbox::new();
    let holder = match held {
        true => Some(home.holder(&[])),
        false => {
            let _ = home.under_lock(&[], "true").wait();
            None
        }
    };
    let generation = only.map(|only| only.to_string());
    let mut args = vec!["lock", "break"];
    args.extend(generation.iter().flat_map(|only| ["--generation", only]));
    let traced = Traced::start(&home, home.fleet(&args));
    let act = Act::Evict(only.map(Generation));
    let report = traced.explained(code, "fleet lock break", &[Act::Holders, act]);
    assert_eq!(report.story().last().map(String::as_str), Some(how));
    drop(holder);
}

#[rstest]
#[case::free(false, "free")]
#[case::held(true, "kernel Held")]
fn looking_at_a_lock(#[case] held: bool, #[case] what: &str) {
    let home = Sandbox::new();
    let _ = home.under_lock(&[], "true").wait();
    let holder = held.then(|| home.holder(&[]));
    let traced = Traced::start(&home, home.fleet(&["lock", "status"]));
    let holders = held.then_some(Act::Holders);
    let acts: Vec<_> = [Act::Inspect, Act::Waiters].into_iter().chain(holders).collect();
    let report = traced.explained(0, "", &acts);
    assert_eq!(report.story()[..2], [what, "0 in the queue"]);
    drop(holder);
}

/// It looks at the lock, and who stands in the mutex, here nobody, and in the queue.
#[test]
fn explaining_a_lock() {
    let home = Sandbox::new();
    let _holder = home.holder(&[]);
    let _waiters = [(); 2].map(|()| {
        let mut waiter = home.under_lock(&[], "true");
        waiter.await_stderr("waiting for");
        waiter
    });
    let traced = Traced::start(&home, home.fleet(&["lock", "explain"]));
    let acts = [Act::Inspect, Act::Holders, Act::Peek, Act::Waiters];
    let report = traced.explained(0, "", &acts);
    let story = report.story();
    let (first, last) = (story.first(), story.last());
    assert_eq!((first, last), (Some(&"kernel Held".into()), Some(&"2 in the queue".into())));
}

/// A mutex that stays is looked at twice.
#[test]
fn explaining_a_mutex_that_somebody_left() {
    let home = Sandbox::new();
    let (holder, gate) = home.holder(&[]);
    let record = home.read(LOCK);
    gate.open();
    assert_eq!(holder.wait().code(), 0);
    home.write(&format!("{LOCK}.mutex"), &record);
    let traced = Traced::start(&home, home.fleet(&["lock", "explain"]));
    let peeks = [Act::Peek, Act::Peek, Act::MutexHolders];
    let acts = [&[Act::Inspect][..], &peeks, &[Act::Waiters]].concat();
    let report = traced.explained(0, "", &acts);
    let someone = "someone in the mutex";
    let story = ["free", someone, someone, someone, "0 holders", "0 in the queue"];
    assert_eq!(report.story(), story);
}
