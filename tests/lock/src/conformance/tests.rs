//! A check must be able to fail: a recorded trace is explained, and each trace that differs from it
//! by a single call is not.
//!
//! The recorded contender waits for an owner that releases, acquires, and releases. What has nothing
//! to do with the lock has been left out of it, and fields of structures that nobody reads.

use std::ops::Range;

use lock_core::record::Record;
use rstest::rstest;

use super::*;
use crate::strace::{Outcome, parse};

const RECORDED: &str = include_str!("recorded.txt");

/// By the recorded records.
const AHEAD: i64 = (3_470_960 - 1_795_529_702_016) * 1000;

/// Which of the calls effects were: those between opening the directory and closing it.
fn effects() -> Range<usize> {
    5..calls().len() - 2
}

fn calls() -> Vec<Call> {
    parse(RECORDED).expect("because strace wrote it")
}

fn subject() -> Subject {
    let boot = "d3af6856-8e0c-4e99-9d8c-427871aadb4a".to_owned();
    Subject {
        lock: "/srv/run/restart.lock".into(),
        policy: Policy::default(),
        command: "contender".to_owned(),
        host: Host { name: "build-3".to_owned(), boot },
        acts: vec![Act::Acquire, Act::Release],
    }
}

/// Explains calls, wherever they were taken from: their lines are numbered anew.
fn explain(mut calls: Vec<Call>) -> Result<Report, Mismatch> {
    for (call, line) in calls.iter_mut().zip(1..) {
        call.line = line;
    }
    check_with(&subject(), &calls, AHEAD)
}

/// What is explained although it must not be.
fn assert_noticed(calls: Vec<Call>, what: &str) {
    assert!(explain(calls).is_err(), "nobody noticed: {what}");
}

/// What the kernel had to tell is no one's wish: there may be any number of such reads.
fn is_news(call: &Call) -> bool {
    call.name == "read" && call.number().is_some()
}

#[test]
fn what_was_recorded_is_explained() {
    let report = explain(calls()).unwrap_or_else(|mismatch| panic!("{mismatch}"));
    assert_eq!(report.story(), ["acquired", "released"]);
    assert_eq!(report.pairs.len(), effects().len());
    assert_eq!(report.set_up.len(), 5);
}

#[test]
fn a_call_less_is_noticed() {
    for at in effects() {
        let mut calls = calls();
        let call = calls.remove(at);
        // Without the instance there is no descriptor, but it is not the lock's business.
        if call.name == "inotify_init1" || is_news(&call) {
            continue;
        }
        assert_noticed(calls, &format!("without {call}"));
    }
}

#[test]
fn a_call_more_is_noticed() {
    for at in effects() {
        let mut calls = calls();
        let call = calls.get(at).expect("because it is in range").clone();
        if is_news(&call) {
            continue;
        }
        calls.insert(at, call.clone());
        assert_noticed(calls, &format!("twice {call}"));
    }
}

#[test]
fn another_order_is_noticed() {
    for at in effects().skip(1) {
        let mut calls = calls();
        calls.swap(at - 1, at);
        assert_noticed(calls, &format!("{at} before {}", at - 1));
    }
}

/// Every argument of every call is something that a machine has asked for.
#[test]
fn another_argument_is_noticed() {
    for at in effects() {
        let original = calls().get(at).expect("because it is in range").clone();
        for index in 0..original.args().len() {
            let outputs: &[_] = match original.name.as_str() {
                "fstat" | "pread64" | "read" => &[1],
                "newfstatat" => &[2],
                _ => &[],
            };
            // How many there are is plain from the list, and there is no signal mask.
            let is_free = original.name == "ppoll" && ![0, 2].contains(&index);
            if is_free || outputs.contains(&index) {
                continue;
            }
            let mut calls = calls();
            let call = calls.get_mut(at).expect("because it is in range");
            let mut args: Vec<_> = original.args().into_iter().map(str::to_owned).collect();
            *args.get_mut(index).expect("because there are so many") = "99</else>".to_owned();
            call.arguments = args.join(", ");
            assert_noticed(calls, &format!("argument {index} of {original}"));
        }
    }
}

/// What a call came to leads the machine elsewhere than the process went. (A record that cannot
/// be read does not, nor a name that cannot be removed: one goes on all the same.)
#[test]
fn another_outcome_is_noticed() {
    for at in effects() {
        let mut calls = calls();
        let call = calls.get_mut(at).expect("because it is in range");
        let asks = call.name == "flock" && !call.arguments.contains("LOCK_UN");
        if !asks && !["openat", "linkat", "pwrite64"].contains(&call.name.as_str()) {
            continue;
        }
        call.outcome = Outcome::Failed("EIO".to_owned());
        let call = call.clone();
        assert_noticed(calls, &call.to_string());
    }
}

/// One byte of what was written, in each of its lines.
#[test]
fn another_byte_is_noticed() {
    let written = |call: &&Call| call.name == "pwrite64" && call.arguments.contains("format=2");
    let record = calls().into_iter().find(|call| written(&call)).expect("because it writes");
    let lines = record.arg(1).split("\\n").count() - 1;
    for line in 0..lines {
        let mut calls = calls();
        let call = calls.iter_mut().find(|call| written(&&**call)).expect("because it writes");
        let text: Vec<_> = record.arg(1).split("\\n").map(str::to_owned).collect();
        let mut changed = text.clone();
        let changing = changed.get_mut(line).expect("because it is in range");
        let last = changing.pop().expect("because no line is empty");
        changing.push(if last == '7' { '8' } else { '7' });
        call.arguments = call.arguments.replace(&text.join("\\n"), &changed.join("\\n"));
        assert_noticed(calls, &format!("{changed:?}"));
    }
}

/// A record whose stamp lies outside of the two calls around the reading of the clock.
#[rstest]
#[case::earlier(-2)]
#[case::later(2)]
fn another_time_is_noticed(#[case] ms: i64) {
    let mut calls = calls();
    let write = calls.iter_mut().find(|call| call.name == "pwrite64").expect("because it writes");
    let bytes = crate::strace::text(write.arg(1)).expect("because it is whole");
    let record = Record::parse(&bytes).expect("because it is a record");
    let stamp = record.stamp.0;
    let moved = stamp.checked_add_signed(ms).expect("because it is small");
    write.arguments = write.arguments.replace(&stamp.to_string(), &moved.to_string());
    assert_noticed(calls, "what no clock showed");
}

/// Calls that no machine asks for, by whomever they are made.
#[rstest]
#[case::by_path(r#"chmod("/srv/run/restart.lock", 0666) = 0"#)]
#[case::by_name(r#"unlinkat(3</srv/run>, "restart.lock", 0) = 0"#)]
#[case::by_descriptor("fsync(6</srv/run/#10108942>(deleted)) = 0")]
#[case::by_number(
    r#"openat(AT_FDCWD</srv>, "/proc/self/fd/6", O_RDWR) = 9</srv/run/restart.lock>"#
)]
#[case::of_the_directory("fsync(3</srv/run>) = 0")]
#[case::mapped("mmap(NULL, 8, PROT_READ, MAP_SHARED, 6</srv/run/#10108942>(deleted), 0) = 0x7f0")]
fn a_stray_call_is_noticed(#[case] stray: &str) {
    let between_the_machines = effects().end - 8;
    for at in [between_the_machines, effects().start + 20] {
        for thread in [25928, 25930] {
            let mut calls = calls();
            let began = calls.get(at).expect("because it is in range").began;
            let line = format!("{thread} {}.{:06} {stray}", began / 1_000_000, began % 1_000_000);
            calls.splice(at..at, parse(&line).expect("because strace would write it"));
            assert_noticed(calls, stray);
        }
    }
}

/// The journal is no file of the lock.
#[rstest]
#[case::opened(
    r#"open("/srv/run/restart.lock.journal", O_WRONLY) = 9</srv/run/restart.lock.journal>"#
)]
#[case::written(r#"write(9</srv/run/restart.lock.journal>, "{}", 2) = 2"#)]
fn what_lies_beside_the_lock_is_free(#[case] call: &str) {
    let mut calls = calls();
    let line = format!("25928 1795529702.352000 {call}");
    let at = effects().end - 8;
    calls.splice(at..at, parse(&line).expect("because strace would write it"));
    assert!(explain(calls).is_ok(), "{call}");
}

#[test]
fn the_end_must_come_and_must_be_the_end() {
    let mut subject = subject();
    subject.acts = vec![Act::Acquire];
    let more = check_with(&subject, &calls(), AHEAD).expect_err("because it releases too");
    assert!(matches!(*more.what, What::Unasked { .. }), "{more}");
    subject.acts = vec![Act::Acquire, Act::Release, Act::Acquire];
    let less = check_with(&subject, &calls(), AHEAD).expect_err("because it acquires once");
    assert_eq!(*less.what, What::Undone("acquire".to_owned()));
    let mut calls = calls();
    calls.truncate(effects().end - 8);
    subject.acts = vec![Act::Acquire];
    let open = check_with(&subject, &calls, AHEAD).expect_err("because it does not release");
    assert_eq!(*open.what, What::LeftOpen(vec!["ticket".to_owned()]));
}

/// What a person reads, for one of each.
#[test]
fn a_mismatch_says_where_and_what() {
    let at = effects().start + 37;
    let mut less = calls();
    less.remove(at);
    let mut another = calls();
    another.swap(at, at + 1);
    let mut stray = calls();
    stray.splice(
        at..at,
        parse("25930 1795529702.017400 chmod(\"/srv/run/restart.lock\", 0666) = 0")
            .expect("because strace would write it"),
    );
    let mut cut = calls();
    cut.truncate(at);
    let told = [less, another, stray, cut].map(|calls| match explain(calls) {
        Ok(_) => "explained".to_owned(),
        Err(mismatch) => mismatch.to_string(),
    });
    insta::assert_snapshot!(told.join("\n\n"));
}
