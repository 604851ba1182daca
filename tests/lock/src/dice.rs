//! Random choices that a seed replays.

/// A stream of numbers (splitmix64). Two with the same seed are the same.
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// The stream of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    #[must_use]
    pub const fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to and without `high`; `low` if there is none.
    #[must_use]
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        match high.saturating_sub(low) {
            0 => low,
            span => low + self.roll() % span,
        }
    }

    /// True so many times in a thousand.
    #[must_use]
    pub const fn per_mille(&mut self, times: u64) -> bool {
        self.roll() % 1000 < times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        let (mut one, mut other) = (Dice::new(7), Dice::new(7));
        let rolls: Vec<_> = (0..10).map(|_| one.roll()).collect();
        assert!(rolls.iter().all(|roll| *roll == other.roll()));
    }

    #[test]
    fn numbers_stay_between_their_bounds() {
        let mut dice = Dice::new(1);
        assert!((0..1000).all(|_| (3..9).contains(&dice.between(3, 9))));
        assert_eq!(dice.between(5, 5), 5);
    }
}
