//! The hash of a state after its contenders have changed places.

use lock_core::effect::Name;

use super::World;
use super::files::{Holder, Inode, Maker, Pid};
use super::process::Those;
use crate::sketch::{MOST, Mix, Sketch, Turn, turned};

impl World {
    /// What the hash would be if everyone went where the turn leads, for each turn.
    pub fn hashes<'a>(
        &'a self,
        turns: impl Iterator<Item = &'a Turn> + 'a,
    ) -> impl Iterator<Item = u64> + 'a {
        let Self { clock, budgets, generation, stepped, foul, .. } = self;
        let mut same = Mix::default();
        same.add(Sketch::of(&(clock, budgets, generation, stepped, foul)).plain());
        turns.map(move |turn| {
            let mut mix = same;
            self.mix_files(&mut mix, turn);
            let processes = self.everyone().map(|(pid, process)| {
                let mut mix = Mix::default();
                mix.add(turned(turn, pid).into());
                mix.add(process.sketch().turned(turn));
                mix.add(those(process.truth.behind, turn));
                mix.end()
            });
            mix.add(sum(processes));
            mix.end()
        })
    }

    fn mix_files(&self, mix: &mut Mix, turn: &Turn) {
        let names = self.files.names().map(|(name, pid, ino)| match name {
            Name::Ticket => word(mark(name), turned(turn, pid), ino),
            name => word(mark(name), 0, ino),
        });
        mix.add(sum(names));
        for (ino, inode) in self.files.inodes() {
            mix.add(ino.into());
            mix_inode(mix, inode, turn);
        }
        if let Some((name, pid)) = self.files.torn() {
            mix.add(word(mark(name), turned(turn, pid), 1));
        }
    }
}

fn mix_inode(mix: &mut Mix, inode: &Inode, turn: &Turn) {
    let Inode { links, opens, orphaned, directory, text, mtime, exclusive, shared, maker } = inode;
    let kind = u64::from(*directory) << 1 | u64::from(*orphaned);
    mix.add(u64::from(*links) << 16 | u64::from(*opens) << 8 | kind);
    mix.add(*mtime);
    mix.add(text.sketch().turned(turn));
    mix.add(exclusive.map_or(0, |holder| hold(holder, turn)));
    mix.add(sum(shared.iter().map(|holder| hold(*holder, turn))));
    mix.add(maker.map_or(0, |Maker { pid, round }| word(1, turned(turn, pid), round)));
}

fn hold((pid, slot): Holder, turn: &Turn) -> u64 {
    word(2, turned(turn, pid), slot as u8)
}

/// A number for each name.
const fn mark(name: Name) -> u64 {
    match name {
        Name::Lock => 0,
        Name::Mutex => 1,
        Name::Reclaim => 2,
        Name::Takeover => 3,
        Name::Ticket => 4,
        Name::Generation => 5,
        Name::GenerationDraft => 6,
        Name::Queue => 7,
        Name::Queued(number) => 8 + number,
    }
}

/// The same contenders after a turn.
fn those(Those(bits): Those, turn: &Turn) -> u64 {
    let named = (0..MOST).filter(|pid| bits >> pid & 1 == 1);
    named.fold(0, |those, pid| those | 1 << turned(turn, pid))
}

fn word(what: u64, pid: Pid, more: u8) -> u64 {
    what << 16 | u64::from(pid) << 8 | u64::from(more)
}

/// Of several in no order.
fn sum(words: impl Iterator<Item = u64>) -> u64 {
    words.fold(0, |sum, word| {
        let mut mix = Mix::default();
        mix.add(word);
        sum.wrapping_add(mix.end())
    })
}
