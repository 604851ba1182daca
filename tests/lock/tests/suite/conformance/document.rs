//! `docs/conformance.md` says what is so.

use lock_fs::Settings;
use lock_tests::conformance::{effects, set_up};

use super::cycle;
use crate::kit::{Scene, has_strace};

const DOCUMENT: &str = include_str!("../../../../../docs/conformance.md");

fn assert_has(table: &str) {
    assert!(DOCUMENT.contains(table), "docs/conformance.md must have this table:\n{table}");
}

#[test]
fn the_tables_of_effects_and_of_calls_without_one() {
    assert_has(&effects());
    assert_has(&set_up());
}

/// No call without a reason, and nothing is synced.
#[test]
fn the_system_calls_of_a_cycle() {
    if !has_strace() {
        return;
    }
    let mut report = cycle(&Scene::used(), Settings::default());
    assert_eq!(report.story(), ["acquired", "released"]);
    // Whether the keeper comes by in between is a matter of time.
    report.pairs.retain(|pair| pair.what != "glance");
    let table = lock_tests::conformance::cycle(&report);
    let table = table.unwrap_or_else(|pair| panic!("there is no reason for {pair}"));
    assert!(!table.contains("fsync"), "{table}");
    assert_has(&table);
    let counted = format!("{} system calls", report.pairs.len());
    assert!(DOCUMENT.contains(&counted), "docs/conformance.md must say: {counted}");
}
