//! Every page is complete, free of warnings, and its examples work.

use std::io::Write;
use std::process::{Command as Process, Stdio};

use clap::Parser;

use super::*;

/// What a program says to a page: stdout and stderr, as one text.
fn through(program: &[&str], page: &Page) -> String {
    let mut child = Process::new(program[0])
        .args(&program[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program[0]));
    child.stdin.take().expect("piped").write_all(&page.text).expect("the page");
    let output = child.wait_with_output().expect("our child");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn every_command_has_a_page() {
    let names: Vec<_> = pages().into_iter().map(|page| page.name).collect();
    for name in ["fleet", "fleet-restart", "fleet-lock", "fleet-lock-run", "fleet-man"] {
        assert!(names.iter().any(|have| have == name), "{name} in {names:?}");
    }
    assert!(names.iter().all(|name| !name.ends_with("help")), "{names:?}");
}

#[test]
fn no_page_draws_a_warning() {
    for page in pages() {
        let said = through(&["groff", "-man", "-ww", "-Tutf8", "-z"], &page);
        assert_eq!(said, "", "groff, {}", page.name);
        let said = through(&["mandoc", "-T", "lint", "-W", "warning"], &page);
        // What clap_mangen puts around possible values is clumsy, but looks as it should.
        let theirs = |line: &&str| !line.contains("br before sp") && !line.contains("br after sp");
        let said: Vec<_> = said.lines().filter(theirs).collect();
        assert_eq!(said, Vec::<&str>::new(), "mandoc, {}", page.name);
    }
}

#[test]
fn a_page_says_what_the_help_says_and_more() {
    let pages = pages();
    let page = pages.iter().find(|page| page.name == "fleet-lock-run").expect("it is there");
    let text = through(&["groff", "-man", "-Tutf8", "-P-cbou"], page);
    let usage = "fleet lock run [OPTIONS] -- <CMD>...";
    for says in [usage, "EXIT STATUS", "FLEET_LOCK_GENERATION", "FLEET_HOME", "flock(1)"] {
        assert!(text.contains(says), "{says} in {text}");
    }
    assert!(!text.contains("EXTRA"), "{text}");
}

#[test]
fn the_examples_work() {
    for (page, examples) in words::EXAMPLES {
        for (line, _) in *examples {
            let line = line.split(['|', '>']).next().expect("at least one");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{page}: {line}: {parsed:?}");
            let command = page.replace('-', " ");
            assert!(line.starts_with(&command), "{page}: {line}");
        }
    }
}
