//! A bug in the middle of a step does not cost the next owner the lock.

use std::panic::AssertUnwindSafe;

use camino::Utf8Path;
use lock_fs::{Lock, Options, Released};
use rstest::rstest;

use super::*;
use crate::journal::{self, Journal, What};
use crate::locking::Held;
use crate::tenure::Tenure;

/// Breaks down in the middle of a step.
struct Panicking;

impl Supervisor for Panicking {
    fn steps(&self, _verb: Verb) -> &'static [Step] {
        &[Step::Start]
    }

    fn limit(&self, _step: Step, _targets: &[Target<'_>]) -> Duration {
        Duration::ZERO
    }

    fn fire<'a>(
        &'a self,
        _step: Step,
        _target: Target<'a>,
        _ticket: BorrowedFd<'_>,
    ) -> Result<Wait<'a>, SupervisorError> {
        panic!("as the test wants it")
    }
}

#[rstest]
#[case::in_the_main_thread(&[])]
#[case::in_a_worker(&["a"])]
fn a_panic_releases_the_lock(#[case] names: &[&str]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = Utf8Path::from_path(dir.path()).expect("UTF-8").join("restart.lock");
    let lock = Lock::open(&path, Options::default()).expect("a directory of our own");
    let roster = fleet_of(&["a", "b"]);
    let names: Vec<String> = names.iter().copied().map(str::to_owned).collect();
    let plan = Plan::new(&roster, Verb::Start, &names).expect("known");
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let guard = lock.acquire_quietly().expect("free");
        let journal = Journal::new(&path, lock.host(), "test".to_owned());
        let now = journal.now();
        let tenure = Tenure::new(guard, journal, now);
        assert!(path.exists());
        let fence = Held::new(&tenure).expect("held");
        let interrupt = Interrupt::new().expect("a descriptor");
        let (plan, fence, interrupt, supervisor) = (&plan, &fence, &interrupt, &Panicking);
        let (pace, marks) = (PLAIN, &Noted::default());
        let work = Work { plan, supervisor, fence, interrupt, pace, marks, earlier: None };
        work.run(&mut |_| {})
    }));
    assert!(ran.is_err() && !path.exists());
    let history = journal::history(&path).expect("read");
    let last = history.entries.last().expect("the release is written down");
    assert!(matches!(last.what, What::Released { exit: None, .. }), "{last:?}");
    let guard = lock.acquire_quietly().expect("free again");
    assert!(matches!(guard.release(), Ok(Released::Released)));
}
