//! A state in words: what a person who walks through a world wants to see of it.

use std::fmt::Write;

use lock_core::effect::Name;

use crate::scope::{TICK, Universe};
use crate::words::{call_words, name, path};
use crate::world::{Ino, Inode, Life, Pid, Process, Work, World};

/// The names, the files and the contenders, a line each.
#[must_use]
pub fn picture(universe: &Universe, world: &World) -> String {
    let names = world.files.names().map(|(at, whose, ino)| match at {
        Name::Ticket => format!("a name of {}'s own → file {ino}", name(whose)),
        at => format!("{} → file {ino}", path(at)),
    });
    let files = world.files.inodes().map(|(ino, inode)| file(ino, inode));
    let contenders = world.everyone().map(|(pid, process)| {
        format!("{} {}", name(pid), contender(universe, world, pid, process))
    });
    let mut lines = names.chain(files).chain(contenders).collect::<Vec<_>>();
    if world.clock.ticks > 0 {
        lines.push(format!("{} s have passed", u64::from(world.clock.ticks) * TICK / 1000));
    }
    lines.extend(world.foul.map(|foul| format!("broken: {foul}")));
    lines.join("\n")
}

fn file(ino: Ino, inode: &Inode) -> String {
    let maker = inode.maker.map_or("nobody here".to_owned(), |maker| name(maker.pid));
    let mut text = format!("file {ino}, made by {maker}, names: {}", inode.links);
    if let Some((pid, _)) = inode.exclusive {
        let _ = write!(text, ", locked by {}", name(pid));
    }
    for (pid, _) in &inode.shared {
        let _ = write!(text, ", shared by {}", name(*pid));
    }
    let lines = String::from_utf8_lossy(inode.text.bytes()).trim_end().replace('\n', " ");
    format!("{text}; {}", if lines.is_empty() { "empty" } else { &lines })
}

fn contender(universe: &Universe, world: &World, pid: Pid, process: &Process) -> String {
    let mut text = match (process.life, world.call(universe, pid)) {
        (Life::Running, Some(call)) => format!("next {}", call_words(&call)),
        (Life::Running, None) => "may do as it likes".to_owned(),
        (Life::Dying, _) => "is dying: its locks still stand".to_owned(),
        (Life::Orphaned, _) => "is dead, but its children have its ticket open".to_owned(),
        (Life::Dead, _) => "is dead".to_owned(),
        (Life::Ended, _) => "has ended".to_owned(),
    };
    let truth = process.truth;
    let facts = [
        (truth.in_mutex, "in the mutex"),
        (truth.stepping, "in a step"),
        (process.is_unbroken_owner(), "owner"),
        (truth.work == Work::Underway, "its work goes on"),
        (truth.reign.is_some_and(|reign| reign.broken), "was taken over from"),
        (process.pending.is_some(), "has news"),
    ];
    for (_, fact) in facts.into_iter().filter(|(holds, _)| *holds) {
        let _ = write!(text, ", {fact}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::cases;
    use crate::world::Action;

    #[test]
    fn a_state_is_told_by_its_names_files_and_contenders() {
        let case = cases().into_iter().find(|case| case.title() == "ours: 2, coming back twice");
        let scope = case.expect("because the suite has this row").scope;
        let universe = Universe::new(scope).expect("because the suite's settings fit together");
        let mut world = World::starts(&universe).into_iter().next().expect("because it starts");
        for pid in [0, 0, 0, 1] {
            world = world.after(&universe, Action::Step(pid)).expect("because it is possible");
        }
        insta::assert_snapshot!(picture(&universe, &world));
    }
}
