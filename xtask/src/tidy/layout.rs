//! How a file is laid out: what it opens with, how long it is, how it ends.

use super::file::{File, Violation};

/// The longest file that needs no reason.
const MAX_LINES: usize = 400;

/// Every Rust file opens with what it is for.
pub(super) fn module_doc(file: &File) -> Vec<Violation> {
    if !file.is_rust() || file.text.starts_with("//! ") {
        return Vec::new();
    }
    let remedy = "open the file with a `//!` line that says what it is for";
    vec![file.violation(1, "module-doc", remedy)]
}

/// No source file is too long to be read in one go, unless it gives its reason.
pub(super) fn length(file: &File) -> Vec<Violation> {
    let count = file.lines().count();
    let has_reason = file.lines().any(|(_, line)| line.starts_with("//! Length: "));
    if !file.is_source() || count <= MAX_LINES || has_reason {
        return Vec::new();
    }
    let remedy = format!("split its {count} lines, or say why not in a `//! Length:` line");
    vec![file.violation(MAX_LINES + 1, "length", remedy)]
}

/// No trailing whitespace, and a newline at the end. A snapshot keeps what the program wrote.
pub(super) fn whitespace(file: &File) -> Vec<Violation> {
    if file.is_snapshot() {
        return Vec::new();
    }
    let trailing = file
        .lines()
        .filter(|(_, line)| line.ends_with(char::is_whitespace))
        .map(|(number, _)| file.violation(number, "whitespace", "remove the trailing whitespace"));
    trailing.chain(final_newline(file)).collect()
}

fn final_newline(file: &File) -> Option<Violation> {
    let text = &file.text;
    let ends_well = text.is_empty() || (text.ends_with('\n') && !text.ends_with("\n\n"));
    (!ends_well).then(|| {
        let last = file.lines().count();
        file.violation(last, "whitespace", "end the file with one newline")
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::tidy::file::lines;

    #[rstest]
    #[case::documented("tests/main.rs", "//! Doc.\nfn f() {}\n", false)]
    #[case::bare("tests/main.rs", "fn f() {}\n", true)]
    #[case::late("tests/main.rs", "\n//! Doc.\n", true)]
    #[case::empty_doc("tests/main.rs", "//!\n", true)]
    #[case::empty_file("crates/lock-fs/src/lib.rs", "", true)]
    #[case::not_rust("README.md", "# fleet\n", false)]
    fn rust_files_open_with_their_purpose(
        #[case] path: &str,
        #[case] text: &str,
        #[case] expected: bool,
    ) {
        assert_eq!(!module_doc(&File::new(path, text)).is_empty(), expected);
    }

    #[rstest]
    #[case::longest("xtask/src/main.rs", "", 400, false)]
    #[case::too_long("xtask/src/main.rs", "", 401, true)]
    #[case::with_a_reason("xtask/src/main.rs", "//! Length: one table.\n", 401, false)]
    #[case::without_its_text("xtask/src/main.rs", "//! Length:\n", 401, true)]
    #[case::not_source("tests/main.rs", "", 401, false)]
    fn long_files_need_a_reason(
        #[case] path: &str,
        #[case] head: &str,
        #[case] lines: usize,
        #[case] expected: bool,
    ) {
        let text = format!("{head}{}", "code\n".repeat(lines));
        assert_eq!(!length(&File::new(path, &text)).is_empty(), expected);
    }

    #[rstest]
    #[case::clean("a\nb\n", &[])]
    #[case::empty("", &[])]
    #[case::trailing_space("a \nb\n", &[1])]
    #[case::trailing_tab("a\nb\t\n", &[2])]
    #[case::carriage_return("a\r\nb\n", &[1])]
    #[case::no_newline("a\nb", &[2])]
    #[case::blank_end("a\n\n", &[2])]
    fn whitespace_at_the_end_is_found(#[case] text: &str, #[case] expected: &[usize]) {
        assert_eq!(lines(&whitespace(&File::new("README.md", text))), expected);
    }

    #[test]
    fn a_snapshot_keeps_its_whitespace() {
        assert_eq!(whitespace(&File::new("tests/snapshots/a.snap", "a \n\n")), []);
    }
}
