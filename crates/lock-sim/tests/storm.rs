//! A storm that breaks a promise can be seen again, and seen through.

#![expect(clippy::expect_used, reason = "the helpers of tests may fail like tests")]

use lock_sim::property::Property;
use lock_sim::storm::{Broken, storm};
use lock_sim::world::Flock;

/// Of a storm of fifty.
const SEED: u64 = 39;

/// Where everyone is told that it has the kernel lock, the living are taken for dead.
fn broken(seed: u64, flock: Flock) -> Option<Broken> {
    storm(seed, 10_000, flock).expect("because its settings fit together").broken
}

#[test]
fn a_broken_rule_is_found_and_its_trace_shrinks_to_what_matters() {
    let broken = broken(SEED, Flock::Lies).expect("because flock lies");
    assert_eq!(broken.property, Property::OneInMutex);
    assert!(broken.steps < broken.found_after, "{broken}");
    insta::assert_snapshot!(broken);
}

#[test]
fn one_seed_makes_one_run() {
    let first = broken(SEED, Flock::Lies).expect("because flock lies");
    assert_eq!(broken(first.seed, Flock::Lies), Some(first));
}

#[test]
fn where_flock_works_the_same_seed_breaks_nothing() {
    assert_eq!(broken(SEED, Flock::Works), None);
}
