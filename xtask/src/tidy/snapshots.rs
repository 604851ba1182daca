//! Snapshots are reviewed, and each belongs to a test.

use super::file::{File, Violation};

const RULE: &str = "snapshot";

/// Snapshots at these paths wait for review.
pub(super) fn pending(paths: &[String]) -> Vec<Violation> {
    let remedy = "review it with `cargo insta review`, then it goes away";
    paths
        .iter()
        .map(|path| File { path: path.clone(), text: String::new() })
        .map(|file| file.violation(1, RULE, remedy))
        .collect()
}

/// Snapshots whose name no Rust file mentions any more.
pub(super) fn unused(files: &[File]) -> Vec<Violation> {
    files
        .iter()
        .filter(|file| file.is_snapshot())
        .filter(|snapshot| !is_mentioned(name(&snapshot.path), files))
        .map(|snapshot| snapshot.violation(1, RULE, "remove it: no test has its name"))
        .collect()
}

fn is_mentioned(name: &str, files: &[File]) -> bool {
    files.iter().any(|file| file.is_rust() && file.text.contains(name))
}

/// The test's part of a file name like `crate__module__test_name-2.snap`.
fn name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.strip_suffix(".snap").unwrap_or(file);
    let name = stem.rsplit("__").next().unwrap_or(stem);
    match name.rsplit_once('-') {
        Some((name, count)) if count.parse::<u32>().is_ok() => name,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("tests/snapshots/e2e__help.snap", "help")]
    #[case::nested("crates/a/src/snapshots/a__b__tests__every_row.snap", "every_row")]
    #[case::second("tests/snapshots/e2e__help-2.snap", "help")]
    #[case::dashed("tests/snapshots/e2e__exit-codes.snap", "exit-codes")]
    fn a_snapshot_is_named_after_its_test(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(name(path), expected);
    }

    #[test]
    fn a_snapshot_without_a_test_is_unused() {
        let files = [
            File::new("tests/help.rs", "fn help() {}"),
            File::new("tests/snapshots/e2e__help.snap", ""),
            File::new("tests/snapshots/e2e__gone.snap", ""),
        ];
        let paths: Vec<_> = unused(&files).into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["tests/snapshots/e2e__gone.snap"]);
    }

    #[test]
    fn every_pending_snapshot_is_a_violation() {
        let paths =
            ["tests/snapshots/a.snap.new".to_owned(), "tests/.a.rs.pending-snap".to_owned()];
        assert_eq!(pending(&paths).len(), 2);
        assert_eq!(pending(&[]), []);
    }
}
