//! The control subjects: each must be found to break as it is known to.

use lock_core::effect::Name;

use super::{Case, Expected};
use crate::leftover::{Leftover, Remains};
use crate::property::Property;
use crate::scope::{Budgets, Member, Rules, Scope};
use crate::world::Abilities;
use crate::zoo::{Break, Gate, Judge, Kind};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = original();
    cases.extend(earlier());
    cases.extend(others());
    cases
}

fn original() -> Vec<Case> {
    let three = [Name::Lock, Name::Mutex, Name::Reclaim];
    let crashed =
        three.iter().fold(Leftover::default(), |left, name| left.with(&[*name], Remains::Stale));
    let reclaim = Leftover::default()
        .with(&[Name::Mutex], Remains::Stale)
        .with(&[Name::Reclaim], Remains::Stale);
    let two = |name| scope(name, Kind::Fleet, 2);
    let named = |hole, scope, property| subject("the original", hole, scope, property);
    // Staleness out of the picture, so that only patience counts.
    let patient = Rules { stale_after: 4, max_wait: 1, ..Rules::default() };
    vec![
        named(
            "H1",
            Scope { leftovers: vec![crashed], ..two("2, all three left") },
            Property::OneOwner,
        ),
        named("H2", paused(1, two("2, 1 pause")), Property::OneOwner),
        named("H3", paused(1, two("2, 1 pause, leaving")), Property::OwnMutex),
        named(
            "H4",
            Scope {
                rules: patient,
                ..paused(1, scope("3, 1 pause, patience at an end", Kind::Fleet, 3))
            },
            Property::PatienceKept,
        ),
        named("H5", paused(1, two("2, 1 pause, a long restart")), Property::RenewerFresh),
        named(
            "H8",
            Scope {
                leftovers: vec![reclaim],
                ..crashing(scope("1, crash in the reclaim", Kind::Fleet, 2))
            },
            Property::NoHotLoop,
        ),
    ]
}

fn earlier() -> Vec<Case> {
    let blind = Kind::Plain(Judge::Stamp, Break::Unlink, Gate::Blind);
    let over = Kind::Plain(Judge::Stamp, Break::Over, Gate::Token);
    vec![
        subject(
            "its first version",
            "blind release",
            paused(1, scope("2, 1 pause", blind, 2)),
            Property::OwnFile,
        ),
        subject(
            "its second version",
            "double takeover",
            stale(scope("2, a stale lock", over, 2)),
            Property::OneOwner,
        ),
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
            stale(scope("2, a stale lock", npm, 2)),
            Property::OneOwner,
        ),
        subject(
            "rename aside, check",
            "gap while aside",
            stale(scope("3, a stale lock", fork, 3)),
            Property::OneOwner,
        ),
        subject(
            "unlink, create",
            "double removal",
            stale(scope("2, a dead process's lock", pid, 2)),
            Property::OneOwner,
        ),
    ]
}

fn subject(name: &'static str, hole: &'static str, scope: Scope, property: Property) -> Case {
    Case {
        subject: name,
        expected: Expected::Breaks(hole),
        deep: false,
        limit: 3_000_000,
        scope: Scope { properties: vec![property], ..scope },
    }
}

fn stale(scope: Scope) -> Scope {
    Scope { leftovers: vec![Leftover::default().with(&[Name::Lock], Remains::Stale)], ..scope }
}

fn paused(ticks: u8, mut scope: Scope) -> Scope {
    scope.budgets.ticks = ticks;
    scope
}

fn crashing(mut scope: Scope) -> Scope {
    scope.budgets.crashes = 1;
    scope
}

fn scope(name: &str, kind: Kind, size: usize) -> Scope {
    Scope {
        name: name.to_owned(),
        crew: vec![Member::Peer(kind); size],
        leftovers: vec![Leftover::default()],
        budgets: Budgets::default(),
        abilities: Abilities::ALL,
        rules: Rules::default(),
        merged: false,
        torn: false,
        properties: Vec::new(),
    }
}
