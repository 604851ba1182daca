//! The plots, as SVG.

use camino::Utf8Path;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::error::Error;
use crate::figures::{Bar, Plot, Shape};
use crate::stats::real;

const WIDTH: u32 = 860;
const HEIGHT: u32 = 480;
/// One bar.
const ROW: u32 = 22;

/// Why plotters failed; its own types name the whole drawing.
type Failure = Box<dyn std::error::Error>;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws into a file of the plot's name.
pub(crate) fn draw(directory: &Utf8Path, plot: &Plot) -> Result<(), Error> {
    let path = directory.join(plot.file).with_extension("svg");
    let drawn = render(plot).map_err(|error| error.to_string());
    let svg = drawn.map_err(|reason| Error::Plot { path: path.clone(), reason })?;
    std::fs::write(&path, svg).map_err(Error::system("write", &path))
}

fn render(plot: &Plot) -> Result<String, Failure> {
    let rows = match &plot.shape {
        Shape::Bars { bars, .. } => u32::try_from(bars.len())? * ROW + 100,
        Shape::Distribution { .. } | Shape::Lines { .. } => HEIGHT,
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, rows)).into_drawing_area();
        area.fill(&WHITE)?;
        let area = area.titled(plot.title, ("sans-serif", 20))?;
        match &plot.shape {
            Shape::Distribution { unit, series } => distribution(&area, unit, series)?,
            Shape::Lines { unit, series } => lines(&area, unit, series)?,
            Shape::Bars { unit, bars } => self::bars(&area, unit, bars)?,
        }
        area.present()?;
    }
    // The backend ends no line with a newline of its own at the end of the file.
    let lines: Vec<_> = svg.lines().map(str::trim_end).collect();
    Ok(lines.join("\n").trim_end().to_owned() + "\n")
}

/// Ours in a colour of its own, whatever else is drawn.
fn colour(name: &str, index: usize) -> RGBColor {
    const OTHERS: [RGBColor; 8] = [
        RGBColor(31, 119, 180),
        RGBColor(44, 160, 44),
        RGBColor(148, 103, 189),
        RGBColor(140, 86, 75),
        RGBColor(227, 119, 194),
        RGBColor(127, 127, 127),
        RGBColor(188, 189, 34),
        RGBColor(23, 190, 207),
    ];
    match name {
        "ours" | "fleet" => RGBColor(214, 39, 40),
        _ => OTHERS.get(index % OTHERS.len()).copied().unwrap_or(BLACK),
    }
}

/// The bounds of what has a logarithm, a little wider.
fn bounds(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::MAX, 0.0_f64);
    for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high { 0.1..10.0 } else { low / 1.3..high * 1.3 }
}

fn distribution(area: &Area<'_>, unit: &str, all: &[(String, Vec<f64>)]) -> Result<(), Failure> {
    let across = bounds(all.iter().flat_map(|(_, values)| values.iter().copied()));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(across.log_scale(), 0.0..100.0)?;
    chart.configure_mesh().x_desc(unit).y_desc("% of the rounds").draw()?;
    for (index, (name, values)) in all.iter().enumerate() {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let count = real(sorted.len());
        let points: Vec<_> = sorted
            .iter()
            .zip(1..)
            .map(|(value, rank)| (*value, 100.0 * real(rank) / count))
            .collect();
        let style = colour(name, index).stroke_width(if name == "ours" { 3 } else { 2 });
        let line = chart.draw_series(LineSeries::new(thinned(&points), style))?;
        line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let legend = SeriesLabelPosition::LowerRight;
    let labels = &mut chart.configure_series_labels();
    Ok(labels
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?)
}

/// Enough points for the eye, and the last one.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let step = (points.len() / 200).max(1);
    let some = points.iter().step_by(step);
    some.chain(points.last()).copied().collect()
}

fn lines(area: &Area<'_>, unit: &str, all: &[(String, Vec<(f64, f64)>)]) -> Result<(), Failure> {
    let points = || all.iter().flat_map(|(_, points)| points.iter().copied());
    // Each doubling as far as the one before, and room for the legend.
    let last = points().map(|point| point.0.log2()).fold(1.0, f64::max);
    let (across, up) = (0.5..last * 1.35, bounds(points().map(|point| point.1)));
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(across, up.log_scale())?;
    let size = |place: &f64| format!("{:.0}", place.exp2());
    let mut mesh = chart.configure_mesh();
    mesh.x_desc("processes").y_desc(unit).x_label_formatter(&size).draw()?;
    for (index, (name, points)) in all.iter().enumerate() {
        let colour = colour(name, index);
        let style = colour.stroke_width(if name == "ours" { 3 } else { 2 });
        let drawn = points.iter().filter(|point| point.1 > 0.0);
        let drawn = drawn.map(|(size, value)| (size.log2(), *value));
        let line = chart.draw_series(LineSeries::new(drawn, style).point_size(3))?;
        line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let labels = &mut chart.configure_series_labels();
    let legend = SeriesLabelPosition::MiddleRight;
    Ok(labels
        .position(legend)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?)
}

fn bars(area: &Area<'_>, unit: &str, bars: &[Bar]) -> Result<(), Failure> {
    let across = bounds(bars.iter().flat_map(|bar| [bar.low, bar.high]));
    let left = across.start;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(180)
        .build_cartesian_2d(
            across.log_scale(),
            (0..bars.len().saturating_sub(1).max(1)).into_segmented(),
        )?;
    let name = |place: &SegmentValue<usize>| match place {
        SegmentValue::CenterOf(index) | SegmentValue::Exact(index) => {
            bars.get(*index).map(|bar| bar.name.clone()).unwrap_or_default()
        }
        SegmentValue::Last => String::new(),
    };
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(unit).disable_y_mesh().y_labels(bars.len()).y_label_formatter(&name).draw()?;
    for (index, bar) in bars.iter().enumerate() {
        let (middle, at) = (bar.middle.max(left), SegmentValue::CenterOf(index));
        let (bottom, top) = (SegmentValue::Exact(index), SegmentValue::Exact(index + 1));
        let style = colour(&bar.name, 0).mix(0.7).filled();
        let mut rectangle = Rectangle::new([(left, bottom), (middle, top)], style);
        rectangle.set_margin(3, 3, 0, 0);
        chart.draw_series([rectangle])?;
        let spread = [(bar.low.max(left), at.clone()), (bar.high.max(left), at)];
        chart.draw_series([PathElement::new(spread, BLACK.stroke_width(1))])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(shape: Shape) -> String {
        render(&Plot { file: "x", title: "Title", shape }).expect("because it can be drawn")
    }

    #[test]
    fn every_shape_names_what_it_draws() {
        let ours = || "ours".to_owned();
        let shapes = [
            Shape::Distribution { unit: "µs", series: vec![(ours(), vec![1.0, 2.0, 3.0])] },
            Shape::Lines { unit: "a second", series: vec![(ours(), vec![(2.0, 5.0), (8.0, 0.0)])] },
            Shape::Bars {
                unit: "ms",
                bars: vec![Bar { name: ours(), low: 0.0, middle: 2.0, high: 3.0 }],
            },
        ];
        for shape in shapes {
            let svg = drawn(shape);
            assert!(svg.contains("ours") && svg.contains("Title"), "{svg}");
            assert!(svg.ends_with("</svg>\n"), "{svg}");
        }
    }

    #[test]
    fn what_has_no_logarithm_bounds_nothing() {
        assert_eq!(bounds([0.0, f64::NAN].into_iter()), 0.1..10.0);
        let found = bounds([0.0, 13.0].into_iter());
        assert!((found.start - 10.0).abs() < 1e-9, "{found:?}");
    }
}
