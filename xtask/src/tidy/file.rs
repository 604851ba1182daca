//! What a rule takes and what it gives.

use std::fmt;

/// A text file of the workspace.
#[derive(Debug)]
pub(super) struct File {
    /// Relative to the root, with forward slashes.
    pub(super) path: String,
    /// Everything in it.
    pub(super) text: String,
}

impl File {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether this is Rust code.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether this is Rust code of a package itself, not of its integration tests.
    pub(super) fn is_source(&self) -> bool {
        let in_crates = self.path.starts_with("crates/") && self.path.contains("/src/");
        self.is_rust() && (in_crates || self.path.starts_with("xtask/src/"))
    }

    /// Whether this is a snapshot that insta wrote.
    pub(super) fn is_snapshot(&self) -> bool {
        self.path.ends_with(".snap")
    }

    /// Its lines with their numbers, which start at 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split_terminator('\n').enumerate().map(|(index, line)| (index + 1, line))
    }

    /// A violation in this file.
    pub(super) fn violation(
        &self,
        line: usize,
        rule: &'static str,
        remedy: impl Into<String>,
    ) -> Violation {
        Violation { path: self.path.clone(), line, rule, remedy: remedy.into() }
    }
}

/// A place that breaks a rule. The order is that of a listing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// The file, relative to the root.
    pub(super) path: String,
    /// The line in the file, from 1.
    pub(super) line: usize,
    /// The rule's name.
    pub(super) rule: &'static str,
    /// What to do.
    pub(super) remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, rule, remedy } = self;
        write!(f, "{path}:{line}: {rule}: {remedy}")
    }
}

/// The line numbers of violations, for the rules' tests.
#[cfg(test)]
pub(super) fn lines(violations: &[Violation]) -> Vec<usize> {
    violations.iter().map(|violation| violation.line).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::library("crates/lock-fs/src/disk.rs", true)]
    #[case::task("xtask/src/tidy/file.rs", true)]
    #[case::integration_test("crates/lock-fs/tests/peers.rs", false)]
    #[case::end_to_end("tests/main.rs", false)]
    #[case::text("crates/lock-fs/src/table.txt", false)]
    fn source_is_what_packages_are_made_of(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(File::new(path, "").is_source(), expected);
    }
}
