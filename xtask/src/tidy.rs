//! `cargo xtask tidy`: the rules of the house that a compiler does not check.
//!
//! | rule | where | demands |
//! |---|---|---|
//! | `core-is-pure` | lock-core | `no_std` outside tests, no path to `std`, no `unsafe` |
//! | `direction` | manifests | dependencies point one way |
//! | `module-doc` | `*.rs` | the file opens with `//!` |
//! | `length` | `src` | at most 400 lines, or a `//! Length:` line with the reason |
//! | `habit` | `src` | no shortcut that was meant to be temporary |
//! | `whitespace` | text | no trailing whitespace, a final newline |
//! | `machine` | text | no path of one machine, no host of a package registry |
//! | `snapshot` | snapshots | none pending, none unused |
//!
//! A rule is a pure function from a file to its violations.

mod core_purity;
mod direction;
mod file;
mod habits;
mod layout;
mod machine;
mod snapshots;
mod tokens;

use std::io::{self, Write};

use crate::error::Error;
use crate::workspace::Workspace;
use file::{File, Violation};

/// The rules that look at one file at a time.
const RULES: &[fn(&File) -> Vec<Violation>] = &[
    core_purity::check,
    direction::check,
    habits::check,
    layout::module_doc,
    layout::length,
    layout::whitespace,
    machine::check,
];

/// Checks every file of the workspace and lists the violations on standard output.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let files = read(workspace)?;
    let mut violations = violations(&files);
    violations.extend(snapshots::pending(&workspace.pending_snapshots()?));
    violations.sort();
    list(&violations, io::stdout()).map_err(Error::Output)?;
    match violations.len() {
        0 => Ok(()),
        count => Err(Error::Untidy { count }),
    }
}

fn read(workspace: &Workspace) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    for path in workspace.files()? {
        if let Some(text) = workspace.text(&path)? {
            files.push(File { path, text });
        }
    }
    Ok(files)
}

fn violations(files: &[File]) -> Vec<Violation> {
    let each = files.iter().flat_map(|file| RULES.iter().flat_map(|rule| rule(file)));
    each.chain(snapshots::unused(files)).collect()
}

fn list(violations: &[Violation], mut output: impl Write) -> io::Result<()> {
    for violation in violations {
        writeln!(output, "{violation}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_sees_every_file() {
        let files = [
            File::new("crates/lock-core/src/time.rs", "use std::time; \n"),
            File::new("README.md", "no newline"),
        ];
        let mut found = violations(&files);
        found.sort();
        let mut lines = Vec::new();
        list(&found, &mut lines).expect("a vector takes every write");
        assert_eq!(
            String::from_utf8_lossy(&lines),
            "README.md:1: whitespace: end the file with one newline\n\
             crates/lock-core/src/time.rs:1: core-is-pure: use `core` or `alloc` instead of `std`\n\
             crates/lock-core/src/time.rs:1: module-doc: open the file with a `//!` line that says what it is for\n\
             crates/lock-core/src/time.rs:1: whitespace: remove the trailing whitespace\n"
        );
    }
}
