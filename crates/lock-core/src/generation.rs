//! Drawing the next generation, which never goes back.
//!
//! `<lock>.generation` holds one line of fixed width: the last number given out, the end of
//! the block that has been reserved, and the boot in which it was. Reserving a block is
//! durable (written beside, synced, renamed, directory synced); giving out a number of it is
//! one plain write, so an ordinary acquire syncs nothing. After a crash of the machine the
//! last number on disk may be an old one; so in another boot the rest of the block is
//! skipped, never reused. For the same reason a reservation names its boot only once the
//! directory is synced. All of this runs under the mutex.

use alloc::string::String;

use crate::chores::Chores;
use crate::effect::{Effect, Event, Name, Slot};
use crate::machine::{Context, Failure, Flow, Machine, Refusal};
use crate::record::{Generation, TOO_LARGE};
use crate::time::Now;

/// How many numbers one sync pays for.
pub const BLOCK: u64 = 4096;

/// The longest number's.
const DIGITS: usize = 20;

/// Draws the next generation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Draw {
    /// The judged record's: ours is larger, whatever the file says or lacks.
    floor: Generation,
    at: At,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum At {
    Open,
    Stat,
    Read,
    Write(Counter),
    Close(Counter),
    /// The block is used up, or belongs to another boot.
    CloseOld(Counter),
    CreateDraft(Counter),
    /// Left by a crash; under the mutex it can only be a dead holder's.
    RemoveDraft(Counter),
    WriteDraft(Counter),
    SyncDraft(Counter),
    RenameDraft(Counter),
    SyncDirectory(Counter),
    /// The block is durable: from now on it may be drawn from.
    Commit(Counter),
    Undo(Chores, Failure),
}

/// The content of the generation file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Counter {
    last: u64,
    reserved: u64,
    boot: String,
}

impl Draw {
    pub(crate) const fn new(floor: Generation) -> Self {
        Self { floor, at: At::Open }
    }

    pub(crate) fn effect(&self, context: &Context) -> Effect {
        self.at.effect(context)
    }

    pub(crate) fn step(
        self,
        context: &Context,
        now: Now,
        event: &Event,
    ) -> Flow<Self, Result<Generation, Failure>> {
        let at = match (self.at, event) {
            (At::Open, Event::Absent) => {
                return reserve(self.floor, Counter::first(context, self.floor));
            }
            (At::Open, Event::Done) => At::Stat,
            (At::Stat, Event::Stat(stat)) => match Refusal::of(stat.kind, stat.foreign) {
                None => At::Read,
                Some(reason) => {
                    let name = Name::Generation;
                    return Flow::Done(Err(Failure::Refused { name, reason }));
                }
            },
            (At::Read, Event::Bytes(bytes)) => match Counter::parse(bytes) {
                Some(counter) => counter.draw(context, self.floor),
                None => return Flow::Done(Err(Failure::GenerationDamaged)),
            },
            (At::Write(counter) | At::Commit(counter), Event::Done) => At::Close(counter),
            (At::CloseOld(counter), _) => return reserve(self.floor, counter),
            (At::CreateDraft(counter), Event::Done) => At::WriteDraft(counter),
            (At::CreateDraft(counter), Event::Exists) => At::RemoveDraft(counter),
            (At::RemoveDraft(counter), Event::Done | Event::Absent) => At::CreateDraft(counter),
            (At::WriteDraft(counter), Event::Done) => At::SyncDraft(counter),
            (At::SyncDraft(counter), Event::Done) => At::RenameDraft(counter),
            (At::RenameDraft(counter), Event::Done) => At::SyncDirectory(counter),
            (At::SyncDirectory(counter), Event::Done) => At::Commit(counter),
            (at @ (At::WriteDraft(_) | At::SyncDraft(_) | At::RenameDraft(_)), event) => {
                let chores = Chores::new().remove(Name::GenerationDraft).close(Slot::Generation);
                At::Undo(chores, Failure::of(&at.effect(context), event))
            }
            (At::Undo(chores, failure), event) => match chores.step(context, now, event.clone()) {
                Flow::Go(chores) => At::Undo(chores, failure),
                Flow::Done(_) => return Flow::Done(Err(failure)),
            },
            (At::Close(counter), _) => return Flow::Done(Ok(Generation(counter.last))),
            (at, event) => return Flow::Done(Err(Failure::of(&at.effect(context), event))),
        };
        Flow::Go(Self { at, ..self })
    }
}

/// Numbers so large are damage, and would be to those who read them next.
fn reserve(floor: Generation, counter: Counter) -> Flow<Draw, Result<Generation, Failure>> {
    if counter.reserved >= TOO_LARGE {
        return Flow::Done(Err(Failure::GenerationDamaged));
    }
    Flow::Go(Draw { floor, at: At::CreateDraft(counter) })
}

impl At {
    fn effect(&self, context: &Context) -> Effect {
        let slot = Slot::Generation;
        match self {
            Self::Open => Effect::Open { slot, name: Name::Generation, write: true },
            Self::Stat => Effect::Stat(slot),
            Self::Read => Effect::Read(slot),
            Self::Write(counter) | Self::Commit(counter) => Effect::Write(slot, counter.encode()),
            Self::WriteDraft(counter) => Effect::Write(slot, counter.draft()),
            Self::Undo(chores, _) => chores.effect(context),
            Self::Close(_) | Self::CloseOld(_) => Effect::Close(slot),
            Self::CreateDraft(_) => Effect::Create(slot, Name::GenerationDraft),
            Self::RemoveDraft(_) => Effect::Unlink(Name::GenerationDraft),
            Self::SyncDraft(_) => Effect::Sync(slot),
            Self::RenameDraft(_) => {
                Effect::Rename { from: Name::GenerationDraft, to: Name::Generation }
            }
            Self::SyncDirectory(_) => Effect::SyncDirectory,
        }
    }
}

impl Counter {
    fn first(context: &Context, floor: Generation) -> Self {
        Self {
            last: floor.0.saturating_add(1),
            reserved: floor.0.saturating_add(BLOCK),
            boot: context.here.boot.clone(),
        }
    }

    /// Fixed width, so that a number is overwritten in place within one sector.
    fn encode(&self) -> String {
        let mut line = String::with_capacity(2 * (DIGITS + 1) + self.boot.len() + 1);
        let mut digits = itoa::Buffer::new();
        for number in [self.last, self.reserved] {
            let digits = digits.format(number);
            (digits.len()..DIGITS).for_each(|_| line.push('0'));
            line.push_str(digits);
            line.push(' ');
        }
        line.push_str(&self.boot);
        line.push('\n');
        line
    }

    /// As it stands until the file and its name are durable: of no boot at all, so that
    /// whoever finds it after a crash in between skips the block. As long as the line that
    /// will be written over it, or a power cut could keep the longer length without the
    /// bytes.
    fn draft(&self) -> String {
        Self { boot: "-".repeat(self.boot.len()), ..self.clone() }.encode()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let line = core::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut words = line.split(' ');
        let counter = Self {
            last: words.next()?.parse().ok()?,
            reserved: words.next()?.parse().ok()?,
            boot: words.next()?.into(),
        };
        let is_sound = counter.last <= counter.reserved && counter.reserved < TOO_LARGE;
        (words.next().is_none() && is_sound).then_some(counter)
    }

    fn draw(mut self, context: &Context, floor: Generation) -> At {
        let last = self.last.max(floor.0);
        if self.boot == context.here.boot && last < self.reserved {
            self.last = last + 1;
            return At::Write(self);
        }
        let last = self.reserved.max(floor.0);
        let boot = context.here.boot.clone();
        At::CloseOld(Self {
            last: last.saturating_add(1),
            reserved: last.saturating_add(BLOCK),
            boot,
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::testing::context;

    fn counter(last: u64, reserved: u64, boot: &str) -> Counter {
        Counter { last, reserved, boot: boot.into() }
    }

    #[rstest]
    #[case::within_the_block(counter(7, 9, "boot-1"), At::Write(counter(8, 9, "boot-1")))]
    #[case::the_last_of_it(counter(8, 9, "boot-1"), At::Write(counter(9, 9, "boot-1")))]
    #[case::used_up(counter(9, 9, "boot-1"), At::CloseOld(counter(10, 9 + BLOCK, "boot-1")))]
    #[case::rebooted(counter(7, 9, "boot-0"), At::CloseOld(counter(10, 9 + BLOCK, "boot-1")))]
    fn no_number_is_given_out_twice(#[case] found: Counter, #[case] next: At) {
        assert_eq!(found.draw(&context(), Generation(0)), next);
    }

    #[rstest]
    #[case::empty(b"")]
    #[case::no_newline(b"00000000000000000001 00000000000000004096 b")]
    #[case::beyond_its_block(b"3 2 b\n")]
    #[case::words(b"a b c\n")]
    #[case::more(b"1 2 b c\n")]
    #[case::binary(b"\xff\n")]
    #[case::too_large(b"1 9223372036854775808 b\n")]
    fn damage_is_noticed(#[case] bytes: &[u8]) {
        assert_eq!(Counter::parse(bytes), None);
    }

    #[rstest]
    #[case::within_the_block(7, At::Write(counter(8, 9, "boot-1")))]
    #[case::at_its_end(9, At::CloseOld(counter(10, 9 + BLOCK, "boot-1")))]
    #[case::beyond_it(50, At::CloseOld(counter(51, 50 + BLOCK, "boot-1")))]
    fn the_record_that_was_judged_is_a_floor(#[case] floor: u64, #[case] next: At) {
        let found = counter(2, 9, "boot-1");
        assert_eq!(found.draw(&context(), Generation(floor)), next);
        assert_eq!(Counter::first(&context(), Generation(floor)).last, floor + 1);
    }

    /// The next to read the file would refuse it.
    #[rstest]
    #[case::the_last_block(TOO_LARGE - BLOCK - 1, true)]
    #[case::beyond_it(TOO_LARGE - BLOCK, false)]
    #[case::the_largest(TOO_LARGE - 1, false)]
    #[case::any(u64::MAX, false)]
    fn no_block_is_reserved_that_would_be_damage(#[case] floor: u64, #[case] is_sound: bool) {
        let (context, floor) = (context(), Generation(floor));
        let first = reserve(floor, Counter::first(&context, floor));
        let At::CloseOld(next) = counter(1, 2, "boot-1").draw(&context, floor) else {
            panic!("it is within the block");
        };
        for draw in [first, reserve(floor, next)] {
            match draw {
                Flow::Go(Draw { at: At::CreateDraft(counter), .. }) if is_sound => {
                    assert!(Counter::parse(counter.encode().as_bytes()).is_some());
                }
                Flow::Done(Err(Failure::GenerationDamaged)) if !is_sound => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_draft_is_as_long_as_what_replaces_it_and_of_no_boot() {
        let drawn = counter(1, BLOCK, "boot-1");
        let draft = drawn.draft();
        assert_eq!(draft.len(), drawn.encode().len());
        let found = Counter::parse(draft.as_bytes()).expect("because a draft is a counter");
        assert_eq!(
            found.draw(&context(), Generation(0)),
            At::CloseOld(counter(BLOCK + 1, 2 * BLOCK, "boot-1"))
        );
    }

    #[test]
    fn the_file_keeps_its_length() {
        let few = counter(1, BLOCK, "b").encode();
        let many = counter(TOO_LARGE - 2, TOO_LARGE - 1, "b").encode();
        assert_eq!(few.len(), many.len());
        assert_eq!(
            Counter::parse(many.as_bytes()),
            Some(counter(TOO_LARGE - 2, TOO_LARGE - 1, "b"))
        );
    }
}

#[cfg(test)]
#[path = "generation_tests.rs"]
mod scripts;
