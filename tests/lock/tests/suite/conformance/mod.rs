//! The model is the program: every system call that a contender makes on the lock's paths is an
//! effect of the machines, and every effect is a call. `lock_tests::conformance` says how that is
//! seen; a scene here only leads the contender where it is to be seen, and proves by how the
//! machines ended that it came there.

mod check;
mod document;
mod failing;
mod owning;
mod queueing;
mod taking;
mod waiting;

use lock_fs::Settings;
use lock_tests::conformance::{Act, Report};

use crate::kit::{Child, Scene, Traced};

const CYCLE: [Act; 2] = [Act::Acquire, Act::Release];

/// A traced contender acquires what is there to be had, and releases it.
fn cycle(scene: &Scene, settings: Settings) -> Report {
    let mut traced = Traced::contender(scene, settings, &[], &[]);
    traced.child.say("acquire");
    served(traced)
}

/// It gets the lock that it has asked for, and releases it.
fn served(mut traced: Traced) -> Report {
    traced.child.succeeded();
    traced.child.release();
    traced.explained(&CYCLE)
}

/// A contender that has waited for an owner until that came to its end, and has released the lock.
fn waited(scene: &Scene, end: fn(&mut Child)) -> Traced {
    let mut owner = Child::owner(&scene.arena);
    let mut traced = Traced::usual(scene);
    traced.child.begin_to_wait();
    end(&mut owner);
    traced.child.succeeded();
    traced.child.release();
    traced
}
