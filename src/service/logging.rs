//! Log lines: to stderr, as text or as JSON, one event each.
//!
//! no-trace: no log line may carry an address, a key, a code or a report id, at any
//! level; counts, sets, serials and digests of published objects are what there is to
//! say. Only events of the programs themselves are written: what libraries log has not
//! been held to this rule and is left out whatever the level.
//!
//! stdout is never written: it belongs to the data a command prints.

use std::fmt;
use std::io;
use std::str::FromStr;

use thiserror::Error;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

/// Targets whose events are written: the library and every program of the package.
const TARGETS: [&str; 2] = ["tekd", "tekctl"];

/// How much is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogLevel {
    /// What stopped something.
    Error,
    /// What an operator should look at.
    Warn,
    /// What changed: start, stop, releases, configuration.
    #[default]
    Info,
    /// What an engineer needs to follow a decision.
    Debug,
    /// Every step.
    Trace,
}

impl LogLevel {
    /// All levels, quietest first.
    pub const ALL: [LogLevel; 5] =
        [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];

    /// The word in configuration.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON document a line.
    Json,
}

impl LogFormat {
    /// All formats.
    pub const ALL: [LogFormat; 2] = [LogFormat::Text, LogFormat::Json];

    /// The word in configuration.
    pub fn name(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}

/// A word that names no level or no format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{given}` is not one of {allowed}")]
pub struct UnknownWord {
    /// The word given.
    pub given: String,
    /// The words there are.
    pub allowed: String,
}

impl FromStr for LogLevel {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|level| level.name() == text);
        found.ok_or_else(|| unknown(text, &Self::ALL.map(Self::name)))
    }
}

impl FromStr for LogFormat {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let found = Self::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| unknown(text, &Self::ALL.map(Self::name)))
    }
}

fn unknown(given: &str, allowed: &[&str]) -> UnknownWord {
    UnknownWord { given: given.to_owned(), allowed: allowed.join(", ") }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is logged and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSettings {
    /// How much.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// Starts logging to stderr for the whole process. The first call wins; a later one
/// changes nothing and returns `false`.
pub fn init(settings: LogSettings) -> bool {
    tracing::subscriber::set_global_default(subscriber(settings, io::stderr)).is_ok()
}

/// The receiver of log events that writes them to `writer`.
fn subscriber<W>(settings: LogSettings, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // no-trace: events of other crates never reach a line.
    let filter = Targets::new().with_targets(TARGETS.map(|target| (target, settings.level.filter())));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.format {
        LogFormat::Text => Box::new(registry.with(lines)),
        LogFormat::Json => Box::new(registry.with(lines.json().flatten_event(true))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(LogSettings { level, format }, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "tekd::node", set = 1, serial = 7, "released");
            tracing::debug!(target: "tekd::node", "considered");
            tracing::error!(target: "hyper::proto", "peer 192.0.2.1 sent nonsense");
            tracing::warn!(target: "tekctl", "old");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_text_line_names_level_place_and_fields() {
        let text = logged(LogLevel::Info, LogFormat::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("Z  INFO tekd::node: released set=1 serial=7"), "{text}");
        assert!(lines[1].ends_with("Z  WARN tekctl: old"), "{text}");
    }

    #[test]
    fn a_json_line_is_one_document() {
        let text = logged(LogLevel::Info, LogFormat::Json);
        let documents: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(documents.len(), 2, "{text}");
        assert_eq!(documents[0]["message"], "released");
        assert_eq!(documents[0]["serial"], 7);
        assert_eq!(documents[0]["level"], "INFO");
        assert_eq!(documents[0]["target"], "tekd::node");
    }

    #[test]
    fn the_level_decides_what_is_written_and_libraries_never_are() {
        for (level, lines) in [(LogLevel::Error, 0), (LogLevel::Warn, 1), (LogLevel::Trace, 3)] {
            let text = logged(level, LogFormat::Text);
            assert_eq!(text.lines().count(), lines, "{level}: {text}");
            assert!(!text.contains("192.0.2.1"), "{text}");
        }
    }

    #[test]
    fn starting_twice_changes_nothing() {
        init(LogSettings::default());
        assert!(!init(LogSettings { level: LogLevel::Trace, format: LogFormat::Json }));
    }

    #[test]
    fn every_level_and_format_reads_back_from_its_word() {
        for level in LogLevel::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for format in LogFormat::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let e = "loud".parse::<LogLevel>().unwrap_err();
        assert_eq!(e.to_string(), "`loud` is not one of error, warn, info, debug, trace");
    }
}
