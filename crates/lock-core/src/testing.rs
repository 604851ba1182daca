//! What the unit tests share: names and instants, and a model disk to run machines on.

pub(crate) mod disk;
pub(crate) mod line;
mod locks;
mod scene;
mod story;
pub(crate) mod worker;

use alloc::borrow::ToOwned;

use core::time::Duration;

use crate::machine::{Context, Medium, Ownership};
use crate::policy::{Policy, Settings};
use crate::record::{Birth, Host, Token};
use crate::testing::disk::Disk;
use crate::testing::worker::Worker;
use crate::time::{Boot, Mono, Now, Wall};

/// A host in one of its boots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(&'static str, &'static str);

pub(crate) const HERE: Place = Place("here", "boot-1");
pub(crate) const OTHER_BOOT: Place = Place("here", "boot-0");
pub(crate) const OTHER_HOST: Place = Place("there", "boot-9");

impl Place {
    pub(crate) fn host(self) -> Host {
        Host { name: self.0.to_owned(), boot: self.1.to_owned() }
    }
}

/// All clocks at the same count.
pub(crate) const fn at(ms: u64) -> Now {
    Now { wall: Wall(ms), boot: Boot(ms), mono: Mono(ms) }
}

pub(crate) fn token(word: &str) -> Token {
    Token::new(word).expect("because a test's word is a token")
}

/// Settings that keep the scripts short.
pub(crate) fn settings() -> Settings {
    let ms = Duration::from_millis;
    Settings {
        hang_after: ms(5_000),
        mutex_patience: ms(5_000),
        grace: ms(100),
        poll: ms(250),
        ..Settings::with_stale_after(ms(1_000))
    }
}

/// A process of this name, with other settings than the usual ones.
pub(crate) fn process_with(name: &str, settings: Settings) -> Context {
    Context {
        policy: Policy::new(settings).expect("because a test's settings fit together"),
        pid: name.bytes().map(u32::from).sum(),
        token: token(name),
        ..context()
    }
}

/// A process of this name.
pub(crate) fn process(name: &str) -> Context {
    process_with(name, settings())
}

/// A process of this name that agrees to be replaced while it owns the lock.
pub(crate) fn preemptible(name: &str) -> Context {
    Context { preemptible: true, ..process(name) }
}

/// A process that owns the lock; the story begins after that.
pub(crate) fn owner(disk: &mut Disk, name: &str) -> (Context, Ownership) {
    owner_with(disk, process(name))
}

/// The same, of one that agrees to be replaced.
pub(crate) fn preemptible_owner(disk: &mut Disk, name: &str) -> (Context, Ownership) {
    owner_with(disk, preemptible(name))
}

/// The process becomes owner; the story begins after that.
pub(crate) fn owner_with(disk: &mut Disk, context: Context) -> (Context, Ownership) {
    let acquired = Worker::contender(disk, context.clone()).run(disk);
    disk.story();
    let acquired = acquired.expect("because nothing is in its way");
    (context, acquired.ownership)
}

/// A contender that died when this effect was due; the story begins after that.
pub(crate) fn corpse(disk: &mut Disk, name: &str, due: &str) {
    corpse_of(disk, process(name), due);
}

pub(crate) fn corpse_of(disk: &mut Disk, context: Context, due: &str) {
    let contender = Worker::contender(disk, context);
    contender.until(disk, due).die(disk);
    disk.story();
}

/// What the system says of each process here.
pub(crate) const BIRTH: Birth = Birth { pidns: 1, start: 1 };

/// A contender here, with the default policy.
pub(crate) fn context() -> Context {
    Context {
        policy: Policy::default(),
        here: HERE.host(),
        pid: 7,
        token: token("ours"),
        birth: BIRTH,
        command: "test".to_owned(),
        preemptible: false,
        medium: Medium::Anonymous,
    }
}
