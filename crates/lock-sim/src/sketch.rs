//! Hashes of things that mention contenders.
//!
//! A [`Sketch`] keeps what a thing says about contenders apart from everything else it
//! says, so that the hash of the same thing with the contenders in other roles can be had
//! without making that thing. A contender is mentioned by its process id, its token, or its
//! place among the members.

use std::hash::{Hash, Hasher};

use crate::world::Pid;

/// The process id of the first contender; the others' follow.
pub const FIRST_PROCESS: u32 = 100;

/// How many contenders there can be.
pub const MOST: u8 = 64;

/// Contender `pid` mentioned by its place: hashed as a process id is.
#[must_use]
pub const fn mention(pid: Pid) -> u32 {
    FIRST_PROCESS + pid as u32
}

/// The process id of what a process has started.
#[must_use]
pub const fn children(process_id: u32) -> u32 {
    process_id + MOST as u32
}

/// Its token for one of its tries: a mark, six letters' worth of place, the try.
///
/// The length of a nap is drawn from the token by a hash that adds up letters times 31; to it
/// `Aa` and `BB` are one. So all contenders nap alike, as they must to be interchangeable.
#[must_use]
pub fn token(pid: Pid, round: u8) -> String {
    let letters = (0..BITS).map(|bit| if pid >> bit & 1 == 0 { "Aa" } else { "BB" });
    format!("{}{}.{round}", char::from(MARK), letters.collect::<String>())
}

const MARK: u8 = b'@';
const BITS: usize = 6;

/// Where each contender goes when they change places.
pub type Turn = [Pid];

/// What is said of contenders, and the hash of the rest.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sketch {
    rest: u64,
    who: Box<[Pid]>,
}

impl Sketch {
    /// Of anything that mentions contenders only in those three ways.
    #[must_use]
    pub fn of<T: Hash + ?Sized>(thing: &T) -> Self {
        let mut reader = Reader { rest: Mix::default(), who: Vec::new() };
        thing.hash(&mut reader);
        Self { rest: reader.rest.end(), who: reader.who.into() }
    }

    /// The hash of the thing after a turn.
    #[must_use]
    pub fn turned(&self, turn: &Turn) -> u64 {
        let mut mix = Mix::default();
        mix.add(self.rest);
        for pid in &self.who {
            mix.add(turned(turn, *pid).into());
        }
        mix.end()
    }

    /// The hash as it is.
    #[must_use]
    pub fn plain(&self) -> u64 {
        self.turned(&[])
    }
}

/// Where a contender goes: nowhere, if the turn says nothing of it.
#[must_use]
pub fn turned(turn: &Turn, pid: Pid) -> Pid {
    turn.get(usize::from(pid)).copied().unwrap_or(pid)
}

/// A hash in the making: no step loses anything of the ones before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix(u64);

impl Mix {
    /// One more word.
    pub const fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    /// The hash.
    #[must_use]
    pub const fn end(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

struct Reader {
    rest: Mix,
    who: Vec<Pid>,
}

impl Reader {
    fn plain(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.rest.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(tail) {
            *to = *from;
        }
        self.rest.add(u64::from_le_bytes(last));
        self.rest.add(bytes.len() as u64);
    }

    fn mentioned(&mut self, pid: Pid) {
        self.who.push(pid);
        // Where it is mentioned counts, whoever it is.
        self.rest.add(MARK.into());
    }
}

impl Hasher for Reader {
    fn finish(&self) -> u64 {
        self.rest.end()
    }

    /// Texts, with the mentions taken out; and lists of process ids.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(numbers) = process_ids(bytes) {
            numbers.for_each(|number| self.write_u32(number));
            return;
        }
        let mut bytes = bytes;
        if let Some((pid, rest)) = process_line(bytes) {
            self.mentioned(pid);
            bytes = rest;
        }
        while let Some(at) = bytes.iter().position(|byte| *byte == MARK) {
            let (before, from) = bytes.split_at(at);
            self.plain(before);
            let Some((pid, rest)) = place(from) else {
                bytes = from;
                break;
            };
            self.mentioned(pid);
            bytes = rest;
        }
        self.plain(bytes);
    }

    fn write_u8(&mut self, number: u8) {
        self.rest.add(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        match number.checked_sub(FIRST_PROCESS).and_then(|pid| Pid::try_from(pid).ok()) {
            Some(pid) if pid < MOST => self.mentioned(pid),
            Some(pid) if pid < 2 * MOST => {
                self.rest.add(CHILDREN);
                self.mentioned(pid - MOST);
            }
            _ => self.rest.add(number.into()),
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.rest.add(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.rest.add(number as u64);
    }
}

/// Says that what a contender has started is mentioned.
const CHILDREN: u64 = 1;

/// What a list of process ids is hashed by; no text has so many zeros.
fn process_ids(bytes: &[u8]) -> Option<impl Iterator<Item = u32>> {
    let (words, rest) = bytes.as_chunks::<4>();
    let is_list = !words.is_empty() && rest.is_empty();
    let ids = FIRST_PROCESS..FIRST_PROCESS + 2 * u32::from(MOST);
    let all = words.iter().map(|word| u32::from_ne_bytes(*word));
    (is_list && all.clone().all(|number| ids.contains(&number))).then_some(all)
}

/// The first line of a record: a process id.
fn process_line(bytes: &[u8]) -> Option<(Pid, &[u8])> {
    let (line, rest) = bytes.split_at_checked(3)?;
    if rest.first() != Some(&b'\n') {
        return None;
    }
    let number: u32 = std::str::from_utf8(line).ok()?.parse().ok()?;
    let pid = Pid::try_from(number.checked_sub(FIRST_PROCESS)?).ok()?;
    (pid < MOST).then_some((pid, rest))
}

/// The place at the beginning of a token.
fn place(bytes: &[u8]) -> Option<(Pid, &[u8])> {
    let (letters, rest) = bytes.get(1..)?.split_at_checked(2 * BITS)?;
    let (pairs, _) = letters.as_chunks::<2>();
    let mut pid = 0;
    for (bit, pair) in pairs.iter().enumerate() {
        match pair {
            b"Aa" => {}
            b"BB" => pid |= 1 << bit,
            _ => return None,
        }
    }
    Some((pid, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWAP: &Turn = &[1, 0, 2];

    fn record(pid: Pid, round: u8) -> String {
        format!("{}\n1000\n{}\nformat=2\n", mention(pid), token(pid, round))
    }

    #[test]
    fn a_text_after_a_turn_is_known_as_the_text_of_the_other() {
        for (one, other) in [(0, 1), (1, 0), (2, 2)] {
            let [one, other] = [one, other].map(|pid| Sketch::of(&record(pid, 3)));
            assert_eq!(one.turned(SWAP), other.plain());
        }
    }

    #[test]
    fn a_list_of_process_ids_mentions_contenders_and_what_they_have_started() {
        let of = |pid| Sketch::of(&vec![mention(pid), children(mention(pid))]);
        assert_eq!(of(0).turned(SWAP), of(1).plain());
        let other = Sketch::of(&vec![mention(0), mention(1)]);
        assert_ne!(of(0).plain(), other.plain());
    }

    #[test]
    fn everything_else_tells_two_texts_apart() {
        let sketch = Sketch::of(&record(0, 1));
        let others = [record(0, 2), record(1, 1), record(0, 1) + "x", String::new()];
        for other in others {
            assert_ne!(sketch.plain(), Sketch::of(&other).plain(), "{other}");
        }
        let [first, second] = [(token(0, 0), "a"), (token(0, 0), "b")];
        assert_ne!(Sketch::of(&first).plain(), Sketch::of(&second).plain());
    }

    #[test]
    fn who_is_mentioned_where_makes_a_difference() {
        let [one, other] = [(mention(0), mention(1)), (mention(1), mention(0))];
        assert_ne!(Sketch::of(&one).plain(), Sketch::of(&other).plain());
        assert_eq!(Sketch::of(&one).turned(SWAP), Sketch::of(&other).plain());
    }

    #[test]
    fn every_contender_has_a_token_of_its_own() {
        for pid in 0..MOST {
            let token = token(pid, 9);
            assert_eq!(place(token.as_bytes()), Some((pid, ".9".as_bytes())));
        }
    }

    #[test]
    fn half_a_token_mentions_nobody() {
        let token = token(1, 0);
        let half = token.get(..5).expect("because it is longer");
        assert_eq!(Sketch::of(half).turned(SWAP), Sketch::of(half).plain());
    }
}
