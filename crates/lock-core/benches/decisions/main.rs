//! What a decision costs: `cargo bench -p lock-core`.
//!
//! Beside a system call, which takes a microsecond or ten, none of this is to be noticed. The
//! machines run against a disk in memory that is as simple as it can be; what it costs is in
//! their figures.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has to stop, as a test does"
)]

mod disk;

use std::time::Duration;

use divan::{Bencher, black_box};
use lock_core::machine::{Context, Flow, Machine, Medium, Ownership};
use lock_core::policy::Policy;
use lock_core::record::{Birth, Host, Record, Token};
use lock_core::snapshot::{FileId, KernelLock, Life, Seen, Snapshot};
use lock_core::time::{Boot, Mono, Now, Wall};
use lock_core::verdict::{Counts, judge};
use lock_core::{Acquire, Held, Hold};

use crate::disk::Disk;

fn main() {
    divan::main();
}

const NOW: Now =
    Now { wall: Wall(1_784_930_400_000), boot: Boot(81_234_000), mono: Mono(81_034_000) };

fn host() -> Host {
    Host { name: "build-3".to_owned(), boot: "2c9d3b1e-6d0a-4f57-9d0e-2a6f5c1b7e80".to_owned() }
}

fn token() -> Token {
    Token::new("0b7e8f52-3c1d-4e6a-8b9f-1a2b3c4d5e6f").expect("because it is a word")
}

fn context() -> Context {
    Context {
        policy: Policy::default(),
        here: host(),
        pid: 4711,
        token: token(),
        birth: Birth::default(),
        command: "fleet restart".to_owned(),
        preemptible: true,
        medium: Medium::Anonymous,
    }
}

fn record() -> Record {
    Record::new(4711, token(), host(), "fleet restart", NOW).advanced(
        "3/60 restarting coder-3",
        Duration::from_secs(15),
        NOW,
    )
}

/// What a contender may come upon.
#[derive(Clone, Copy, Debug)]
enum Found {
    Nothing,
    Living,
    Dead,
    Peer,
}

impl Found {
    fn snapshot(self) -> Snapshot {
        let (kernel, content) = match self {
            Self::Nothing => return Snapshot::Absent,
            Self::Living => (KernelLock::Held, record()),
            Self::Dead => (KernelLock::Free, record()),
            Self::Peer => (KernelLock::Free, Record { detail: None, ..record() }),
        };
        let id = FileId { device: 1, inode: 1 };
        let (process, cgroup) = (Life::Unknown, Life::Unknown);
        Snapshot::Present(Seen { id, kernel, process, cgroup, content: Ok(content) })
    }
}

#[divan::bench(args = [Found::Nothing, Found::Living, Found::Dead, Found::Peer])]
fn judging(bencher: Bencher<'_, '_>, found: Found) {
    let (policy, here, snapshot) = (Policy::default(), host(), found.snapshot());
    let counts = Counts::default();
    bencher.bench(|| judge(&policy, &here, NOW, black_box(&snapshot), &counts));
}

#[divan::bench]
fn parsing_our_record(bencher: Bencher<'_, '_>) {
    let text = record().encode(0);
    bencher.bench(|| Record::parse(black_box(text.as_bytes())));
}

#[divan::bench]
fn parsing_a_peers_three_lines(bencher: Bencher<'_, '_>) {
    let text = Record { detail: None, ..record() }.encode(0);
    bencher.bench(|| Record::parse(black_box(text.as_bytes())));
}

#[divan::bench]
fn parsing_garbage(bencher: Bencher<'_, '_>) {
    bencher.bench(|| Record::parse(black_box(b"4711\nyesterday\nsomebody\n")));
}

#[divan::bench]
fn encoding_our_record(bencher: Bencher<'_, '_>) {
    let record = record();
    bencher.bench(|| black_box(&record).encode(0));
}

#[divan::bench]
fn acquiring_a_free_lock(bencher: Bencher<'_, '_>) {
    let context = context();
    bencher
        .with_inputs(|| (Disk::default(), Acquire::new(&context, NOW)))
        .bench_local_values(|(mut disk, machine)| run(machine, &context, &mut disk));
}

#[divan::bench]
fn renewing(bencher: Bencher<'_, '_>) {
    holding(bencher, Hold::renew);
}

#[divan::bench]
fn entering_a_step(bencher: Bencher<'_, '_>) {
    let step = |context: &Context, now, owner| {
        Hold::step(context, now, owner, "1/1 a step", Duration::ZERO)
    };
    holding(bencher, step);
}

#[divan::bench]
fn releasing(bencher: Bencher<'_, '_>) {
    holding(bencher, Hold::release);
}

/// A machine of an owner's.
fn holding(bencher: Bencher<'_, '_>, machine: fn(&Context, Now, Ownership) -> Hold) {
    let context = context();
    let owning = || {
        let mut disk = Disk::default();
        let acquired = run(Acquire::new(&context, NOW), &context, &mut disk);
        let ownership = acquired.expect("because nobody is in the way").ownership;
        (disk, machine(&context, NOW, ownership))
    };
    // What does not end well is not worth its time.
    let (mut disk, machine) = owning();
    let held = run(machine, &context, &mut disk).expect("because nobody is in the way");
    assert!(!matches!(held, Held::Lost { .. }), "the lock was lost");
    bencher
        .with_inputs(owning)
        .bench_local_values(|(mut disk, machine)| run(machine, &context, &mut disk));
}

/// Runs a machine to its end.
fn run<M: Machine>(mut machine: M, context: &Context, disk: &mut Disk) -> M::Output {
    loop {
        let event = disk.perform(machine.effect(context));
        match machine.step(context, NOW, event) {
            Flow::Go(next) => machine = next,
            Flow::Done(output) => return output,
        }
    }
}
