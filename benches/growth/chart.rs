//! Cost over size as a picture: a panel for each cost, both axes in powers of ten, as SVG. What does not grow
//! is level, what grows with the set is a diagonal.

use std::fmt::Write as _;

/// Pixels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;
const COLUMNS: usize = 3;
const DOT: f64 = 3.0;

/// What one thing costs at each size.
pub(crate) struct Panel {
    /// With its unit.
    pub(crate) title: &'static str,
    /// Size and cost, both above 0.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Powers of ten from below the least to above the most.
struct Axis {
    first: i32,
    last: i32,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Axis {
        let least = values.clone().fold(f64::INFINITY, f64::min);
        let most = values.fold(0.0, f64::max);
        let first = least.log10().floor() as i32;
        Axis { first, last: (most.log10().ceil() as i32).max(first + 1), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first);
        self.from + share * (self.to - self.from)
    }

    /// Each power of ten, and its place.
    fn steps(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        (self.first..=self.last).map(|power| 10f64.powi(power)).map(|value| (value, self.at(value)))
    }
}

/// The panels in rows of three.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let (columns, rows) = (panels.len().min(COLUMNS), panels.len().div_ceil(COLUMNS));
    let (width, height) = (WIDTH * columns as f64, HEIGHT * rows as f64);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let (left, top) = (WIDTH * (at % COLUMNS) as f64, HEIGHT * (at / COLUMNS) as f64);
        draw(panel, left, top, &mut out).expect("a String takes all");
    }
    out.push_str("</svg>\n");
    out
}

fn draw(panel: &Panel, left: f64, top: f64, out: &mut String) -> std::fmt::Result {
    let points = panel.points.iter();
    let x = Axis::over(points.clone().map(|point| point.0), left + LEFT, left + WIDTH - RIGHT);
    let y = Axis::over(points.clone().map(|point| point.1), top + HEIGHT - BOTTOM, top + TOP);
    writeln!(out, "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>", x.from, top + 20.0, panel.title)?;
    for (value, at) in x.steps() {
        writeln!(out, "<path d=\"M{at:.1} {:.1} V{:.1}\" stroke=\"#e2e2e2\"/>", y.from, y.to)?;
        let below = y.from + 16.0;
        writeln!(out, "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{}</text>", short(value))?;
    }
    for (value, at) in y.steps() {
        writeln!(out, "<path d=\"M{:.1} {at:.1} H{:.1}\" stroke=\"#e2e2e2\"/>", x.from, x.to)?;
        let (before, base) = (x.from - 6.0, at + 4.0);
        writeln!(out, "<text x=\"{before:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{}</text>", short(value))?;
    }
    let places: Vec<(f64, f64)> = points.map(|(size, cost)| (x.at(*size), y.at(*cost))).collect();
    let line: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(out, "<polyline points=\"{}\" fill=\"none\" stroke=\"#2f7f79\"/>", line.join(" "))?;
    for (x, y) in places {
        writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{DOT}\" fill=\"#2f7f79\"/>")?;
    }
    Ok(())
}

/// A power of ten in few letters.
fn short(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        1.0.. => format!("{value}"),
        _ => format!("{value:.4}").trim_end_matches('0').to_owned(),
    }
}
