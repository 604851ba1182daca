//! The control subjects: each must be found to break as it is known to.

use lock_core::effect::Name;

use super::{Case, Expected};
use crate::leftover::{Leftover, Remains};
use crate::property::Property;
use crate::scope::Member;
use crate::world::Plan;
use crate::zoo::{Break, Gate, Judge, Kind, Limit};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = original();
    cases.extend(earlier());
    cases.extend(november());
    cases.extend(others());
    cases.extend(assumptions());
    cases
}

fn original() -> Vec<Case> {
    let three = [Name::Lock, Name::Mutex, Name::Reclaim];
    let crashed =
        three.iter().fold(Leftover::default(), |left, name| left.with(&[*name], Remains::Stale));
    let reclaim = Leftover::default()
        .with(&[Name::Mutex], Remains::Stale)
        .with(&[Name::Reclaim], Remains::Stale);
    let two = |hole, name, property| {
        subject("the original", hole, name, &[Member::Peer(Kind::Fleet); 2], property)
    };
    vec![
        two("H1", "2, all three left", Property::OneOwner).left(vec![crashed]),
        two("H2", "2, 1 pause", Property::OneOwner).pauses(1),
        two("H3", "2, 1 pause, leaving", Property::OwnMutex).pauses(1),
        // Staleness out of the picture, so that only patience counts.
        subject(
            "the original",
            "H4",
            "3, 1 pause, patience at an end",
            &[Member::Peer(Kind::Fleet); 3],
            Property::PatienceKept,
        )
        .terms(4, 4)
        .limit(1)
        .pauses(1),
        two("H5", "2, 1 pause, a long restart", Property::RenewerFresh).pauses(1),
        two("H8", "2, 1 crash in the reclaim", Property::NoHotLoop).left(vec![reclaim]).crashes(1),
    ]
}

fn earlier() -> Vec<Case> {
    let blind = Kind::Plain(Judge::Stamp, Break::Unlink, Gate::Blind);
    let over = Kind::Plain(Judge::Stamp, Break::Over, Gate::Token);
    vec![
        subject(
            "its first version",
            "blind release",
            "2, 1 pause",
            &[Member::Peer(blind); 2],
            Property::OwnFile,
        )
        .pauses(1),
        subject(
            "its second version",
            "double takeover",
            "2, a stale lock",
            &[Member::Peer(over); 2],
            Property::OneOwner,
        )
        .left(stale()),
    ]
}

/// One inode for every role, and owners that are replaced by the clock.
fn november() -> Vec<Case> {
    let rules = |bug, name, limit, size, property| {
        let crew = vec![Member::Peer(Kind::November(limit)); size];
        subject("rules of 27 November", bug, name, &crew, property)
    };
    let robbery = |name| rules("robbery", name, Limit::PerOwner, 2, Property::WorkApart);
    vec![
        robbery("owner and waiter, 1 pause").settled(2).pauses(1),
        robbery("owner and waiter, 1 pause, out of patience")
            .settled(2)
            .terms(4, 4)
            .limit(1)
            .pauses(1),
        robbery("owner and waiter, 1 suspend").settled(2).suspends(1),
        rules("wedge", "1 killed in its step", Limit::PerOwner, 1, Property::MutexFallsFree)
            .orphans(1),
        rules(
            "ended out of turn",
            "owner and 2 waiters, 1 pause, on timeout: stop",
            Limit::Whole,
            3,
            Property::EndedAfterWholeLimit,
        )
        .settled(3)
        .terms(4, 4)
        .ends_owners_after(1)
        .pauses(1),
    ]
}

fn others() -> Vec<Case> {
    let npm = Kind::Plain(Judge::Mtime, Break::Unlink, Gate::Blind);
    let fork = Kind::Plain(Judge::Mtime, Break::Aside, Gate::Blind);
    let pid = Kind::Plain(Judge::Pid, Break::Unlink, Gate::Token);
    vec![
        subject(
            "stat, remove, create",
            "double removal",
            "2, a stale lock",
            &[Member::Peer(npm); 2],
            Property::OneOwner,
        )
        .left(stale()),
        subject(
            "rename aside, check",
            "gap while aside",
            "3, a stale lock",
            &[Member::Peer(fork); 3],
            Property::OneOwner,
        )
        .left(stale()),
        subject(
            "unlink, create",
            "double removal",
            "2, a dead process's lock",
            &[Member::Peer(pid); 2],
            Property::OneOwner,
        )
        .left(stale()),
    ]
}

/// Our own machines where an assumption does not hold: what is promised under it is then
/// found to break, so it is needed, and the explorer would have seen it break.
fn assumptions() -> Vec<Case> {
    let own = Member::Ours(Plan::Own { renewals: 0, steps: 0, preemptible: true, shares: false });
    let barge = Member::Ours(Plan::Barge);
    let dead_mutex = Leftover::clean().with(&[Name::Mutex], Remains::Ours);
    vec![
        subject(
            "ours, flock lies",
            "living taken for dead",
            "2",
            &[own; 2],
            Property::RenewerFresh,
        )
        .lying(),
        subject(
            "ours, robbed by hand",
            "two in the mutex",
            "2, a dead mutex",
            &[own; 2],
            Property::OneInMutex,
        )
        .left(vec![dead_mutex])
        .robberies(1),
        subject(
            "ours, queue unseen",
            "waiter overtaken",
            "2, coming back",
            &[barge; 2],
            Property::FirstComeFirstServed,
        )
        .returns(1),
    ]
}

fn stale() -> Vec<Leftover> {
    vec![Leftover::default().with(&[Name::Lock], Remains::Stale)]
}

fn subject(
    subject: &'static str,
    bug: &'static str,
    name: &str,
    crew: &[Member],
    property: Property,
) -> Case {
    Case::new(subject, Expected::Breaks(bug), name, crew)
        .terms(1, 4)
        .left(vec![Leftover::default()])
        .call_by_call()
        .only(&[property])
}
