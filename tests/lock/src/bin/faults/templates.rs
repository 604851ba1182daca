//! What the dead leave: made by killing the real program at the right call.

use std::path::{Path, PathBuf};

use lock_tests::Arena;

use crate::error::Error;
use crate::fault::Fault;
use crate::life::Life;
use crate::outcome::End;
use crate::process::{State, Tampering};
use crate::scenario::{Before, Other, Scenario, Subject};
use crate::site::{Phase, Site, Window, sites};
use crate::stage::{Programs, Stage};
use crate::trace::Call;
use crate::what::{Object, Verb};

/// The run directories that scenarios begin with.
pub(crate) struct Templates {
    used: Stage,
    dead_owner: Stage,
    leftovers: Stage,
}

impl Templates {
    /// Makes them, below `root`.
    pub(crate) fn make(programs: &Programs, root: &Path) -> Result<Self, Error> {
        let make = Make { programs, root };
        let used = make.stage("used", None, None)?;
        let dead_owner = make.stage(
            "dead-owner",
            Some(&used.arena),
            Some(&|site| site.phase == Phase::Releasing && site.what.is(Verb::Link, Object::Mutex)),
        )?;
        // Its mutex and its takeover name.
        let breaker = make.stage(
            "breaker",
            Some(&dead_owner.arena),
            Some(&|site| site.what.is(Verb::Rename, Object::Lock)),
        )?;
        // Its reclaim lock beside them.
        let leftovers = make.stage(
            "reaper",
            Some(&breaker.arena),
            Some(&|site| site.what.is(Verb::Rename, Object::Mutex)),
        )?;
        Ok(Self { used, dead_owner, leftovers })
    }

    /// What a scenario begins with.
    pub(crate) fn before(&self, before: Before) -> Option<&Arena> {
        match before {
            Before::Nothing => None,
            Before::Used => Some(&self.used.arena),
            Before::DeadOwner => Some(&self.dead_owner.arena),
            Before::Leftovers => Some(&self.leftovers.arena),
        }
    }
}

struct Make<'a> {
    programs: &'a Programs,
    root: &'a Path,
}

/// Any run of `fleet lock run`, seen from its ticket on.
const RUN: Scenario = Scenario {
    name: "a template",
    about: "",
    subject: Subject::Run,
    before: Before::Nothing,
    other: Other::Nobody,
    window: Window::Ticket(1),
};

impl Make<'_> {
    /// The stage that a run leaves which is killed at a call, or not at all.
    fn stage(
        &self,
        name: &str,
        before: Option<&Arena>,
        at: Option<&dyn Fn(&Site) -> bool>,
    ) -> Result<Stage, Error> {
        let calls = self.calls(name, before)?;
        let sites = sites(&calls, RUN.window, RUN.work());
        let path = |part: &str| self.root.join(format!("{name}-{part}"));
        let Some(at) = at else {
            return self.killed(path("left"), before, None, End::Code(0));
        };
        let site = sites.iter().find(|site| at(site)).ok_or_else(|| {
            let how = format!("the call to be killed at is not made: {name}");
            Error::Part { what: "a template", how }
        })?;
        let tampering = Tampering { site, fault: Fault::Kill, usual: &calls };
        self.killed(path("left"), before, Some(&tampering), End::Signal(9))
    }

    fn calls(&self, name: &str, before: Option<&Arena>) -> Result<Vec<Call>, Error> {
        let root = self.root.join(format!("{name}-record"));
        let life = Life::begin(&RUN, self.programs, root, before, None)?;
        life.live().map(|(_, calls)| calls)
    }

    fn killed(
        &self,
        root: PathBuf,
        before: Option<&Arena>,
        tampering: Option<&Tampering<'_>>,
        expected: End,
    ) -> Result<Stage, Error> {
        let stage = Stage::new(root, before)?;
        let mut process = RUN.subject.start(&stage, self.programs, tampering)?;
        loop {
            match process.state()? {
                State::Ended(end) if end == expected => return Ok(stage),
                State::Ended(end) => {
                    let how = format!("{end:?} instead of {expected:?}");
                    return Err(Error::Part { what: "a template", how });
                }
                // It ends by itself or not at all; the test above it has a deadline.
                _ => std::thread::sleep(std::time::Duration::from_millis(1)),
            }
        }
    }
}
