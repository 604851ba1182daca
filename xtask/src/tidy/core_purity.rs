//! lock-core stays pure: nothing in it can reach a clock, a file or a thread.

use super::file::{File, Violation};
use super::tokens::{Token, find, tokens, without_tests};

const RULE: &str = "core-is-pure";
const SOURCE: &str = "crates/lock-core/src/";

/// The two ways to write that a crate goes without the standard library.
const NO_STD: &[&str] = &["# ! [ no_std ]", "# ! [ cfg_attr ( not ( test ) , no_std ) ]"];

/// What may not occur outside tests, and what to do about it.
const BANNED: &[(&str, &str)] = &[
    ("std : :", "use `core` or `alloc` instead of `std`"),
    ("extern crate std", "do without the standard library"),
];

/// Checks a file of lock-core.
pub(super) fn check(file: &File) -> Vec<Violation> {
    if !file.path.starts_with(SOURCE) || !file.is_rust() {
        return Vec::new();
    }
    // What does not lex does not compile either, and `habits` reports it.
    let Ok(tokens) = tokens(&file.text) else {
        return Vec::new();
    };
    let mut violations = Vec::from_iter(no_std(file, &tokens));
    violations.extend(occurrences(file, &tokens, "unsafe", "write it without `unsafe`"));
    if !is_for_tests(&file.path) {
        let tokens = without_tests(tokens);
        for (pattern, remedy) in BANNED {
            violations.extend(occurrences(file, &tokens, pattern, remedy));
        }
    }
    violations
}

fn no_std(file: &File, tokens: &[Token]) -> Option<Violation> {
    let is_root = file.path == format!("{SOURCE}lib.rs");
    let declared = NO_STD.iter().any(|form| !find(tokens, form).is_empty());
    (is_root && !declared)
        .then(|| file.violation(1, RULE, "declare `#![cfg_attr(not(test), no_std)]`"))
}

fn occurrences(file: &File, tokens: &[Token], pattern: &str, remedy: &str) -> Vec<Violation> {
    find(tokens, pattern).into_iter().map(|line| file.violation(line, RULE, remedy)).collect()
}

/// Whether this file is the body of a module for tests. A wrong guess lets nothing
/// through: without `extern crate std` in the root, `std` does not compile.
fn is_for_tests(path: &str) -> bool {
    path.ends_with("tests.rs") || path.ends_with("/testing.rs") || path.contains("/tests/")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tidy::file::lines;

    #[rstest]
    #[case::bare("#![no_std]\nfn f() {}", &[])]
    #[case::outside_tests("//! Doc.\n#![cfg_attr(not(test), no_std)]", &[])]
    #[case::absent("//! Doc.\nfn f() {}", &[1])]
    #[case::only_in_tests("#![cfg_attr(test, no_std)]", &[1])]
    #[case::in_a_comment("// #![no_std]", &[1])]
    fn the_root_declares_no_std(#[case] code: &str, #[case] expected: &[usize]) {
        let file = File::new("crates/lock-core/src/lib.rs", code);
        assert_eq!(lines(&check(&file)), expected);
    }

    #[rstest]
    #[case::path("\nuse std::time::Instant;", &[2])]
    #[case::crate_name("extern crate std;", &[1])]
    #[case::core("use core::time::Duration;", &[])]
    #[case::in_tests("#[cfg(test)]\nmod tests {\n    use std::thread;\n}", &[])]
    #[case::after_tests("#[cfg(test)]\nmod tests {}\nuse std::fs;", &[3])]
    #[case::in_a_doc("/// Like `std::fs`.\nfn f() {}", &[])]
    #[case::unsafe_code("fn f() { unsafe { g() } }", &[1])]
    #[case::unsafe_test("#[cfg(test)]\nunsafe fn f() {}", &[2])]
    fn no_door_to_the_world(#[case] code: &str, #[case] expected: &[usize]) {
        let file = File::new("crates/lock-core/src/time.rs", code);
        assert_eq!(lines(&check(&file)), expected);
    }

    #[rstest]
    #[case::other_crate("crates/lock-fs/src/lib.rs")]
    #[case::tests_of_core("crates/lock-core/src/acquire/tests.rs")]
    #[case::tests_beside("crates/lock-core/src/record_tests.rs")]
    #[case::kit_for_tests("crates/lock-core/src/testing.rs")]
    fn elsewhere_std_is_welcome(#[case] path: &str) {
        assert_eq!(check(&File::new(path, "use std::fs;")), []);
    }
}
