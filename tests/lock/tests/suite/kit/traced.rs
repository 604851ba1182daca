//! A contender whose every system call is written down.

use std::fs;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use lock_fs::{Policy, Settings};
use lock_tests::conformance::{Act, Mismatch, Report, Subject, check, this_host};
use lock_tests::strace::{Call, parse, traced};
use rustix::process::{Pid, Signal, kill_process};

use super::{Child, PATIENCE, Scene};

/// A contender, and where its calls are written down.
pub(crate) struct Traced {
    pub(crate) child: Child,
    listing: Utf8PathBuf,
    lock: Utf8PathBuf,
    settings: Settings,
    preemptible: bool,
}

/// The usual settings, with these thresholds in milliseconds.
pub(crate) fn settings(stale_after: u64, wait_limit: u64) -> Settings {
    let wait_limit = Some(Duration::from_millis(wait_limit));
    Settings { wait_limit, ..Settings::with_stale_after(Duration::from_millis(stale_after)) }
}

impl Traced {
    /// A contender with the usual settings.
    pub(crate) fn usual(scene: &Scene) -> Self {
        Self::contender(scene, Settings::default(), &[], &[])
    }

    /// A contender with these settings, and these options more. `tampering` is strace's.
    pub(crate) fn contender(
        scene: &Scene,
        settings: Settings,
        options: &[&str],
        tampering: &[&str],
    ) -> Self {
        let listing = scene.arena.root().join("calls");
        let mut command =
            traced(Utf8Path::new(env!("CARGO_BIN_EXE_contender")), &listing, tampering);
        // The environment would be written down as well.
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let given = [
            ("--stale-after", Some(settings.stale_after)),
            ("--renew-every", Some(settings.renew_every)),
            ("--hang-after", Some(settings.hang_after)),
            ("--wait-limit", settings.wait_limit),
            ("--poll", Some(settings.poll)),
            ("--grace", Some(settings.grace)),
        ];
        let given = given.into_iter().filter_map(|(option, value)| {
            value.map(|value| format!("{option}={}", value.as_millis()))
        });
        command.arg(scene.arena.root()).args(given).args(options);
        let lock = scene.arena.lock();
        let preemptible = options.contains(&"--preemptible");
        Self { child: Child::start(command), listing, lock, settings, preemptible }
    }

    /// Waits until so many calls have been made that have these words in their lines.
    pub(crate) fn until_called(&self, words: &[&str], times: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let listing = fs::read_to_string(&self.listing).unwrap_or_default();
            let has_all = |line: &&str| words.iter().all(|word| line.contains(word));
            if listing.lines().filter(has_all).count() >= times {
                return;
            }
            assert!(Instant::now() < deadline, "no {words:?} in\n{listing}");
            // Nothing tells of a line in a listing.
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends the contender itself a signal; what we have started is its tracer.
    pub(crate) fn signal(&self, signal: Signal) {
        let tracer = self.child.pid();
        let children = format!("/proc/{tracer}/task/{tracer}/children");
        let children = fs::read_to_string(children).expect("because the tracer runs");
        let pid = children.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let pid = pid.and_then(Pid::from_raw).expect("because it traces the contender");
        kill_process(pid, signal).expect("because it runs");
    }

    /// The lock's directory.
    pub(crate) fn run(&self) -> &Utf8Path {
        self.lock.parent().expect("because it is an absolute path")
    }

    /// Ends the contender; its calls.
    pub(crate) fn calls(&mut self) -> Vec<Call> {
        let status = self.child.wait_end();
        assert!(status.success(), "{status}");
        let listing = fs::read_to_string(&self.listing).expect("because strace wrote it");
        parse(&listing).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Ends the contender, and has its calls explained.
    pub(crate) fn explained(mut self, acts: &[Act]) -> Report {
        let calls = self.calls();
        let report = self.explain(&calls, acts);
        report.unwrap_or_else(|mismatch| self.child.fail(&format!("is no machine's: {mismatch}")))
    }

    pub(crate) fn explain(&self, calls: &[Call], acts: &[Act]) -> Result<Report, Mismatch> {
        let subject = Subject {
            lock: self.lock.clone(),
            policy: Policy::new(self.settings).expect("because the contender took it"),
            command: "contender".to_owned(),
            preemptible: self.preemptible,
            host: this_host().expect("because /proc is mounted"),
            acts: acts.to_vec(),
        };
        check(&subject, calls)
    }
}
