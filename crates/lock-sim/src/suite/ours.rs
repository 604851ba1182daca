//! Our own machines: nothing may break.

use lock_core::effect::Name;
use lock_core::machine::Medium;
use lock_core::policy::OnTimeout;

use super::{Case, Expected};
use crate::leftover::{Leftover, Remains};
use crate::property::Property;
use crate::scope::{Budgets, Member, Rules, Scope};
use crate::world::{Abilities, Plan};
use crate::zoo::Kind;

const NONE: Budgets =
    Budgets { crashes: 0, ticks: 0, cancels: 0, faults: 0, wall_steps: 0, returns: 0 };

const OWN: Member = owner(0, 0);

const EVICT: Member = Member::Ours(Plan::Evict);

const fn owner(renewals: u8, steps: u8) -> Member {
    Member::Ours(Plan::Own { renewals, steps })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = interleavings();
    cases.extend(time());
    cases.extend(surroundings());
    cases.extend(beside_a_peer());
    cases
}

fn interleavings() -> Vec<Case> {
    let crash = Budgets { crashes: 1, ..NONE };
    let all = Leftover::all();
    vec![
        ours(Scope {
            leftovers: all.clone(),
            budgets: crash,
            ..scope("2, every leftover, 1 crash", &[OWN; 2])
        }),
        ours(Scope {
            budgets: Budgets { crashes: 2, ..NONE },
            leftovers: vec![Leftover::default(), Leftover::clean()],
            ..scope("2, first use ever, 2 crashes", &[OWN; 2])
        }),
        ours(Scope {
            torn: true,
            leftovers: Leftover::some(),
            budgets: crash,
            ..scope("2, leftovers, torn unlinks, 1 crash", &[OWN; 2])
        }),
        ours(Scope {
            budgets: Budgets { returns: 2, ..NONE },
            ..scope("2, coming back twice", &[OWN; 2])
        }),
        ours(Scope {
            leftovers: Leftover::some(),
            budgets: Budgets { cancels: 1, crashes: 1, ..NONE },
            ..scope("2, leftovers, 1 cancelled, 1 crash", &[OWN; 2])
        }),
        ours(Scope {
            budgets: crash,
            ..scope("2 with a renewal and a step, 1 crash", &[owner(1, 1); 2])
        }),
        ours(Scope {
            budgets: crash,
            ..scope("owner with a step and evicter, 1 crash", &[owner(1, 1), EVICT])
        }),
        deep(ours(Scope {
            merged: false,
            leftovers: all,
            budgets: crash,
            ..scope("2, every leftover, 1 crash, call by call", &[OWN; 2])
        })),
        deep(ours(scope("3", &[OWN; 3]))),
        deep(ours(Scope {
            torn: true,
            ..scope("2 and an evicter, torn unlinks", &[OWN, EVICT, OWN])
        })),
        deep(ours(scope("2 and an evicter", &[OWN, EVICT, OWN]))),
        deep(ours(Scope { leftovers: Leftover::some(), ..scope("3, leftovers", &[OWN; 3]) })),
    ]
}

fn time() -> Vec<Case> {
    let tick = Budgets { ticks: 1, ..NONE };
    let stale_2 = Rules { stale_after: 2, ..Rules::default() };
    vec![
        ours(Scope {
            leftovers: Leftover::some(),
            budgets: Budgets { crashes: 1, ..tick },
            ..scope("2, leftovers, 1 pause, 1 crash", &[OWN; 2])
        }),
        ours(Scope {
            budgets: tick,
            ..scope("2, a renewal and a step, 1 pause", &[owner(1, 1), OWN])
        }),
        ours(Scope {
            rules: Rules { max_wait: 1, ..stale_2 },
            budgets: tick,
            ..scope("2, a renewal and a step, 1 pause, timing out", &[owner(1, 1), OWN])
        }),
        ours(Scope {
            rules: stale_2,
            budgets: Budgets { wall_steps: 1, ..tick },
            ..scope("2, a renewal, 1 pause, wall clock set", &[owner(1, 0), OWN])
        }),
        ours(Scope {
            rules: Rules { on_timeout: OnTimeout::Fail, max_wait: 2, ..Rules::default() },
            budgets: Budgets { ticks: 2, ..NONE },
            ..scope("2, 2 pauses, on timeout: fail", &[OWN; 2])
        }),
        ours(Scope {
            rules: Rules { on_timeout: OnTimeout::Stop, ..Rules::default() },
            budgets: Budgets { ticks: 2, ..NONE },
            ..scope("2, 2 pauses, on timeout: stop", &[OWN; 2])
        }),
        deep(ours(Scope {
            budgets: tick,
            ..scope("2 with a renewal and a step each, 1 pause", &[owner(1, 1); 2])
        })),
        deep(ours(Scope {
            rules: Rules { max_wait: 1, ..stale_2 },
            budgets: Budgets { ticks: 2, ..NONE },
            ..scope("2, a renewal and a step, 2 pauses, timing out", &[owner(1, 1), OWN])
        })),
    ]
}

fn surroundings() -> Vec<Case> {
    let crash = Budgets { crashes: 1, ..NONE };
    let linked = Abilities { anonymous: false, ..Abilities::ALL };
    let separate = Abilities { links: false, ..linked };
    let bare = Abilities { locks: false, watches: false, ..separate };
    vec![
        ours(Scope {
            merged: false,
            leftovers: Leftover::some(),
            budgets: Budgets { faults: 1, ..NONE },
            ..scope("2, leftovers, 1 call refused", &[OWN; 2])
        }),
        ours(Scope {
            merged: false,
            abilities: linked,
            leftovers: Leftover::some(),
            budgets: crash,
            ..scope("2, leftovers, no O_TMPFILE, 1 crash", &[OWN; 2])
        }),
        ours(Scope {
            merged: false,
            torn: true,
            abilities: separate,
            ..scope("2, no hard links, torn unlinks", &[OWN; 2])
        }),
        ours(Scope {
            merged: false,
            abilities: separate,
            rules: Rules { medium: Medium::Separate, ..Rules::default() },
            budgets: Budgets { faults: 1, ..NONE },
            ..scope("2, no hard links, 1 call refused", &[OWN; 2])
        }),
        ours(Scope {
            merged: false,
            abilities: separate,
            rules: Rules { medium: Medium::Separate, ..Rules::default() },
            budgets: Budgets { ticks: 1, ..NONE },
            ..scope("2, no hard links, 1 pause", &[OWN; 2])
        }),
        ours(Scope {
            merged: false,
            abilities: separate,
            rules: Rules { medium: Medium::Separate, ..Rules::default() },
            leftovers: Leftover::some(),
            budgets: Budgets { crashes: 1, ..NONE },
            ..scope("2, leftovers, no hard links, 1 crash", &[OWN; 2])
        }),
        deep(ours(Scope {
            merged: false,
            abilities: separate,
            rules: Rules { medium: Medium::Separate, ..Rules::default() },
            budgets: Budgets { faults: 1, ticks: 1, ..NONE },
            ..scope("2, no hard links, 1 call refused, 1 pause", &[OWN; 2])
        })),
        ours(Scope {
            merged: false,
            abilities: bare,
            ..scope("2, no kernel locks, no pause", &[OWN; 2])
        }),
    ]
}

/// A peer's blind removal of an old reclaim lock is a hole that we cannot close for it
/// (H1); so here no reclaim lock is left over.
fn beside_a_peer() -> Vec<Case> {
    let clean = Leftover::clean();
    let mut leftovers = vec![clean.clone()];
    for remains in [Remains::Ours, Remains::Stale] {
        leftovers.push(clean.clone().with(&[Name::Mutex], remains));
        leftovers.push(clean.clone().with(&[Name::Lock], remains));
        leftovers.push(clean.clone().with(&[Name::Lock], remains).with(&[Name::Mutex], remains));
    }
    vec![ours(Scope {
        merged: false,
        leftovers,
        properties: vec![Property::OneOwner, Property::OwnFile, Property::CanEnd],
        ..scope("1 beside a peer, lock and mutex left", &[OWN, Member::Peer(Kind::Fleet)])
    })]
}

fn ours(scope: Scope) -> Case {
    Case { subject: "ours", expected: Expected::Holds, deep: false, limit: 30_000_000, scope }
}

fn deep(case: Case) -> Case {
    Case { deep: true, ..case }
}

fn scope(name: &str, crew: &[Member]) -> Scope {
    Scope {
        name: name.to_owned(),
        crew: crew.to_vec(),
        leftovers: vec![Leftover::clean()],
        budgets: NONE,
        abilities: Abilities::ALL,
        rules: Rules::default(),
        merged: true,
        torn: false,
        properties: Property::ALL.to_vec(),
    }
}
