//! From times to places: one scale, with long stretches of nothing cut out.

use super::LABEL_WIDTH;

/// How wide a cut is drawn.
pub(super) const CUT: f64 = 26.0;

/// A piece between two cuts is at least so wide, so that its labels find room.
const NARROWEST: f64 = 78.0;

/// No more cuts than this. Idle time is cut out where it lasts half as long as the lock was in
/// use altogether; an ownership only where it would take up half of the picture, and not
/// where there are but few.
const MOST_CUTS: usize = 9;
const IDLE_TO_USE: f64 = 0.5;
const USE_TO_WHOLE: f64 = 0.5;
const FEW: usize = 5;

/// A piece of time without a cut in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    /// When it begins and ends, in milliseconds.
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where it begins.
    pub(super) x: f64,
    /// Whether nobody had the lock, or waited for it, in what is cut out after this piece.
    pub(super) idle_after: bool,
}

/// What is to be seen: when something happened, and when the lock was in use.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Instants.
    pub(super) moments: Vec<u64>,
    /// From when until when.
    pub(super) uses: Vec<(u64, u64)>,
}

/// Where each instant is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) pieces: Vec<Piece>,
    /// How many units a millisecond is wide, everywhere.
    pub(super) scale: f64,
}

impl Axis {
    /// One of this width for all that is to be seen.
    pub(super) fn new(seen: &Seen, left: f64, width: f64) -> Self {
        let mut pieces = cut(seen);
        // The last bar's end should not touch the border.
        let room = width - CUT * (pieces.len().max(1) - 1) as f64;
        let scale = scale(&pieces, room);
        let mut x = left;
        for piece in &mut pieces {
            // A narrow piece shows some of the time around it.
            let spare = (NARROWEST / scale - (piece.to - piece.from)).max(0.0) / 2.0;
            (piece.from, piece.to, piece.x) = (piece.from - spare, piece.to + spare, x);
            x += (piece.to - piece.from) * scale + CUT;
        }
        Self { pieces, scale }
    }

    /// Where an instant is; one that is cut out is at the next edge.
    pub(super) fn x(&self, at: u64) -> f64 {
        let at = at as f64;
        let after = |piece: &&Piece| at <= piece.to;
        let Some(piece) = self.pieces.iter().find(after).or(self.pieces.last()) else { return 0.0 };
        piece.x + (at.clamp(piece.from, piece.to) - piece.from) * self.scale
    }

    /// The instants to label in a piece, and the step between them in milliseconds; `offset`
    /// is the time zone's, so that a round step is round on the wall.
    pub(super) fn ticks(&self, piece: &Piece, offset: f64) -> (Vec<u64>, u64) {
        let step = step(LABEL_WIDTH / self.scale);
        let length = step as f64;
        let mut at = ((piece.from + offset) / length).ceil() * length - offset;
        let mut ticks = Vec::new();
        while at <= piece.to {
            ticks.push(at as u64);
            at += length;
        }
        (ticks, step)
    }
}

/// The time in which something happened, without the longest gaps that are worth a cut.
fn cut(seen: &Seen) -> Vec<Piece> {
    let mut moments = seen.moments.clone();
    moments.sort_unstable();
    moments.dedup();
    let mut gaps: Vec<(u64, u64)> =
        moments.iter().zip(moments.iter().skip(1)).map(|(one, next)| (*one, *next)).collect();
    let is_idle = |gap: &(u64, u64)| !seen.uses.iter().any(|(a, b)| *a <= gap.0 && *b >= gap.1);
    // The idle ones first: what is left then is the measure for the others.
    gaps.sort_by_key(|gap| (!is_idle(gap), std::cmp::Reverse(gap.0.abs_diff(gap.1))));
    let mut left = moments.first().zip(moments.last()).map_or(0, |(a, b)| b - a) as f64;
    let idle: u64 = gaps.iter().filter(|gap| is_idle(gap)).map(|(a, b)| b - a).sum();
    let used = left - idle as f64;
    let mut cuts = Vec::new();
    for gap in gaps {
        let (length, idle) = ((gap.1 - gap.0) as f64, is_idle(&gap));
        let is_worth_it = match idle {
            true => length >= IDLE_TO_USE * used,
            false => length >= USE_TO_WHOLE * left && seen.uses.len() >= FEW,
        };
        if is_worth_it && cuts.len() < MOST_CUTS {
            left -= length;
            cuts.push((gap.0, idle));
        }
    }
    let mut pieces: Vec<Piece> = Vec::new();
    let mut cut = true;
    for moment in moments {
        let at = moment as f64;
        match pieces.last_mut() {
            Some(last) if !cut => last.to = at,
            _ => pieces.push(Piece { from: at, to: at, x: 0.0, idle_after: false }),
        }
        let found = cuts.iter().find(|(before, _)| *before == moment);
        cut = found.is_some();
        if let (Some((_, idle)), Some(last)) = (found, pieces.last_mut()) {
            last.idle_after = *idle;
        }
    }
    pieces
}

/// The widest scale at which all pieces fit, the narrow ones at their least width.
fn scale(pieces: &[Piece], room: f64) -> f64 {
    let mut lengths: Vec<f64> = pieces.iter().map(|piece| piece.to - piece.from).collect();
    lengths.sort_by(f64::total_cmp);
    let count = lengths.len();
    for narrow in 0..count {
        let wide: f64 = lengths.iter().skip(narrow).sum();
        let scale = (room - NARROWEST * narrow as f64) / wide.max(1.0);
        // The shortest of the wide ones must be wide enough, or it is a narrow one.
        if lengths.get(narrow).is_some_and(|length| length * scale >= NARROWEST) {
            return scale;
        }
    }
    // All moments, and no time passes: as if it were a second.
    room / 1000.0_f64.max(lengths.iter().sum())
}

/// The smallest round step that is not shorter.
fn step(shortest: f64) -> u64 {
    const SECOND: u64 = 1000;
    const MINUTE: u64 = 60 * SECOND;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const STEPS: [u64; 26] = [
        1,
        2,
        5,
        10,
        20,
        50,
        100,
        200,
        500,
        SECOND,
        2 * SECOND,
        5 * SECOND,
        10 * SECOND,
        20 * SECOND,
        30 * SECOND,
        MINUTE,
        2 * MINUTE,
        5 * MINUTE,
        10 * MINUTE,
        20 * MINUTE,
        30 * MINUTE,
        HOUR,
        3 * HOUR,
        6 * HOUR,
        12 * HOUR,
        DAY,
    ];
    let fits = STEPS.into_iter().find(|step| *step as f64 >= shortest);
    fits.unwrap_or_else(|| DAY * (shortest / DAY as f64).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(uses: &[(u64, u64)]) -> Seen {
        let moments = uses.iter().flat_map(|(from, to)| [*from, *to]).collect();
        Seen { moments, uses: uses.to_vec() }
    }

    #[test]
    fn without_a_gap_the_scale_is_plain() {
        let axis = Axis::new(&seen(&[(0, 400), (400, 1000)]), 10.0, 500.0);
        assert_eq!((axis.x(0), axis.x(500), axis.x(1000)), (10.0, 260.0, 510.0));
    }

    #[test]
    fn a_long_gap_is_cut_and_the_scale_is_the_same_on_both_sides() {
        let axis = Axis::new(&seen(&[(0, 1000), (100_000, 101_000)]), 0.0, 500.0);
        assert_eq!(axis.pieces.len(), 2);
        assert!(axis.pieces[0].idle_after);
        let (one, other) = (axis.x(1000) - axis.x(0), axis.x(101_000) - axis.x(100_000));
        assert!((one - other).abs() < 1e-9 && (one - 237.0).abs() < 1e-9, "{one} {other}");
        assert!((axis.x(101_000) - 500.0).abs() < 1e-9);
    }

    #[test]
    fn a_very_long_ownership_among_many_is_cut_as_well() {
        let mut uses = vec![(0, 1_000_000)];
        uses.extend((0..5).map(|n| (1_000_000 + n * 1000, 1_000_900 + n * 1000)));
        let axis = Axis::new(&seen(&uses), 0.0, 500.0);
        let [one, other] = axis.pieces.as_slice() else { panic!("{axis:?}") };
        assert!(!one.idle_after && other.from <= 1_000_000.0);
        assert_eq!(Axis::new(&seen(&uses[..3]), 0.0, 500.0).pieces.len(), 1, "of few, nothing");
    }

    #[test]
    fn a_short_piece_is_wide_enough_for_its_label() {
        let axis = Axis::new(&seen(&[(0, 100_000), (10_000_000, 10_000_001)]), 0.0, 800.0);
        let [long, short] = axis.pieces.as_slice() else { panic!("{axis:?}") };
        let width = (short.to - short.from) * axis.scale;
        assert!((width - NARROWEST).abs() < 1e-6, "{width}");
        assert!(((short.x + width) - 800.0).abs() < 1e-6, "{short:?}");
        assert!((long.to - long.from) * axis.scale > 600.0);
        // And the moment is in the middle of it.
        assert!((axis.x(10_000_000) - short.x - NARROWEST / 2.0).abs() < 1.0);
    }

    #[test]
    fn moments_and_nothing_at_all_have_a_place() {
        let axis = Axis::new(&seen(&[(5, 5)]), 0.0, 500.0);
        assert!(axis.x(5).is_finite() && axis.x(5) >= 0.0 && axis.x(5) <= 500.0);
        assert_eq!(Axis::new(&seen(&[]), 0.0, 500.0).x(7), 0.0);
    }

    #[test]
    fn ticks_are_round_and_apart() {
        let axis = Axis::new(&seen(&[(1_000, 61_000)]), 0.0, 900.0);
        let piece = axis.pieces.first().copied().expect("one");
        let (ticks, step) = axis.ticks(&piece, 0.0);
        assert_eq!((ticks.first(), step), (Some(&10_000), 10_000));
        assert!(step as f64 * axis.scale >= LABEL_WIDTH);
    }
}
