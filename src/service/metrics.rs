//! The metrics page: Prometheus text exposition, format 0.0.4.
//!
//! There is no registry. Counters live where they count; whoever answers a scrape makes
//! a [`MetricsText`], adds what it collected and renders it. Equal inputs give equal
//! text: families are sorted by name, samples by their labels.
//!
//! no-trace: labels that name a peer or a key are refused, and a label value that looks
//! like an address or a key is written as [`WITHHELD`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The `Content-Type` of the rendered page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every name begins with this.
pub const PREFIX: &str = "tekd_";

/// Written in place of a label value that looks like an address or a key.
pub const WITHHELD: &str = "withheld";

/// Label names that could only carry a person, an address or a key.
const REFUSED_LABELS: [&str; 7] = ["address", "addr", "ip", "peer", "client", "key", "device"];

/// Lengths of the keys there are, in bytes; a value of their text form is withheld.
const KEY_LENGTHS: [usize; 2] = [16, 32];

/// What a family of samples is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    help: &'static str,
    /// Sample lines by label text.
    samples: BTreeMap<String, String>,
}

/// A histogram as it was counted: how many values fell into each bucket, not cumulated.
#[derive(Debug, Clone, Copy)]
pub struct Histogram<'a> {
    /// (upper bound, values above the bound before and at most this one), bounds rising.
    pub buckets: &'a [(f64, u64)],
    /// Values above the last bound.
    pub above: u64,
    /// Sum of all values.
    pub sum: f64,
}

/// A metrics page being written.
#[derive(Debug, Default)]
pub struct MetricsText {
    families: BTreeMap<&'static str, Family>,
}

impl MetricsText {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one sample of a counter. The same name and labels again replace the value.
    ///
    /// # Panics
    /// When the name does not begin with [`PREFIX`] or not end in `_total`, or a label name
    /// is refused: mistakes of the program, found by the first scrape.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        assert!(name.ends_with("_total"), "the name of counter {name} must end in _total");
        let labels = label_text(name, labels);
        let line = format!("{name}{} {value}\n", braced(&labels));
        self.add(name, Kind::Counter, help, labels, line);
    }

    /// Adds one sample of a gauge. The same name and labels again replace the value.
    ///
    /// # Panics
    /// When the name does not begin with [`PREFIX`] or ends in `_total`, or a label name is refused.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        assert!(!name.ends_with("_total"), "the name of gauge {name} must not end in _total");
        let labels = label_text(name, labels);
        let line = format!("{name}{} {}\n", braced(&labels), number(value));
        self.add(name, Kind::Gauge, help, labels, line);
    }

    /// Adds one histogram: a cumulated `_bucket` line for each bound and for `+Inf`, `_sum`, `_count`.
    ///
    /// # Panics
    /// When the name does not begin with [`PREFIX`], the bounds do not rise, or a label name is
    /// refused or is `le`.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        histogram: Histogram<'_>,
    ) {
        assert!(!name.ends_with("_total"), "the name of histogram {name} must not end in _total");
        assert!(labels.iter().all(|(label, _)| *label != "le"), "le of {name} belongs to its buckets");
        assert!(histogram.buckets.is_sorted_by(|a, b| a.0 < b.0), "the bounds of {name} must rise");
        let labels = label_text(name, labels);
        let comma = if labels.is_empty() { "" } else { "," };
        let (mut lines, mut count) = (String::new(), 0u64);
        let bounds = histogram.buckets.iter().copied().chain([(f64::INFINITY, histogram.above)]);
        for (bound, values) in bounds {
            count = count.saturating_add(values);
            line(
                &mut lines,
                format_args!("{name}_bucket{{{labels}{comma}le=\"{}\"}} {count}", number(bound)),
            );
        }
        line(&mut lines, format_args!("{name}_sum{} {}", braced(&labels), number(histogram.sum)));
        line(&mut lines, format_args!("{name}_count{} {count}", braced(&labels)));
        self.add(name, Kind::Histogram, help, labels, lines);
    }

    /// The page.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for (name, family) in &self.families {
            line(&mut text, format_args!("# HELP {name} {}", escape_help(family.help)));
            line(&mut text, format_args!("# TYPE {name} {}", family.kind.name()));
            for sample in family.samples.values() {
                text.push_str(sample);
            }
        }
        text
    }

    fn add(&mut self, name: &'static str, kind: Kind, help: &'static str, labels: String, lines: String) {
        assert!(is_name(name) && name.starts_with(PREFIX), "the metric {name} must be named {PREFIX}…");
        let family =
            self.families.entry(name).or_insert_with(|| Family { kind, help, samples: BTreeMap::new() });
        assert_eq!(family.kind, kind, "the metric {name} is used as two kinds");
        family.samples.insert(labels, lines);
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(text, "{arguments}").expect("writing to a String does not fail");
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `a="1",b="2"`: labels in the order given.
fn label_text(metric: &str, labels: &[(&'static str, &str)]) -> String {
    let mut text = String::new();
    for (at, (label, value)) in labels.iter().enumerate() {
        assert!(is_name(label), "{label} of {metric} is no label name");
        // no-trace: nothing about a peer or a key can be a dimension of a metric.
        assert!(!REFUSED_LABELS.contains(label), "label {label} of {metric} could name a person");
        let value = if looks_traceable(value) { WITHHELD } else { value };
        let comma = if at == 0 { "" } else { "," };
        write!(text, "{comma}{label}=\"{}\"", escape_label(value))
            .expect("writing to a String does not fail");
    }
    text
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

/// Whether a label value reads as an address or as a key in hex or base64.
fn looks_traceable(value: &str) -> bool {
    if value.parse::<IpAddr>().is_ok() || value.parse::<SocketAddr>().is_ok() {
        return true;
    }
    let hex = KEY_LENGTHS.contains(&(value.len() / 2)) && value.len().is_multiple_of(2);
    if hex && value.bytes().all(|b| b.is_ascii_hexdigit()) {
        return true;
    }
    STANDARD.decode(value).is_ok_and(|bytes| KEY_LENGTHS.contains(&bytes.len()))
}

fn escape_label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn escape_help(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One sample as a scraper reads it.
    #[derive(Debug, PartialEq)]
    struct Sample {
        name: String,
        labels: Vec<(String, String)>,
        value: f64,
    }

    /// A strict parser of the exposition grammar; what a scraper would refuse is `Err`.
    fn parse(text: &str) -> Result<Vec<Sample>, String> {
        let (mut samples, mut described) = (Vec::new(), Vec::new());
        for line in text.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let name = rest.split(' ').next().unwrap_or_default().to_owned();
                if described.contains(&name) {
                    return Err(format!("HELP of {name} twice"));
                }
                described.push(name);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').ok_or("TYPE without kind")?;
                if described.last().map(String::as_str) != Some(name) {
                    return Err(format!("TYPE of {name} does not follow its HELP"));
                }
                if !["counter", "gauge", "histogram"].contains(&kind) {
                    return Err(format!("kind {kind}"));
                }
            } else {
                let sample = parse_sample(line)?;
                let family = described.last().ok_or("sample before HELP")?;
                if !sample.name.starts_with(family.as_str()) {
                    return Err(format!("{} stands in the family {family}", sample.name));
                }
                samples.push(sample);
            }
        }
        if text.is_empty() || text.ends_with('\n') { Ok(samples) } else { Err("no final newline".into()) }
    }

    fn parse_sample(line: &str) -> Result<Sample, String> {
        let name: String = line.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let mut rest = &line[name.len()..];
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, after) = rest.split_once("=\"").ok_or("label without value")?;
                let (value, after) = parse_quoted(after)?;
                labels.push((label.to_owned(), value));
                rest = after.strip_prefix(',').unwrap_or(after);
            }
            rest = &rest[1..];
        }
        let value = rest.strip_prefix(' ').ok_or_else(|| format!("no value in {line:?}"))?;
        let value = value.parse().map_err(|_| format!("value {value:?}"))?;
        Ok(Sample { name, labels, value })
    }

    fn parse_quoted(text: &str) -> Result<(String, &str), String> {
        let (mut value, mut chars) = (String::new(), text.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Ok((value, &text[at + 1..])),
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => value.push('\n'),
                    Some(c @ ('\\' | '"')) => value.push(c),
                    other => return Err(format!("escape {other:?}")),
                },
                c => value.push(c),
            }
        }
        Err("value without end".into())
    }

    fn page() -> MetricsText {
        let mut page = MetricsText::new();
        page.gauge("tekd_set_serial", "Serial of the newest release.", &[("set", "2")], 7.0);
        page.counter("tekd_requests_total", "Questions.", &[("transport", "udp"), ("op", "lookup")], 12);
        page.gauge("tekd_set_serial", "Serial of the newest release.", &[("set", "1")], 96.5);
        page.counter("tekd_requests_total", "Questions.", &[("transport", "tls"), ("op", "sync")], 3);
        let buckets = [(0.25, 3), (1.0, 0), (2.5, 4)];
        let histogram = Histogram { buckets: &buckets, above: 1, sum: 11.75 };
        page.histogram("tekd_request_duration_seconds", "Time to answer.", &[("op", "sync")], histogram);
        page
    }

    #[test]
    fn a_page_is_sorted_with_one_help_and_type_for_each_name() {
        let expected = "\
# HELP tekd_request_duration_seconds Time to answer.
# TYPE tekd_request_duration_seconds histogram
tekd_request_duration_seconds_bucket{op=\"sync\",le=\"0.25\"} 3
tekd_request_duration_seconds_bucket{op=\"sync\",le=\"1\"} 3
tekd_request_duration_seconds_bucket{op=\"sync\",le=\"2.5\"} 7
tekd_request_duration_seconds_bucket{op=\"sync\",le=\"+Inf\"} 8
tekd_request_duration_seconds_sum{op=\"sync\"} 11.75
tekd_request_duration_seconds_count{op=\"sync\"} 8
# HELP tekd_requests_total Questions.
# TYPE tekd_requests_total counter
tekd_requests_total{transport=\"tls\",op=\"sync\"} 3
tekd_requests_total{transport=\"udp\",op=\"lookup\"} 12
# HELP tekd_set_serial Serial of the newest release.
# TYPE tekd_set_serial gauge
tekd_set_serial{set=\"1\"} 96.5
tekd_set_serial{set=\"2\"} 7
";
        assert_eq!(page().render(), expected);
        assert_eq!(page().render(), page().render());
        assert_eq!(parse(expected).unwrap().len(), 10);
    }

    #[test]
    fn a_histogram_without_labels_has_only_its_bounds() {
        let mut page = MetricsText::new();
        let histogram = Histogram { buckets: &[(1.0, 1)], above: 0, sum: 0.5 };
        page.histogram("tekd_batch_size", "Datagrams in one batch.", &[], histogram);
        let text = page.render();
        assert!(text.contains("tekd_batch_size_bucket{le=\"1\"} 1\n"), "{text}");
        assert!(text.contains("\ntekd_batch_size_sum 0.5\ntekd_batch_size_count 1\n"), "{text}");
        assert_eq!(parse(&text).unwrap().len(), 4);
    }

    #[test]
    fn numbers_that_are_not_finite_are_written_as_a_scraper_reads_them() {
        let mut page = MetricsText::new();
        for (set, value) in [("1", f64::NAN), ("2", f64::INFINITY), ("3", f64::NEG_INFINITY)] {
            page.gauge("tekd_set_age_seconds", "Age.", &[("set", set)], value);
        }
        let text = page.render();
        assert!(
            text.ends_with(
                " NaN\ntekd_set_age_seconds{set=\"2\"} +Inf\ntekd_set_age_seconds{set=\"3\"} -Inf\n"
            )
        );
    }

    #[test]
    fn the_same_sample_again_replaces_the_value() {
        let mut page = page();
        page.counter("tekd_requests_total", "Questions.", &[("transport", "tls"), ("op", "sync")], 4);
        assert!(page.render().contains("{transport=\"tls\",op=\"sync\"} 4\n"));
        assert_eq!(parse(&page.render()).unwrap().len(), 10);
    }

    #[test]
    fn a_label_value_that_looks_like_an_address_or_a_key_is_withheld() {
        for value in [
            "192.0.2.1",
            "2001:db8::1",
            "192.0.2.1:8353",
            "[2001:db8::1]:8353",
            "000102030405060708090a0b0c0d0e0f",
            "AAECAwQFBgcICQoLDA0ODw==",
            "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8=",
        ] {
            let mut page = MetricsText::new();
            page.gauge("tekd_x", "X.", &[("what", value)], 1.0);
            assert!(page.render().contains("tekd_x{what=\"withheld\"} 1\n"), "{value}");
        }
        let commit = "17e26e3fbd0f8c2a4c9e3b6a5d7f9e1c0b2a4d6e";
        let mut page = MetricsText::new();
        page.gauge("tekd_build_info", "Build.", &[("commit", commit), ("version", "0.1.0")], 1.0);
        assert!(page.render().contains(commit));
    }

    #[test]
    #[should_panic(expected = "label peer of tekd_x_total could name a person")]
    fn a_label_that_could_name_a_person_is_refused() {
        MetricsText::new().counter("tekd_x_total", "X.", &[("peer", "one")], 1);
    }

    #[test]
    #[should_panic(expected = "the metric requests_total must be named tekd_")]
    fn a_name_without_the_prefix_is_refused() {
        MetricsText::new().counter("requests_total", "X.", &[], 1);
    }

    #[test]
    #[should_panic(expected = "the name of counter tekd_requests must end in _total")]
    fn a_counter_that_does_not_end_in_total_is_refused() {
        MetricsText::new().counter("tekd_requests", "X.", &[], 1);
    }

    #[test]
    #[should_panic(expected = "the metric tekd_x is used as two kinds")]
    fn one_name_is_one_kind() {
        let mut page = MetricsText::new();
        page.gauge("tekd_x", "X.", &[], 1.0);
        page.histogram("tekd_x", "X.", &[], Histogram { buckets: &[], above: 0, sum: 0.0 });
    }

    proptest! {
        #[test]
        fn any_label_value_reads_back_from_the_page(value: String, count: u64) {
            let mut page = MetricsText::new();
            page.counter("tekd_x_total", "A \\ and a \n in help.", &[("what", &value)], count);
            let samples = parse(&page.render()).map_err(TestCaseError::fail)?;
            let expected = if looks_traceable(&value) { WITHHELD.to_owned() } else { value };
            prop_assert_eq!(samples.len(), 1);
            prop_assert_eq!(&samples[0].labels, &vec![("what".to_owned(), expected)]);
            prop_assert_eq!(samples[0].value, count as f64);
        }
    }
}
