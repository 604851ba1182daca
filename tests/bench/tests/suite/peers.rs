//! The peers that this package brings speak the protocol and exclude each other. No time is
//! looked at: that is what `cargo xtask bench` is for.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use lock_bench_peer::now_ns;
use lock_tests::strace::traced;
use rstest::rstest;
use tempfile::TempDir;

/// A peer, and the two ends of its talk.
struct Peer {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("because it was built");
        let input = process.stdin.take().expect("because it is piped");
        let output = process.stdout.take().expect("because it is piped");
        Self { process, input, output: BufReader::new(output) }
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").expect("because it listens");
    }

    /// Its answer without the verb, which is as expected.
    fn hear(&mut self, verb: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("because it speaks");
        let answer = line.trim_end().strip_prefix(verb);
        answer.unwrap_or_else(|| panic!("instead of `{verb}`: {line}")).trim().to_owned()
    }

    fn dismiss(mut self) {
        drop(self.input);
        let status = self.process.wait().expect("because it is our child");
        assert!(status.success(), "{status}");
    }
}

fn place() -> (TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().expect("because a temporary directory is needed");
    let root = directory.path().to_owned().try_into().expect("because it is UTF-8");
    (directory, root)
}

fn peer(name: &str, lock: &Utf8Path) -> Peer {
    Peer::start(Command::new(env!("CARGO_BIN_EXE_lock-bench")).args(["peer", name, lock.as_str()]))
}

#[rstest]
#[case::ours("ours")]
#[case::kept("kept-flock")]
#[case::opened("open-flock-close")]
#[case::checked("checked-flock")]
#[case::exclusive("exclusive")]
#[case::std("std")]
fn four_of_a_kind_count_without_losing_anybody(#[case] name: &str) {
    let (_directory, root) = place();
    let lock = root.join("bench.lock");
    let counter = root.join("counter");
    fs::write(&counter, [0; 8]).expect("because the directory is ours");
    let mut crew: Vec<_> = (0..4).map(|_| peer(name, &lock)).collect();
    for peer in &mut crew {
        peer.tell("cycles 2");
        peer.hear("cycled");
    }
    let begin = now_ns();
    let until = begin + 300_000_000;
    for (index, peer) in crew.iter_mut().enumerate() {
        peer.tell(&format!("contend {begin} {until} {root}/{index} {counter}"));
    }
    let mut taken = 0;
    for peer in &mut crew {
        let answer = peer.hear("contended");
        let turns = answer.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        taken += turns.expect("because the first word is the count");
    }
    crew.into_iter().for_each(Peer::dismiss);
    let counted = fs::read(&counter).expect("because it was written");
    let counted = u64::from_le_bytes(counted.try_into().expect("because it has eight bytes"));
    assert!(taken > 0);
    assert_eq!(counted, taken);
}

#[test]
fn a_lock_is_handed_from_one_to_the_other() {
    let (_directory, root) = place();
    let lock = root.join("bench.lock");
    let (mut holder, mut waiter) = (peer("ours", &lock), peer("ours", &lock));
    let instants = |answer: String| -> Vec<u64> {
        answer.split(' ').map(|word| word.parse().expect("an instant")).collect()
    };
    holder.tell("acquire");
    holder.hear("acquired");
    waiter.tell("acquire");
    holder.tell("release");
    let released = instants(holder.hear("released"));
    let acquired = instants(waiter.hear("acquired"));
    assert!(acquired[1] > released[0], "{acquired:?} {released:?}");
    waiter.tell("release");
    waiter.hear("released");
    holder.tell("release");
    assert_eq!(holder.hear("failed"), "nothing is held");
}

#[test]
fn a_cycle_of_ours_can_be_called_again_without_the_lock() {
    let (_directory, root) = place();
    let listing = root.join("listing");
    let this = env!("CARGO_BIN_EXE_lock-bench");
    let mut command = traced(this.into(), &listing, &[]);
    command.args(["peer", "ours", root.join("bench.lock").as_str()]);
    let mut original = Peer::start(&mut command);
    original.tell("trace 5");
    original.hear("traced");
    original.dismiss();
    let elsewhere = root.join("elsewhere");
    fs::create_dir(&elsewhere).expect("because the directory is ours");
    let lock = elsewhere.join("bench.lock");
    let mut command = Command::new(this);
    command.args(["peer", "replay", lock.as_str(), "--listing", listing.as_str()]);
    let mut replay = Peer::start(&mut command);
    replay.tell("cycles 3");
    replay.hear("cycled");
    replay.dismiss();
    let drawn = |directory: &Utf8Path| {
        let file = directory.join("bench.lock.generation");
        fs::read_to_string(file).expect("because each cycle draws a generation")
    };
    let (original, again) = (drawn(&root), drawn(&elsewhere));
    assert!(again.starts_with(&original), "{again:?} instead of {original:?}");
}
