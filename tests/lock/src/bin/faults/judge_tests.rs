//! Bad outcomes that nobody has seen yet, each of which must be rejected.

use rstest::rstest;

use super::*;
use crate::outcome::Next;
use crate::what::What;

const RUN: &str = "/t/run";

fn site(verb: Verb, object: Object, phase: Phase) -> Site {
    let what = What { verb, object };
    let (before, after) = (Roles::default(), Roles::default());
    Site { what, name: "call".to_owned(), nth: 1, phase, before, after }
}

/// Somebody makes the lock's ticket.
fn create() -> Site {
    site(Verb::Create, Object::Ticket, Phase::Acquiring)
}

fn refused() -> Site {
    site(Verb::Link, Object::Mutex, Phase::Acquiring)
}

fn unreleased() -> Site {
    site(Verb::Remove, Object::Lock, Phase::Releasing)
}

/// It went on as if nothing had happened.
fn fine() -> Outcome {
    Outcome {
        hit: true,
        end: End::Code(0),
        said: Vec::new(),
        ran: true,
        told: false,
        rescue: None,
        others: None,
        left: Vec::new(),
        next: Next {
            took: Duration::from_millis(5),
            end: End::Code(0),
            said: Vec::new(),
            ran: true,
            left: Vec::new(),
        },
        overlap: None,
        more_descriptors: None,
    }
}

fn said(outcome: Outcome, code: i32, ran: bool, words: &str) -> Outcome {
    Outcome { end: End::Code(code), ran, said: vec![words.to_owned()], ..outcome }
}

fn verdict(site: &Site, fault: Fault, subject: Subject, outcome: &Outcome) -> Result<Cell, String> {
    let case = Case { site, fault, subject, is_anothers: false, run: RUN };
    judge(&case, outcome).map_err(|complaints| complaints.join("; "))
}

const EIO: Fault = Fault::Error(Errno::Io);

#[test]
fn what_goes_as_documented_is_accepted() {
    let why = "Input/output error (os error 5)";
    let cannot = format!("fleet: cannot link /t/run/x.lock.mutex: {why}");
    let late = format!("fleet: /t/run/x.lock could not be released; so: {why}");
    let denied = "fleet: cannot create /t/run/x.lock: Permission denied (os error 13)";
    let full = "fleet: cannot create /t/run/x.lock: No space left on device (os error 28)";
    let run = Subject::Run;
    let (link, release, ticket) = (refused(), unreleased(), create());
    let close = site(Verb::Close, Object::Ticket, Phase::Releasing);
    let interrupted = Fault::Error(Errno::Interrupted);
    let access = Fault::Error(Errno::Access);
    let space = Fault::Error(Errno::NoSpace);
    for (site, fault, outcome, cell) in [
        (&link, EIO, said(fine(), 74, false, &cannot), Cell::Refused(74)),
        (&ticket, access, said(fine(), 77, false, denied), Cell::Refused(77)),
        (&ticket, space, said(fine(), 73, false, full), Cell::Refused(73)),
        (&release, EIO, said(fine(), 74, true, &late), Cell::Late(74)),
        (&link, interrupted, fine(), Cell::Again),
        (&close, EIO, fine(), Cell::On),
        (&link, Fault::Kill, Outcome { end: End::Signal(9), ran: false, ..fine() }, Cell::Next),
    ] {
        assert_eq!(verdict(site, fault, run, &outcome), Ok(cell), "{fault}");
    }
}

/// Each spoils a run in which the mutex could not be linked.
#[rstest]
#[case::went_on_all_the_same(|o: &mut Outcome| *o = fine(), "work was done")]
#[case::another_code(|o: &mut Outcome| o.end = End::Code(75), "instead of Code(74)")]
#[case::a_hang(|o: &mut Outcome| o.end = End::Hangs, "Hangs")]
#[case::a_panic(|o: &mut Outcome| o.said = vec!["thread 'main' panicked".into()], "panicked")]
#[case::silence(|o: &mut Outcome| o.said.clear(), "no sentence")]
#[case::no_path(
    |o: &mut Outcome| o.said = vec!["fleet: Input/output error (os error 5)".into()],
    "no sentence"
)]
#[case::no_reason(|o: &mut Outcome| o.said = vec!["fleet: cannot /t/run".into()], "no sentence")]
#[case::chatter(|o: &mut Outcome| o.said.push("fleet: and so on".into()), "more than a sentence")]
#[case::worked_without_the_lock(|o: &mut Outcome| o.ran = true, "its work was done")]
#[case::a_name_left(|o: &mut Outcome| o.left.push("takeover name".into()), "left the takeover")]
#[case::a_descriptor_left(|o: &mut Outcome| o.more_descriptors = Some(1), "descriptors")]
#[case::the_next_waits(|o: &mut Outcome| o.next.took = AT_ONCE, "the next took")]
#[case::the_next_fails(|o: &mut Outcome| o.next.end = End::Code(75), "the next contender")]
#[case::the_next_does_nothing(|o: &mut Outcome| o.next.ran = false, "the next contender")]
#[case::litter(|o: &mut Outcome| o.next.left.push("mutex".into()), "left at the end")]
#[case::an_overlap(|o: &mut Outcome| o.overlap = Some("OVERLAP 1 found 2".into()), "OVERLAP")]
#[case::anothers_harm(|o: &mut Outcome| o.others = Some("the other owner".into()), "other owner")]
#[case::a_miss(|o: &mut Outcome| o.hit = false, "it did not happen")]
fn what_goes_otherwise_is_rejected(#[case] spoil: fn(&mut Outcome), #[case] complaint: &str) {
    let site = refused();
    let words = "fleet: cannot link /t/run/x.lock.mutex: Input/output error (os error 5)";
    let mut outcome = said(fine(), 74, false, words);
    assert!(verdict(&site, EIO, Subject::Run, &outcome).is_ok());
    spoil(&mut outcome);
    let complaints = verdict(&site, EIO, Subject::Run, &outcome).expect_err("because it is spoilt");
    assert!(complaints.contains(complaint), "{complaints}");
}

#[test]
fn a_release_that_failed_must_say_so_and_may_leave_the_lock() {
    let site = unreleased();
    let words = "fleet: cannot remove /t/run/x.lock: Input/output error (os error 5)";
    let outcome = said(fine(), 74, true, words);
    let complaints = verdict(&site, EIO, Subject::Run, &outcome);
    assert!(complaints.is_err_and(|complaints| complaints.contains("not released")));
    let words = "fleet: /t/run/x.lock could not be released: Input/output error (os error 5)";
    let left = vec!["lock".to_owned()];
    let mut outcome = Outcome { left, ..said(fine(), 74, true, words) };
    assert_eq!(verdict(&site, EIO, Subject::Run, &outcome), Ok(Cell::Late(74)));
    outcome.left.push("mutex".to_owned());
    assert!(verdict(&site, EIO, Subject::Run, &outcome).is_err());
}

#[test]
fn an_interrupted_call_that_is_not_made_again_is_rejected() {
    let site = refused();
    let words = "fleet: cannot link /t/run/x.lock.mutex: Interrupted system call (os error 4)";
    let outcome = said(fine(), 74, false, words);
    assert!(verdict(&site, Fault::Error(Errno::Interrupted), Subject::Run, &outcome).is_err());
}

#[test]
fn a_kill_that_does_not_kill_and_a_dead_one_that_worked_are_rejected() {
    let site = refused();
    assert!(verdict(&site, Fault::Kill, Subject::Run, &fine()).is_err());
    let outcome = Outcome { end: End::Signal(9), ..fine() };
    assert!(verdict(&site, Fault::Kill, Subject::Run, &outcome).is_err(), "it had no lock");
}

const NOTHING: Roles = Roles { lock: false, mutex: false, reclaim: false, clearing: false };
const OWNER: Roles = Roles { lock: true, ..NOTHING };
const HOLDER: Roles = Roles { mutex: true, ..OWNER };

/// What the one who comes must find while a process with these roles is stopped: that, and
/// nothing else.
#[rstest]
#[case::nothing(Fault::Stop, NOTHING, Rescue::Free, Cell::Free)]
#[case::the_lock(Fault::Stop, OWNER, Rescue::Waited, Cell::Waited)]
#[case::the_mutex(Fault::Stop, HOLDER, Rescue::Held, Cell::Held)]
#[case::a_dead_reclaim(
    Fault::Stop,
    Roles { clearing: true, ..NOTHING },
    Rescue::HeldByAnother,
    Cell::HeldUnnamed
)]
#[case::ends_nobody(Fault::End, NOTHING, Rescue::Free, Cell::Free)]
#[case::ends_the_owner(Fault::End, OWNER, Rescue::Ended, Cell::Ended)]
#[case::ends_the_holder(Fault::End, HOLDER, Rescue::Ended, Cell::Ended)]
fn a_stopped_process_is_treated_by_its_roles(
    #[case] fault: Fault,
    #[case] after: Roles,
    #[case] rescue: Rescue,
    #[case] cell: Cell,
) {
    let site = Site { after, ..site(Verb::Link, Object::Lock, Phase::Acquiring) };
    let end = match cell {
        Cell::Ended => End::Signal(9),
        _ => End::Code(0),
    };
    let good = Outcome { rescue: Some(rescue.clone()), end, ..fine() };
    assert_eq!(verdict(&site, fault, Subject::Run, &good), Ok(cell));
    let others = [Rescue::Free, Rescue::TookOver, Rescue::Waited, Rescue::Held, Rescue::Ended];
    // An owner in the mutex may be named as either; one that was asked to end may have let go first.
    let also = match (&rescue, after.lock) {
        (Rescue::Held, true) => Some(Rescue::Waited),
        (Rescue::Ended, _) => Some(Rescue::Free),
        _ => None,
    };
    for other in others.into_iter().chain([Rescue::Survived]) {
        if other != rescue && Some(&other) != also.as_ref() {
            let bad = Outcome { rescue: Some(other), ..good.clone() };
            assert!(verdict(&site, fault, Subject::Run, &bad).is_err(), "{bad:?}");
        }
    }
    let nobody = Outcome { rescue: None, ..good };
    assert!(verdict(&site, fault, Subject::Run, &nobody).is_err());
}

#[test]
fn a_preemptible_owner_that_is_not_told_or_goes_on_working_is_rejected() {
    let site = Site { after: OWNER, ..site(Verb::Remove, Object::Mutex, Phase::Acquiring) };
    let rescue = Some(Rescue::TookOver);
    let good = Outcome { rescue, end: End::Code(76), told: true, ran: false, ..fine() };
    assert_eq!(verdict(&site, Fault::Stop, Subject::Restart, &good), Ok(Cell::Told));
    assert!(verdict(&site, Fault::Stop, Subject::Run, &good).is_err(), "it had not agreed");
    for bad in [
        Outcome { told: false, ..good.clone() },
        Outcome { end: End::Code(0), ..good.clone() },
        Outcome { ran: true, ..good },
    ] {
        assert!(verdict(&site, Fault::Stop, Subject::Restart, &bad).is_err(), "{bad:?}");
    }
}

/// strace makes a `close` that fails not happen; one descriptor more is its doing, two are ours.
#[rstest]
#[case(1, true)]
#[case(2, false)]
fn a_close_that_failed_keeps_one_descriptor(#[case] more: i64, #[case] accepted: bool) {
    let site = site(Verb::Close, Object::Generation, Phase::Acquiring);
    let outcome = Outcome { more_descriptors: Some(more), ..fine() };
    assert_eq!(verdict(&site, EIO, Subject::Library, &outcome).is_ok(), accepted);
}
