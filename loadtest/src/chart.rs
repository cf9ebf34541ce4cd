//! Ratios as a picture: a bar for each median, from its least to its most a whisker, as SVG.

use std::fmt::Write as _;

use crate::median::Spread;

/// Pixels.
const WIDTH: f64 = 820.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 150.0;
const TITLE: f64 = 34.0;
const LINE: f64 = 26.0;
const BAR: f64 = 14.0;
const AXIS: f64 = 30.0;
const GAP: f64 = 18.0;
/// Half the height of the end of a whisker.
const CAP: f64 = 4.0;
/// Lines of the grid between 0 and the end of the scale, at most.
const STEPS: f64 = 8.0;
/// Distances of the lines of the grid.
const DISTANCES: [f64; 9] = [0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0];

/// One server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) spread: Spread,
    /// Its number does not count.
    pub(crate) faint: bool,
}

/// Servers on one scale.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) bars: Vec<Bar>,
}

impl Panel {
    fn height(&self) -> f64 {
        TITLE + LINE * self.bars.len() as f64 + AXIS + GAP
    }

    /// Distance of the lines of the grid, and the end of the scale, a whole number of them.
    fn scale(&self) -> (f64, f64) {
        let most = self.bars.iter().map(|bar| bar.spread.max).fold(1.0, f64::max);
        let distance = DISTANCES.into_iter().find(|distance| most / distance <= STEPS);
        let distance = distance.unwrap_or_else(|| (most / STEPS).ceil());
        (distance, (most / distance).ceil() * distance)
    }
}

/// The panels below one another.
pub(crate) fn svg(panels: &[Panel]) -> String {
    let height: f64 = panels.iter().map(Panel::height).sum();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let mut top = 0.0;
    for panel in panels {
        draw(panel, top, &mut out).expect("a String takes all");
        top += panel.height();
    }
    out.push_str("</svg>\n");
    out
}

fn draw(panel: &Panel, top: f64, out: &mut String) -> std::fmt::Result {
    let (distance, end) = panel.scale();
    let x = |ratio: f64| LEFT + ratio / end * (WIDTH - LEFT - RIGHT);
    let (first, last) = (top + TITLE, top + TITLE + LINE * panel.bars.len() as f64);
    let title = escaped(&panel.title);
    writeln!(out, "<text x=\"16\" y=\"{}\" font-weight=\"bold\">{title}</text>", top + 22.0)?;
    for step in 0..=(end / distance).round() as u32 {
        let (ratio, at) = (f64::from(step) * distance, x(f64::from(step) * distance));
        let stroke = if (ratio - 1.0).abs() < 1e-9 { "#888" } else { "#e2e2e2" };
        writeln!(out, "<path d=\"M{at:.1} {first} V{last}\" stroke=\"{stroke}\"/>")?;
        let label = (ratio * 100.0).round() / 100.0;
        writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#777\">{label}</text>",
            last + 16.0
        )?;
    }
    for (at, bar) in panel.bars.iter().enumerate() {
        draw_bar(bar, first + LINE * (at as f64 + 0.5), &x, out)?;
    }
    Ok(())
}

fn draw_bar(bar: &Bar, middle: f64, x: &impl Fn(f64) -> f64, out: &mut String) -> std::fmt::Result {
    let Spread { median, min, max } = bar.spread;
    let (from, to, least, most) = (x(0.0), x(median), x(min), x(max));
    let fill = match (bar.faint, bar.name.starts_with("tekd")) {
        (true, _) => "#d9d9d9",
        (false, true) => "#2f7f79",
        (false, false) => "#a9bccb",
    };
    writeln!(
        out,
        "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>",
        middle - BAR / 2.0,
        to - from
    )?;
    writeln!(
        out,
        "<path d=\"M{least:.1} {middle} H{most:.1} M{least:.1} {} v{ends} M{most:.1} {} v{ends}\" \
         stroke=\"#222\" fill=\"none\"/>",
        middle - CAP,
        middle - CAP,
        ends = 2.0 * CAP
    )?;
    let base = middle + 4.0;
    let (name, after) = (escaped(&bar.name), most.max(to) + 8.0);
    writeln!(out, "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{name}</text>", LEFT - 8.0)?;
    let star = if bar.faint { " (does not count)" } else { "" };
    writeln!(out, "<text x=\"{after:.1}\" y=\"{base}\">{median:.2}{star}</text>")
}

/// Text as XML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `text` is one XML element with all its tags closed in order and all attributes quoted, as far
    /// as elements, attributes and references go.
    fn well_formed(text: &str) -> Result<(), String> {
        let (mut open, mut rest, mut roots) = (Vec::new(), text.trim(), 0);
        while let Some(begin) = rest.find('<') {
            let (between, tag) = rest.split_at(begin);
            references(between)?;
            if open.is_empty() && !between.trim().is_empty() {
                return Err(format!("text outside: {between}"));
            }
            let (tag, after) = tag[1..].split_once('>').ok_or("a tag without an end")?;
            rest = after;
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return Err(format!("</{name}> closes another"));
                }
                continue;
            }
            roots += usize::from(open.is_empty());
            let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
            let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            quoted(attributes)?;
            if !empty {
                open.push(name);
            }
        }
        if open.is_empty() && roots == 1 && rest.is_empty() { Ok(()) } else { Err(format!("{open:?} open")) }
    }

    fn references(text: &str) -> Result<(), String> {
        let known = ["amp;", "lt;", "gt;"];
        match text.split('&').skip(1).find(|after| !known.iter().any(|name| after.starts_with(name))) {
            Some(after) => Err(format!("&{after}")),
            None => Ok(()),
        }
    }

    fn quoted(mut attributes: &str) -> Result<(), String> {
        while !attributes.is_empty() {
            let (name, after) = attributes.split_once("=\"").ok_or(attributes)?;
            let (value, rest) = after.split_once('"').ok_or(after)?;
            references(value)?;
            if name.trim().is_empty() || name.trim().contains(' ') || value.contains('<') {
                return Err(name.to_owned());
            }
            attributes = rest;
        }
        Ok(())
    }

    fn bar(name: &str, median: f64) -> Bar {
        let spread = Spread { median, min: median * 0.9, max: median * 1.2 };
        Bar { name: name.to_owned(), spread, faint: median < 0.5 }
    }

    #[test]
    fn a_chart_is_well_formed_and_has_every_server() {
        let bars = vec![bar("echo", 1.0), bar("a<b>&c", 0.4), bar("tekd-1M", 0.93)];
        let panels = [
            Panel { title: "answers & more".to_owned(), bars },
            Panel { title: "latency".to_owned(), bars: vec![bar("tekd-xdp-1M", 2.7)] },
        ];
        let text = svg(&panels);
        assert_eq!(well_formed(&text), Ok(()), "{text}");
        for name in [">echo<", ">a&lt;b&gt;&amp;c<", ">tekd-1M<", ">tekd-xdp-1M<", ">answers &amp; more<"] {
            assert!(text.contains(name), "{name}: {text}");
        }
        assert_eq!(well_formed(&svg(&[])), Ok(()));
    }

    #[test]
    fn a_bar_is_as_long_as_its_median_on_a_scale_that_holds_all() {
        let panel = Panel { title: String::new(), bars: vec![bar("a", 1.0), bar("b", 2.0)] };
        let (distance, end) = panel.scale();
        assert_eq!((distance, end), (0.5, 2.5));
        let text = svg(&[panel]);
        let widths: Vec<f64> = text
            .lines()
            .filter(|line| line.starts_with("<rect x"))
            .filter_map(|line| line.split("width=\"").nth(1)?.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(widths.len(), 2);
        assert!((widths[1] / widths[0] - 2.0).abs() < 0.01, "{widths:?}");
        assert!(LEFT + widths[1] <= WIDTH - RIGHT, "{widths:?}");
    }

    #[test]
    fn what_is_no_xml_is_found() {
        for bad in ["<a><b></a></b>", "<a", "<a>&b</a>", "<a b=c/>", "<a/><b/>", "x<a/>", "<a>", ""] {
            assert!(well_formed(bad).is_err(), "{bad}");
        }
        assert_eq!(well_formed("<a b=\"1\" c=\"2\"><d/>x &amp; y</a>"), Ok(()));
    }
}
