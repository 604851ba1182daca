//! A check must be able to fail: a trace that is explained is not any more when a single call of it
//! is left out, doubled, exchanged with the next, or changed in whatever it says.

use lock_tests::conformance::{Act, Mismatch, Pair, Report, What};
use lock_tests::strace::{Call, Outcome, parse, text};
use rstest::rstest;

use super::{CYCLE, waited};
use crate::kit::{Child, Scene, Traced, has_strace};

/// What a contender called that waited for an owner, was woken by its release, acquired and
/// released; and which of the calls effects were.
struct Recorded {
    traced: Traced,
    calls: Vec<Call>,
    effects: Vec<usize>,
    report: Report,
}

impl Recorded {
    fn new() -> Self {
        let scene = Scene::used();
        let mut traced = waited(&scene, Child::release);
        let calls = traced.calls();
        let report = traced.explain(&calls, &CYCLE);
        let report = report.unwrap_or_else(|mismatch| panic!("{mismatch}"));
        // A glance of the keeper's more or less is a matter of time.
        let pairs = report.pairs.iter().filter(|pair| pair.what != "glance");
        let index = |line| calls.iter().position(|call| call.line == line);
        let effects = pairs.filter_map(|pair| index(pair.line)).collect();
        Self { traced, calls, effects, report }
    }

    /// Each call that was an effect, with its place.
    fn each(&self) -> impl Iterator<Item = (usize, &Call)> {
        self.effects.iter().map(|at| (*at, &self.calls[*at]))
    }

    /// Where this effect's call is, the first time.
    fn place_of(&self, effect: &str) -> usize {
        self.place(|pair| pair.effect.to_string() == effect)
    }

    /// Where the release begins: in between two machines.
    fn between(&self) -> usize {
        self.place(|pair| pair.what == "release")
    }

    fn place(&self, is_it: impl Fn(&Pair) -> bool) -> usize {
        let pair = self.report.pairs.iter().find(|pair| is_it(pair));
        let line = pair.expect("because it acquired and released").line;
        self.calls.iter().position(|call| call.line == line).expect("because it was explained")
    }

    /// Explains the calls after a change. Their lines are numbered anew.
    fn changed(&self, change: impl FnOnce(&mut Vec<Call>)) -> Result<Report, Mismatch> {
        let mut calls = self.calls.clone();
        change(&mut calls);
        for (call, line) in calls.iter_mut().zip(1..) {
            call.line = line;
        }
        self.traced.explain(&calls, &CYCLE)
    }

    /// A change that must not be explained.
    fn assert_noticed(&self, what: &str, change: impl FnOnce(&mut Vec<Call>)) {
        assert!(self.changed(change).is_err(), "nobody noticed: {what}");
    }
}

/// What the kernel had to tell is no one's wish: there may be any number of such reads.
fn is_news(call: &Call) -> bool {
    call.name == "read" && call.number().is_some()
}

/// In how many parts the kernel tells a directory is its own business too, but for the end.
fn is_part(call: &Call) -> bool {
    call.name == "getdents64" && call.number() > Some(0)
}

#[test]
fn a_call_less_or_more_or_in_another_order() {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    let mut last = None;
    for (at, call) in recorded.each().filter(|(_, call)| !is_news(call)) {
        // Without the instance there is no descriptor, but it is not the lock's business.
        if call.name != "inotify_init1" {
            recorded.assert_noticed(&format!("without {call}"), |calls| drop(calls.remove(at)));
        }
        if !is_part(call) {
            let twice = format!("twice {call}");
            recorded.assert_noticed(&twice, |calls| calls.insert(at, call.clone()));
        }
        if let Some(last) = last.replace(at) {
            recorded.assert_noticed(&format!("too early {call}"), |calls| calls.swap(last, at));
        }
    }
}

/// Every argument of every call is something that a machine has asked for, except for where the
/// answer is to be written.
#[test]
fn another_argument() {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    for (at, call) in recorded.each() {
        for index in 0..call.args().len() {
            let is_free = match call.name.as_str() {
                "fstat" | "getdents64" | "pread64" | "read" => index == 1,
                "newfstatat" => index == 2,
                // How many there are is plain from the list, and there is no signal mask.
                "ppoll" => ![0, 2].contains(&index),
                _ => false,
            };
            if is_free {
                continue;
            }
            let mut args: Vec<_> = call.args().into_iter().map(str::to_owned).collect();
            args[index] = "99</else>".to_owned();
            recorded.assert_noticed(&format!("argument {index} of {call}"), |calls| {
                calls[at].arguments = args.join(", ");
            });
        }
    }
}

/// What a call came to leads the machine elsewhere than the process went. (A record that cannot
/// be read does not, nor a name that cannot be removed: one goes on all the same.)
#[test]
fn another_outcome() {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    for (at, call) in recorded.each() {
        let asks = call.name == "flock" && !call.arguments.contains("LOCK_UN");
        if asks || ["openat", "linkat", "pwrite64"].contains(&call.name.as_str()) {
            recorded.assert_noticed(&format!("the failure of {call}"), |calls| {
                calls[at].outcome = Outcome::Failed("EIO".to_owned());
            });
        }
    }
}

/// One byte of what was written, in each of its lines; and a stamp that no clock showed.
#[test]
fn another_byte() {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    let at = recorded.place_of("Write(Ticket)");
    let written = recorded.calls[at].arg(1).to_owned();
    let lines: Vec<_> = written.split("\\n").map(str::to_owned).collect();
    for line in 0..lines.len() - 1 {
        let mut changed = lines.clone();
        let text = &mut changed[line];
        // The first digit: on a loaded machine two calls are as far apart as a clock's last.
        let byte = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len() - 1);
        let other = if text[byte..=byte] == *"7" { "8" } else { "7" };
        text.replace_range(byte..=byte, other);
        recorded.assert_noticed(&changed[line], |calls| {
            let arguments = &mut calls[at].arguments;
            *arguments = arguments.replace(&written, &changed.join("\\n"));
        });
    }
    let stamp: u64 = lines[1].parse().expect("because it is the second line");
    // Longer than any two calls are apart on a loaded machine.
    let minute = 60_000;
    for moved in [stamp - minute, stamp + minute] {
        recorded.assert_noticed(&format!("{moved} for {stamp}"), |calls| {
            let arguments = &mut calls[at].arguments;
            *arguments = arguments.replace(&stamp.to_string(), &moved.to_string());
        });
    }
    let bytes = text(&written).expect("because it is whole");
    assert_eq!(bytes.split(|byte| *byte == b'\n').count(), lines.len());
}

/// Calls that no machine asks for, by whomever they are made, between two machines and in the
/// middle of one. `RUN` is the directory, `TICKET` the ticket's descriptor.
#[rstest]
#[case::by_path(r#"chmod("RUN/restart.lock", 0666) = 0"#)]
#[case::by_name(r#"unlinkat(3<RUN>, "restart.lock", 0) = 0"#)]
#[case::by_descriptor("fsync(TICKET) = 0")]
#[case::by_number(r#"openat(AT_FDCWD</>, "/proc/self/fd/6", O_RDWR) = 9<RUN/restart.lock>"#)]
#[case::of_the_directory("fsync(3<RUN>) = 0")]
#[case::mapped("mmap(NULL, 8, PROT_READ, MAP_SHARED, TICKET, 0) = 0x7f0")]
fn a_stray_call(#[case] stray: &str) {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    let inside = recorded.place_of("Link(Ticket, Lock)");
    let between = recorded.between();
    let ticket = recorded.calls[inside - 1].arg(0).to_owned();
    let run = recorded.traced.run();
    let stray = stray.replace("RUN", run.as_str()).replace("TICKET", &ticket);
    let process = recorded.calls[0].thread;
    for at in [inside, between] {
        for thread in [process, process + 1] {
            let began = recorded.calls[at].began;
            let line = format!("{thread} {}.{:06} {stray}", began / 1_000_000, began % 1_000_000);
            let call = parse(&line).expect("because strace would write it");
            recorded.assert_noticed(&line, |calls| drop(calls.splice(at..at, call)));
        }
    }
}

/// The journal is no file of the lock.
#[rstest]
#[case::opened(r#"open("RUN/restart.lock.journal", O_WRONLY) = 9<RUN/restart.lock.journal>"#)]
#[case::written(r#"write(9<RUN/restart.lock.journal>, "{}", 2) = 2"#)]
fn what_lies_beside_the_lock_is_free(#[case] call: &str) {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    let call = call.replace("RUN", recorded.traced.run().as_str());
    let at = recorded.between();
    let began = recorded.calls[at].began;
    let thread = recorded.calls[0].thread;
    let line = format!("{thread} {}.{:06} {call}", began / 1_000_000, began % 1_000_000);
    let call = parse(&line).expect("because strace would write it");
    let explained = recorded.changed(|calls| drop(calls.splice(at..at, call)));
    assert!(explained.is_ok(), "{line}");
}

#[test]
fn the_end_must_come_and_must_be_the_end() {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    let explain = |calls: &[Call], acts: &[Act]| {
        *recorded.traced.explain(calls, acts).expect_err("because it is cut").what
    };
    let more = explain(&recorded.calls, &[Act::Acquire]);
    assert!(matches!(more, What::Unasked { .. }), "{more}");
    let less = explain(&recorded.calls, &[Act::Acquire, Act::Release, Act::Acquire]);
    assert_eq!(less, What::Undone("acquire".to_owned()));
    let acquired = recorded.calls.iter().position(|call| call.name == "clone3");
    let acquired = acquired.expect("because the keeper starts with the first guard");
    let open = explain(&recorded.calls[..acquired], &[Act::Acquire]);
    let What::LeftOpen(files) = &open else { panic!("{open}") };
    // The file that it waited for is open too, unless it looked just when that went.
    assert_eq!(files.first().map(String::as_str), Some("ticket"));
    assert!(files.iter().skip(1).all(|file| file == "judged"), "{open}");
}

/// What a person reads: where, what is asked for, and what is there instead.
#[test]
fn a_mismatch_says_where_and_what() {
    if !has_strace() {
        return;
    }
    let recorded = Recorded::new();
    let link = recorded.place_of("Link(Ticket, Lock)");
    let before = recorded.effects.iter().position(|at| *at == link).expect("because it is one");
    let next = recorded.effects[before + 1];
    let mismatch = recorded.changed(|calls| drop(calls.remove(next)));
    let mismatch = mismatch.expect_err("because a call is missing");
    assert_eq!(mismatch.position, before + 1);
    let told = mismatch.to_string();
    for says in [
        &format!("after {} calls that were asked for:\n", before + 1),
        "  acquire: Link(Ticket, Lock) is linkat(AT_FDCWD, \"/proc/self/fd/ticket\", dir, ",
        "\nacquire asks for Unlink(Queued(1)):\n",
        "\nwanted unlinkat(dir, \"restart.lock.queue/1\", 0)\n",
        "\nseen   newfstatat(dir, \"restart.lock.mutex\", AT_SYMLINK_NOFOLLOW) = 0\nin line ",
    ] {
        assert!(told.contains(says), "{says:?} in\n{told}");
    }
}
