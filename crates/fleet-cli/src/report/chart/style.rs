//! Colours and letters. The colours are told apart by the colour-blind as well (Paul Tol's
//! bright scheme).

use svg::node::element::Rectangle;

use crate::timeline::{Bar, Ending};

/// What a bar is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Waiting,
    Held,
    HeldInVain,
    HeldNow,
    Unknown,
    TakenOver,
    Cut,
}

impl Style {
    /// All of them, and what they mean.
    pub(super) const LEGEND: &[(Self, &str)] = &[
        (Self::Waiting, "waiting"),
        (Self::Held, "held"),
        (Self::HeldInVain, "held, ended with an error"),
        (Self::HeldNow, "held now"),
        (Self::Unknown, "no sign of life"),
        (Self::TakenOver, "taken over"),
        (Self::Cut, "lost, taken away, or died"),
    ];

    /// How an ownership is drawn.
    pub(super) const fn of(bar: &Bar) -> Self {
        match bar.ending {
            Ending::Held => Self::HeldNow,
            Ending::Unknown => Self::Unknown,
            Ending::Failed | Ending::Released(Some(1..)) => Self::HeldInVain,
            _ => Self::Held,
        }
    }

    /// Whether an ownership ended by another's hand, or death's.
    pub(super) const fn is_cut(bar: &Bar) -> bool {
        matches!(bar.ending, Ending::Died(_) | Ending::TakenOver(_) | Ending::Broken | Ending::Lost)
    }

    /// Paints it.
    pub(super) fn paint(self, block: Rectangle) -> Rectangle {
        match self {
            Self::Waiting => block.set("fill", "#c3c7cf"),
            Self::Held => block.set("fill", "#4477aa"),
            Self::HeldInVain => block.set("fill", "#ee7733"),
            Self::HeldNow => block.set("fill", "#228833"),
            Self::Unknown => {
                let block = block.set("fill", "#eaf0f6").set("stroke", "#4477aa");
                block.set("stroke-dasharray", "3 2")
            }
            // These two are no blocks.
            Self::TakenOver | Self::Cut => block.set("fill", "none"),
        }
    }
}

/// Letters of one width, so that what fits can be known here.
pub(super) const fn family() -> &'static str {
    "'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"
}

/// How wide a letter of this size is.
pub(super) const fn font(size: f64) -> f64 {
    size * 0.61
}

/// The size of letters in a row of this height.
pub(super) const fn narrow(row: f64) -> f64 {
    if row < 20.0 { 11.0 } else { 12.0 }
}

/// At most so many letters; the end of a command line matters least.
pub(super) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
