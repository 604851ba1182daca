//! The control subjects: a checker that could not find their known bugs would prove nothing.

use lock_sim::suite::{Expected, Table, cases};

/// The rows of the table, and the shortest way to each known bug, in words.
#[test]
fn every_known_bug_is_found_by_its_shortest_way() {
    let mut table = Table::default();
    let mut traces = Vec::new();
    for case in cases() {
        let Expected::Breaks(bug) = case.expected else {
            continue;
        };
        let row = case.run().expect("because a subject's settings fit together");
        assert!(row.good, "{bug} was not found: {row}");
        traces.push(format!("{bug}: {}", row.traces.join("\n")));
        table.0.push(row);
    }
    insta::assert_snapshot!(format!("{table}\n{}", traces.join("\n")));
}
