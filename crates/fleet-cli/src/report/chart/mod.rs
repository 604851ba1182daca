//! A lock's history as a picture: one bar for each ownership.

mod axis;
mod style;

use camino::Utf8Path;
use lock_fs::Wall;
use svg::Document;
use svg::node::element::{Group, Line, Path, Rectangle, Text, Title};

use self::axis::{Axis, Seen};
use self::style::{Style, family, font, narrow, shorten};
use super::history::{gave_up, span, why};
use crate::journal::Reason;
use crate::moment;
use crate::owner::printable;
use crate::timeline::{Bar, Ending};

/// All lengths are pixels at the picture's own size.
const WIDTH: f64 = 1400.0;
const MARGIN: f64 = 24.0;
/// Where the bars begin and end.
const LEFT: f64 = 372.0;
const RIGHT: f64 = 1178.0;
/// What is above the bars: title, legend, gaps, times.
const TOP: f64 = 150.0;
const BOTTOM: f64 = 44.0;
/// What a time takes, with room beside it.
const LABEL_WIDTH: f64 = 84.0;
/// The least that can be seen.
const LEAST: f64 = 2.0;

/// Draws the history of the lock at `path`.
pub(super) fn draw(path: &Utf8Path, bars: &[Bar]) -> String {
    let row = if bars.len() > 60 { 18.0 } else { 26.0 };
    let bottom = TOP + row * bars.len().max(1) as f64;
    let height = bottom + BOTTOM;
    let axis = Axis::new(&seen(bars), LEFT, RIGHT - LEFT);
    let mut picture = Document::new()
        .set("viewBox", (0.0, 0.0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .set("font-family", family())
        .add(Rectangle::new().set("width", WIDTH).set("height", height).set("fill", "#ffffff"));
    picture = picture.add(heading(path, bars)).add(legend());
    if bars.is_empty() {
        let nothing = text(LEFT, TOP + 17.0, 13.0, "nothing has happened in that time");
        return picture.add(nothing).to_string();
    }
    picture = picture.add(stripes(bars.len(), row)).add(columns()).add(times(&axis, bottom));
    for (index, bar) in bars.iter().enumerate() {
        picture = picture.add(line(bar, &axis, TOP + row * index as f64, row));
    }
    picture.add(tears(&axis, bottom)).to_string()
}

fn seen(bars: &[Bar]) -> Seen {
    let moments = |bar: &Bar| {
        let own = [bar.start(), bar.begun, bar.last_sign, bar.ended];
        own.into_iter().chain(bar.steps.clone())
    };
    Seen {
        moments: bars.iter().flat_map(moments).collect(),
        uses: bars.iter().map(|bar| (bar.start(), bar.last_sign)).collect(),
    }
}

fn heading(path: &Utf8Path, bars: &[Bar]) -> Group {
    let count = |wanted: fn(&Bar) -> bool| bars.iter().filter(|bar| wanted(bar)).count();
    let mut facts = vec![many(count(Bar::is_ownership), "ownership", "ownerships")];
    let takeovers = count(|bar| bar.took_over.is_some());
    let losses =
        count(|bar| matches!(bar.ending, Ending::TakenOver(_) | Ending::Broken | Ending::Lost));
    let attempts = count(|bar| matches!(bar.ending, Ending::GaveUp(_)));
    let optional = [
        (takeovers, "takeover", "takeovers"),
        (losses, "loss", "losses"),
        (attempts, "attempt in vain", "attempts in vain"),
    ];
    facts
        .extend(optional.iter().filter(|(n, ..)| *n > 0).map(|(n, one, more)| many(*n, one, more)));
    let first = bars.iter().map(Bar::start).min();
    let last = bars.iter().map(|bar| bar.ended).max();
    if let (Some(first), Some(last)) = (first, last) {
        let zone = moment::local(Wall(last)).map(|zoned| zoned.strftime("%Z").to_string());
        let (from, to) = (moment::seconds(Wall(first)), moment::seconds(Wall(last)));
        facts.push(format!("{from} to {to} {}", zone.unwrap_or_default()));
    }
    let title = shorten(&format!("Who had {}", printable(path.as_str())), 130);
    Group::new()
        .add(text(MARGIN, 36.0, 18.0, &title).set("font-weight", "bold"))
        .add(text(MARGIN, 58.0, 13.0, facts.join("  ·  ").trim_end()).set("fill", "#555555"))
}

/// What stands beside the bars.
fn columns() -> Group {
    let heading = |x: f64, words| text(x, TOP - 8.0, 11.0, words).set("fill", "#555555");
    Group::new()
        .add(heading(MARGIN + 44.0, "gen.").set("text-anchor", "end"))
        .add(heading(MARGIN + 54.0, "pid"))
        .add(heading(MARGIN + 112.0, "command"))
        .add(heading(RIGHT + 14.0, "held, and how it ended"))
}

fn legend() -> Group {
    let mut group = Group::new();
    let mut x = MARGIN;
    for (style, words) in Style::LEGEND {
        group = group.add(sample(*style, x)).add(text(x + 26.0, 87.0, 12.0, words));
        x += 26.0 + font(12.0) * words.chars().count() as f64 + 22.0;
    }
    group
}

/// A small piece of each thing that the bars are made of.
fn sample(style: Style, x: f64) -> Group {
    let group = Group::new();
    match style {
        Style::TakenOver => group.add(arrow(x + 14.0, 83.0)),
        Style::Cut => group.add(cross(x + 10.0, 83.0)),
        style => group.add(block(x, 77.0, 20.0, 12.0, style)),
    }
}

/// Every other row shaded, to lead the eye.
fn stripes(rows: usize, row: f64) -> Group {
    let odd = (0..rows).filter(|index| index % 2 == 1);
    odd.fold(Group::new(), |group, index| {
        let stripe = Rectangle::new()
            .set("x", MARGIN - 6.0)
            .set("y", TOP + row * index as f64)
            .set("width", WIDTH - 2.0 * MARGIN + 12.0)
            .set("height", row)
            .set("fill", "#f5f6f8");
        group.add(stripe)
    })
}

/// The grid, with its times above and below.
fn times(axis: &Axis, bottom: f64) -> Group {
    let days = many_days(axis);
    let mut group = Group::new();
    for piece in &axis.pieces {
        let (from, end) = (piece.from as u64, piece.x + (piece.to - piece.from) * axis.scale);
        let zone = moment::local(Wall(from));
        let offset = zone.map_or(0.0, |zoned| f64::from(zoned.offset().seconds()) * 1000.0);
        let (ticks, step) = axis.ticks(piece, offset);
        let mut labelled = false;
        for tick in ticks {
            let (x, label) = (axis.x(tick), moment::tick(Wall(tick), step, days));
            group = group.add(rule(x, TOP, bottom, "#dfe2e7"));
            // A label that would reach out of its piece could meet the next one's.
            let half = font(11.0) * label.chars().count() as f64 / 2.0;
            if x - half >= piece.x - 12.0 && x + half <= end + 12.0 {
                labelled = true;
                group = group.add(time(x, bottom, &label, "middle"));
            }
        }
        if !labelled {
            let label = moment::tick(Wall(from), 1_000.max(step.min(60_000)), days);
            group = group.add(time(piece.x, bottom, &label, "start"));
        }
    }
    group
}

fn time(x: f64, bottom: f64, label: &str, anchor: &str) -> Group {
    let label = |y| text(x, y, 11.0, label).set("text-anchor", anchor).set("fill", "#555555");
    Group::new().add(label(TOP - 8.0)).add(label(bottom + 18.0))
}

/// What is cut out of the grid, and of the bars.
fn tears(axis: &Axis, bottom: f64) -> Group {
    let gaps = axis.pieces.iter().zip(axis.pieces.iter().skip(1));
    gaps.fold(Group::new(), |group, (one, next)| {
        let x = next.x - axis::CUT / 2.0;
        let gap = span((next.from - one.to).max(0.0) as u64);
        let label = if one.idle_after { format!("{gap} idle") } else { gap };
        let label = text(x, TOP - 26.0, 11.0, &label).set("fill", "#8a8f98");
        group.add(tear(x, TOP - 20.0, bottom + 4.0)).add(label.set("text-anchor", "middle"))
    })
}

/// One ownership, or an attempt at one.
fn line(bar: &Bar, axis: &Axis, top: f64, row: f64) -> Group {
    let (size, middle) = (narrow(row), top + row / 2.0);
    let base = middle + size * 0.35;
    let number = bar.generation.map_or_else(|| "–".to_owned(), |g| format!("#{g}"));
    let who = shorten(&printable(&bar.command), 30);
    let told = format!("pid {}: {}", bar.pid, printable(&bar.command));
    let mut group = Group::new()
        .add(Title::new(told))
        .add(text(MARGIN + 44.0, base, size, &number).set("text-anchor", "end"))
        .add(text(MARGIN + 54.0, base, size, &format!("{:<7}", bar.pid)).set("fill", "#555555"))
        .add(text(MARGIN + 112.0, base, size, &who));
    let thick = row * 0.6;
    let (begun, ended) = (axis.x(bar.begun), axis.x(bar.ended));
    if let Some(from) = bar.waited_from {
        let from = axis.x(from);
        let width = (begun - from).max(if bar.is_ownership() { 0.0 } else { LEAST });
        group = group.add(block(from, middle - thick * 0.3, width, thick * 0.6, Style::Waiting));
    }
    if bar.is_ownership() {
        let width = (ended - begun).max(LEAST);
        let sure = (axis.x(bar.last_sign) - begun).max(LEAST).min(width);
        if sure < width {
            let (x, y) = (begun + sure, middle - thick * 0.3);
            group = group.add(block(x, y, width - sure, thick * 0.6, Style::Unknown));
        }
        group = group.add(block(begun, middle - thick / 2.0, sure, thick, Style::of(bar)));
        for step in bar.steps.iter().map(|step| axis.x(*step)) {
            if step > begun + 3.0 && step < begun + width - 3.0 {
                let tick = rule(step, middle - thick / 4.0, middle + thick / 4.0, "#ffffff");
                group = group.add(tick);
            }
        }
        if bar.took_over.is_some() {
            group = group.add(arrow(begun, middle));
        }
        if Style::is_cut(bar) {
            group = group.add(cross(begun + width, middle));
        }
    }
    let outcome = shorten(&outcome(bar), 27);
    group.add(text(RIGHT + 14.0, base, size, &outcome).set("fill", "#333333"))
}

/// How long it was held, or waited for, and how that ended.
fn outcome(bar: &Bar) -> String {
    let held = span(bar.ended.saturating_sub(bar.begun));
    let waited = span(bar.begun.saturating_sub(bar.start()));
    match bar.ending {
        Ending::Released(None) => held,
        Ending::Released(Some(code)) => format!("{held}, exit {code}"),
        Ending::Failed => format!("{held}, not released"),
        Ending::Died(Reason::OwnerDied) => format!("{held}, died"),
        Ending::Died(reason) => format!("{held}, {}", why(reason)),
        Ending::TakenOver(Reason::TimedOut) => format!("{held}, taken: no progress"),
        Ending::TakenOver(_) => format!("{held}, taken: hung"),
        Ending::Broken => format!("{held}, broken by order"),
        Ending::Lost => format!("{held}, lost"),
        Ending::Held => format!("{held} so far"),
        Ending::Unknown => "end not written down".to_owned(),
        Ending::GaveUp(why) => format!("{waited}, {}", gave_up(why)),
        Ending::Waiting => format!("waiting for {waited}"),
    }
}

fn many_days(axis: &Axis) -> bool {
    let day = |at: f64| moment::local(Wall(at as u64)).map(|zoned| zoned.date());
    let first = axis.pieces.first().map(|piece| day(piece.from));
    first != axis.pieces.last().map(|piece| day(piece.to))
}

fn many(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn text(x: f64, y: f64, size: f64, words: &str) -> Text {
    Text::new(words).set("x", place(x)).set("y", place(y)).set("font-size", size)
}

fn block(x: f64, y: f64, width: f64, height: f64, style: Style) -> Rectangle {
    let block = Rectangle::new()
        .set("x", place(x))
        .set("y", place(y))
        .set("width", place(width))
        .set("height", place(height))
        .set("rx", 1.5);
    style.paint(block)
}

fn rule(x: f64, from: f64, to: f64, colour: &str) -> Line {
    let line = Line::new().set("x1", place(x)).set("x2", place(x)).set("stroke", colour);
    line.set("y1", place(from)).set("y2", place(to))
}

/// Points at the beginning of an ownership that was taken.
fn arrow(x: f64, y: f64) -> Path {
    let (x, y) = (place(x), place(y));
    let outline = format!("M{x} {y} l-9 -5.5 v11 z");
    Path::new().set("d", outline).set("fill", "#aa3377").set("stroke", "#ffffff")
}

/// Stands at the end of an ownership that was cut short.
fn cross(x: f64, y: f64) -> Group {
    let (x, y) = (place(x), place(y));
    let outline = format!("M{x} {y} m-4.5 -4.5 l9 9 m-9 0 l9 -9");
    let path = |colour: &str, width: f64| {
        let path = Path::new().set("d", outline.as_str()).set("fill", "none");
        path.set("stroke", colour).set("stroke-width", width).set("stroke-linecap", "round")
    };
    Group::new().add(path("#ffffff", 5.0)).add(path("#cc3311", 2.2))
}

/// Two wavy lines with nothing between them, as where paper is torn.
fn tear(x: f64, from: f64, to: f64) -> Group {
    let waves = ((to - from) / 8.0).floor() as usize;
    let (left, right) = (place(x - 3.0), place(x + 3.0));
    let top = place(from);
    let down = "q3 2 0 4 q-3 2 0 4 ".repeat(waves);
    let up = "q-3 -2 0 -4 q3 -2 0 -4 ".repeat(waves);
    let between = format!("M{left} {top} {down} h6 {up} z");
    let edges = format!("M{left} {top} {down} M{right} {top} {down}");
    let path = |outline: String| Path::new().set("d", outline);
    Group::new()
        .add(path(between).set("fill", "#ffffff"))
        .add(path(edges).set("fill", "none").set("stroke", "#b4b9c2"))
}

/// A tenth of a pixel is fine enough, and short to write.
fn place(at: f64) -> f64 {
    (at * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
