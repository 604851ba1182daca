//! Source code without shortcuts that were meant to be temporary.

use super::file::{File, Violation};
use super::tokens::{find, tokens};

const RULE: &str = "habit";

/// What may not occur in code, and what to do about it.
const BANNED: &[(&str, &str)] = &[
    ("[ allow (", EXPECT_INSTEAD),
    (", allow (", EXPECT_INSTEAD),
    ("dbg !", "remove the debugging aid"),
    (". unwrap ( )", "handle the error; in a test, say `expect(\"why it holds\")`"),
];

const EXPECT_INSTEAD: &str =
    "say `#[expect(…, reason = \"…\")]`, which fails once it is not needed";

/// What may not occur anywhere, comments included. Split, so that it does not occur here.
const MARKERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Checks a source file.
pub(super) fn check(file: &File) -> Vec<Violation> {
    if !file.is_source() {
        return Vec::new();
    }
    let mut violations = markers(file);
    match tokens(&file.text) {
        Ok(tokens) => violations.extend(BANNED.iter().flat_map(|(pattern, remedy)| {
            find(&tokens, pattern).into_iter().map(|line| file.violation(line, RULE, *remedy))
        })),
        Err(error) => {
            let line = error.span().start().line;
            violations.push(file.violation(
                line,
                RULE,
                "close what is left open: this is not Rust",
            ));
        }
    }
    violations
}

fn markers(file: &File) -> Vec<Violation> {
    file.lines()
        .filter(|(_, line)| MARKERS.iter().any(|marker| line.contains(marker)))
        .map(|(number, _)| file.violation(number, RULE, "do it now, or open an issue"))
        .collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tidy::file::lines;

    #[rstest]
    #[case::clean("fn f() -> Option<u8> { Some(1) }", &[])]
    #[case::unwrap("fn f() {\n    g().unwrap();\n}", &[2])]
    #[case::unwrap_in_a_test("#[cfg(test)]\nfn f() { g().unwrap() }", &[2])]
    #[case::expect("fn f() { g().expect(\"because\") }", &[])]
    #[case::debugging("fn f() { dbg!(1); }", &[1])]
    #[case::attribute("#[allow(dead_code)]\nfn f() {}", &[1])]
    #[case::file_attribute("#![allow(dead_code)]", &[1])]
    #[case::conditional("#[cfg_attr(test, allow(dead_code))]\nfn f() {}", &[1])]
    #[case::expectation("#[expect(dead_code, reason = \"why\")]\nfn f() {}", &[])]
    #[case::not_rust("fn f() {", &[1])]
    fn shortcuts_are_found(#[case] code: &str, #[case] expected: &[usize]) {
        let file = File::new("crates/lock-fs/src/disk.rs", code);
        assert_eq!(lines(&check(&file)), expected);
    }

    #[test]
    fn markers_are_found_in_comments() {
        let code = MARKERS.join("\n// ").replace('T', "// T");
        let file = File::new("xtask/src/main.rs", &code);
        assert_eq!(lines(&check(&file)), [1, 2]);
    }

    #[test]
    fn integration_tests_are_free() {
        assert_eq!(check(&File::new("tests/main.rs", "fn f() { g().unwrap() }")), []);
    }
}
