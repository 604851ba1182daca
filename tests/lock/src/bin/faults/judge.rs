//! Whether a run went as documented: a pure function of what is known of it.

use std::fmt;
use std::time::Duration;

use crate::fault::{Errno, Fault};
use crate::outcome::{End, Outcome, Rescue};
use crate::rules::{Rule, Then, code};
use crate::scenario::Subject;
use crate::site::{Phase, Roles, Site};
use crate::what::{Object, Verb};

/// What the next contender may take, with two processes to start on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(2);

/// One run, and what was to be expected.
pub(crate) struct Case<'a> {
    pub(crate) site: &'a Site,
    pub(crate) fault: Fault,
    pub(crate) subject: Subject,
    /// Whether somebody else has the lock for as long as the subject has not.
    pub(crate) is_anothers: bool,
    /// Where the lock is: every path in a sentence begins so.
    pub(crate) run: &'a str,
}

/// A cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// It went on as if nothing had happened.
    On,
    /// The call was made again, then likewise.
    Again,
    /// It went on, and said what it could not do beside.
    Remark,
    /// It ended with this code and a sentence, its work not done.
    Refused(i32),
    /// Likewise, its work done.
    Late(i32),
    /// A caller of the library got an error, its work not done.
    Error,
    /// Likewise, its work done.
    LateError,
    /// It was killed, and the next went on at once.
    Next,
    /// While it was stopped, another had the lock; then it had it.
    Free,
    /// While it was stopped, another took its lock; it was told, and did nothing more.
    Told,
    /// While it was stopped, another waited for its lock and gave up; then it went on.
    Waited,
    /// It was stopped in the mutex: another named it and gave up; then it went on.
    Held,
    /// Likewise, but a dead one was named.
    HeldUnnamed,
    /// It was stopped, and another ended it.
    Ended,
}

/// Judges a run: what goes into the cell, or everything that is wrong.
pub(crate) fn judge(case: &Case<'_>, outcome: &Outcome) -> Result<Cell, Vec<String>> {
    let mut complaints = Complaints::default();
    let cell = match case.fault {
        Fault::Error(errno) => case.error(errno, outcome, &mut complaints),
        Fault::Kill => {
            complaints.unless(outcome.end == End::Signal(9), || {
                format!("{:?} instead of a death by SIGKILL", outcome.end)
            });
            let idle = case.site.phase.is_before_work();
            complaints.unless(!(idle && outcome.ran), || "it worked without owning".to_owned());
            Cell::Next
        }
        Fault::Stop => case.stop(outcome, &mut complaints),
        Fault::End => case.end(outcome, &mut complaints),
    };
    complaints.unless(outcome.hit, || format!("it did not happen at `{}`", case.site.what));
    case.aftermath(outcome, &mut complaints);
    if complaints.0.is_empty() { Ok(cell) } else { Err(complaints.0) }
}

#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn unless(&mut self, fine: bool, complaint: impl FnOnce() -> String) {
        if !fine {
            self.0.push(complaint());
        }
    }
}

impl Case<'_> {
    /// What must be true whatever happened.
    fn aftermath(&self, outcome: &Outcome, complaints: &mut Complaints) {
        let next = &outcome.next;
        complaints.unless(next.end == End::Code(0) && next.ran, || {
            format!("the next contender: {:?}, {:?}", next.end, next.said)
        });
        complaints.unless(next.took < AT_ONCE, || format!("the next took {:?}", next.took));
        complaints.unless(next.left.is_empty(), || format!("left at the end: {:?}", next.left));
        for wrong in outcome.overlap.iter().chain(&outcome.others) {
            complaints.0.push(wrong.clone());
        }
        let panicked = outcome.said.iter().any(|line| line.contains("panicked"));
        complaints.unless(!panicked, || "it panicked".to_owned());
    }

    fn error(&self, errno: Errno, outcome: &Outcome, complaints: &mut Complaints) -> Cell {
        let Some(rule) = Rule::of(self.site, self.subject) else {
            complaints.0.push("no rule says what must come of this".to_owned());
            return Cell::On;
        };
        let again = errno == Errno::Interrupted && rule.retries(self.site);
        if again || rule.then == Then::On {
            self.undisturbed(outcome, complaints);
            self.descriptors(outcome, complaints);
            return if again { Cell::Again } else { Cell::On };
        }
        if rule.then == Then::LeftAlone {
            let fine = outcome.end == End::Code(75);
            complaints.unless(fine, || format!("{:?} instead of 75", outcome.end));
            self.may_be_outrun(outcome, complaints);
            return Cell::Refused(75);
        }
        self.sentence(errno, rule.then, outcome, complaints);
        if rule.then == Then::Remark {
            self.as_usual(outcome, complaints);
            return Cell::Remark;
        }
        self.descriptors(outcome, complaints);
        self.leftovers(rule.then, outcome, complaints);
        let late = rule.then == Then::Late;
        complaints.unless(outcome.ran == late, || {
            format!("its work was {}done", if late { "not " } else { "" })
        });
        let expected = self.subject.has_codes().then(|| code(self.site, rule.then, errno));
        let wanted = End::Code(expected.unwrap_or(0));
        complaints.unless(outcome.end == wanted, || {
            format!("it ended with {:?} instead of {wanted:?}", outcome.end)
        });
        match (expected, late) {
            (Some(code), true) => Cell::Late(code),
            (Some(code), false) => Cell::Refused(code),
            (None, true) => Cell::LateError,
            (None, false) => Cell::Error,
        }
    }

    /// As if nothing had happened: the scenario's own end, nothing said, nothing left.
    fn undisturbed(&self, outcome: &Outcome, complaints: &mut Complaints) {
        self.as_usual(outcome, complaints);
        let count = usize::from(self.subject.is_told() && self.subject.has_codes());
        complaints.unless(self.complaints_in(outcome).len() == count, || {
            format!("it said {:?}", outcome.said)
        });
    }

    fn as_usual(&self, outcome: &Outcome, complaints: &mut Complaints) {
        let usual = End::Code(self.subject.usual_code());
        complaints.unless(outcome.end == usual, || {
            format!("it ended with {:?} instead of {usual:?}", outcome.end)
        });
        complaints.unless(outcome.ran == self.subject.works(), || {
            format!("its work was {}done", if outcome.ran { "" } else { "not " })
        });
        complaints.unless(outcome.told == self.subject.is_told(), || {
            format!("it was {}told of a loss", if outcome.told { "" } else { "not " })
        });
        // A number that is not removed is a dead waiter's, which the next clears.
        let removal = self.site.what.is(Verb::Remove, Object::Number) && self.fault.is_error();
        let may_stay = |name: &String| removal && *name == Object::Number.to_string();
        let left: Vec<_> = outcome.left.iter().filter(|name| !may_stay(name)).collect();
        complaints.unless(left.is_empty(), || format!("it left {left:?}"));
    }

    /// What it complained of; whom it waits for, ends and takes over from is no complaint.
    fn complaints_in<'o>(&self, outcome: &'o Outcome) -> Vec<&'o String> {
        let remarks =
            ["fleet: waiting for ", "fleet: sent SIG", "fleet: took ", "fleet: what it started "];
        let is_remark = |line: &String| remarks.iter().any(|remark| line.starts_with(remark));
        outcome.said.iter().filter(|line| !is_remark(line)).collect()
    }

    /// One sentence, with the system's reason and a path of ours.
    fn sentence(&self, errno: Errno, then: Then, outcome: &Outcome, complaints: &mut Complaints) {
        let words = errno.words();
        let said = self.complaints_in(outcome);
        let path = if self.site.what.object == Object::Boot { "/proc/" } else { self.run };
        let told = said.iter().filter(|line| {
            let names = !Rule::names_path(self.site) || line.contains(path);
            line.contains(&words) && names
        });
        complaints.unless(told.count() == 1, || {
            format!("no sentence names {path} and says {words:?}: {:?}", outcome.said)
        });
        let alone = said.len() == 1 || self.subject == Subject::Restart;
        complaints.unless(alone, || format!("more than a sentence: {said:?}"));
        let late = then == Then::Late && self.site.phase == Phase::Releasing;
        let releasing = late && self.subject.has_codes();
        let says_so = said.iter().any(|line| line.contains("not be released"));
        complaints.unless(!releasing || says_so, || {
            format!("it does not say that the lock was not released: {said:?}")
        });
    }

    /// A name may stay if just its removal failed, and of a release that failed the lock:
    /// the next contender clears them like any dead one's.
    fn leftovers(&self, then: Then, outcome: &Outcome, complaints: &mut Complaints) {
        let may_stay = |name: &String| {
            let removal = matches!(self.site.what.verb, Verb::Remove | Verb::Look);
            let is = |object: Object| *name == object.to_string();
            removal && is(self.site.what.object) || then == Then::Late && is(Object::Lock)
        };
        for name in outcome.left.iter().filter(|name| !may_stay(name)) {
            complaints.0.push(format!("it left the {name}"));
        }
    }

    /// strace makes a `close` that fails not happen; a real one always frees the descriptor.
    fn descriptors(&self, outcome: &Outcome, complaints: &mut Complaints) {
        let kept = i64::from(self.site.what.verb == Verb::Close);
        let fine = outcome.more_descriptors.is_none_or(|more| more <= kept);
        complaints.unless(fine, || format!("{:?} descriptors too many", outcome.more_descriptors));
    }

    fn stop(&self, outcome: &Outcome, complaints: &mut Complaints) -> Cell {
        let roles = self.site.after;
        let (expected, cell) = match (roles.mutex || roles.reclaim, roles.lock) {
            _ if roles.clearing => (Rescue::HeldByAnother, Cell::HeldUnnamed),
            (true, _) => (Rescue::Held, Cell::Held),
            (false, true) if self.subject.is_preemptible() => (Rescue::TookOver, Cell::Told),
            (false, true) => (Rescue::Waited, Cell::Waited),
            (false, false) => (Rescue::Free, Cell::Free),
        };
        // Whoever owns the lock is named as its owner, even if it is in the mutex as well. And who
        // waits for the lock learns first that another has it.
        let also = match roles {
            Roles { lock: true, mutex: true, .. } => Some(Rescue::Waited),
            Roles { lock: false, .. } if self.is_anothers => Some(Rescue::WaitedForAnother),
            _ => None,
        };
        rescued(&[Some(expected), also], outcome, complaints);
        if cell == Cell::Free && self.subject == Subject::Break {
            self.may_be_outrun(outcome, complaints);
            return cell;
        }
        if cell != Cell::Told {
            self.undisturbed(outcome, complaints);
            return cell;
        }
        complaints.unless(outcome.told, || "it was not told of its loss".to_owned());
        let lost = if self.subject.has_codes() { 76 } else { 0 };
        complaints.unless(outcome.end == End::Code(lost), || {
            format!("it lost the lock and ended with {:?}", outcome.end)
        });
        let idle = self.site.phase.is_before_work();
        complaints.unless(!(idle && outcome.ran), || "it worked after its loss".to_owned());
        cell
    }

    fn end(&self, outcome: &Outcome, complaints: &mut Complaints) -> Cell {
        let roles = self.site.after;
        // Who clears a dead one's reclaim lock has it locked.
        let in_the_way = roles.mutex || roles.reclaim || roles.lock || roles.clearing;
        let (expected, cell) = match in_the_way {
            true => (Rescue::Ended, Cell::Ended),
            false => (Rescue::Free, Cell::Free),
        };
        // One that was asked to end may have let go before it has ended.
        let also = in_the_way.then_some(Rescue::Free);
        rescued(&[Some(expected), also], outcome, complaints);
        match in_the_way {
            true => self.ended(outcome, complaints),
            false if self.subject == Subject::Break => self.may_be_outrun(outcome, complaints),
            false => self.undisturbed(outcome, complaints),
        }
        cell
    }

    /// It was asked to end and to go on, and killed if it did not. What it had done by then is done.
    fn ended(&self, outcome: &Outcome, complaints: &mut Complaints) {
        const BY_SIGTERM: i32 = 128 + 15;
        // A command that was about to be started may end before it hears of the signal.
        let done = !self.site.phase.is_before_work() || self.site.phase == Phase::Starting;
        let fine = match outcome.end {
            End::Signal(signal) => [9, 15].contains(&signal),
            End::Code(BY_SIGTERM) => true,
            End::Code(code) => done && (code == self.subject.usual_code() || code == 76),
            End::Hangs => false,
        };
        complaints.unless(fine, || format!("it was to end, and did with {:?}", outcome.end));
    }

    /// Whoever comes in between may have the lock by the time that it is to be taken away; and is
    /// left alone.
    fn may_be_outrun(&self, outcome: &Outcome, complaints: &mut Complaints) {
        match outcome.end {
            End::Code(75) => {
                let says_so = outcome.said.iter().any(|line| line.contains(" alone: "));
                complaints.unless(says_so, || format!("75, and it said {:?}", outcome.said));
            }
            _ => self.undisturbed(outcome, complaints),
        }
    }
}

/// What came of the other that came meanwhile.
fn rescued(expected: &[Option<Rescue>], outcome: &Outcome, complaints: &mut Complaints) {
    let fine = outcome.rescue.is_some() && expected.contains(&outcome.rescue);
    complaints.unless(fine, || {
        let expected: Vec<_> = expected.iter().flatten().collect();
        format!("{:?} came instead of {expected:?}", outcome.rescue)
    });
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On => f.write_str("on"),
            Self::Again => f.write_str("again"),
            Self::Remark => f.write_str("on, said"),
            Self::Refused(code) => write!(f, "{code}"),
            Self::Late(code) => write!(f, "{code}, late"),
            Self::Error => f.write_str("error"),
            Self::LateError => f.write_str("error, late"),
            Self::Next => f.write_str("next"),
            Self::Free => f.write_str("free"),
            Self::Told => f.write_str("told"),
            Self::Waited => f.write_str("waited"),
            Self::Held => f.write_str("held"),
            Self::HeldUnnamed => f.write_str("held, unnamed"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
