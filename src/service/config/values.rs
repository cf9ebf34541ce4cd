//! Where values come from: the file's text, the environment, flags. Every value stays
//! text here, together with its place, until `resolve` gives it a type.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place, did_you_mean};
use super::fields::{FIELDS, Field, FieldInfo, sections};

/// A configuration file that was read.
#[derive(Debug, Clone, Copy)]
pub struct ConfigFile<'a> {
    /// Its path as it was given.
    pub path: &'a Path,
    /// Its content.
    pub text: &'a str,
}

/// What the command line sets. A field that is `None` was not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--data DIR`
    pub data: Option<PathBuf>,
    /// `--udp ADDR`
    pub udp: Option<String>,
    /// `--tls ADDR`
    pub tls: Option<String>,
    /// `--quic ADDR`
    pub quic: Option<String>,
    /// `--xdp INTERFACES`
    pub xdp: Option<String>,
    /// `--control PATH`
    pub control: Option<PathBuf>,
    /// `--metrics ADDR`
    pub metrics: Option<String>,
    /// `--ready-file FILE`
    pub ready_file: Option<PathBuf>,
    /// `--upstream ADDR`
    pub upstream: Option<String>,
    /// `--trust FILE`
    pub trust: Option<PathBuf>,
    /// `--poll DURATION`
    pub poll: Option<String>,
    /// `--log-level LEVEL`
    pub log_level: Option<String>,
    /// `--log-format FORMAT`
    pub log_format: Option<String>,
}

impl Overrides {
    /// The value of the flag of `field`.
    fn get(&self, field: Field) -> Option<OsString> {
        let text = |value: &Option<String>| value.clone().map(OsString::from);
        let path = |value: &Option<PathBuf>| value.clone().map(OsString::from);
        match field {
            Field::Data => path(&self.data),
            Field::ListenUdp => text(&self.udp),
            Field::ListenTls => text(&self.tls),
            Field::ListenQuic => text(&self.quic),
            Field::ListenXdp => text(&self.xdp),
            Field::ListenControl => path(&self.control),
            Field::ListenMetrics => text(&self.metrics),
            Field::UpstreamAddress => text(&self.upstream),
            Field::UpstreamTrust => path(&self.trust),
            Field::UpstreamPoll => text(&self.poll),
            Field::LogLevel => text(&self.log_level),
            Field::LogFormat => text(&self.log_format),
            _ => None,
        }
    }
}

/// Where one value was given.
#[derive(Debug, Clone)]
enum Origin {
    File(Range<usize>),
    Named(&'static str),
}

#[derive(Debug, Clone)]
struct Given {
    text: OsString,
    origin: Origin,
}

/// All values that were given, the winning one of each field.
#[derive(Debug)]
pub(super) struct Values<'a> {
    file: Option<ConfigFile<'a>>,
    given: [Option<Given>; FIELDS.len()],
}

impl<'a> Values<'a> {
    /// Collects file, environment and flags, the later winning. An empty environment
    /// variable counts as not set; variables without a field are left alone.
    pub(super) fn collect(
        file: Option<ConfigFile<'a>>,
        environment: impl Fn(&str) -> Option<OsString>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut values = Self { file, given: std::array::from_fn(|_| None) };
        if let Some(file) = file {
            values.take_file(file)?;
        }
        for info in &FIELDS {
            let from_env = info.env.and_then(|name| {
                let text = environment(name).filter(|text| !text.is_empty())?;
                Some(Given { text, origin: Origin::Named(name) })
            });
            let from_flag = info.flag.and_then(|name| {
                Some(Given { text: overrides.get(info.field)?, origin: Origin::Named(name) })
            });
            if let Some(given) = from_flag.or(from_env) {
                values.given[info.field as usize] = Some(given);
            }
        }
        Ok(values)
    }

    /// The value given for `field`, or its default.
    pub(super) fn raw(&self, field: Field) -> Option<&OsStr> {
        match &self.given[field as usize] {
            Some(given) => Some(&given.text),
            None => field.info().default.map(OsStr::new),
        }
    }

    /// Whether a value was given for `field`.
    pub(super) fn is_given(&self, field: Field) -> bool {
        self.given[field as usize].is_some()
    }

    /// An error about the value given for `field`.
    ///
    /// Only for fields that were given: a default is right by test.
    pub(super) fn error(&self, field: Field, message: impl Into<String>) -> ConfigError {
        let given = self.given[field as usize].as_ref().expect("defaults are tested to be right");
        let place = match (&given.origin, self.file) {
            (Origin::File(span), Some(file)) => Place::in_text(file.path, file.text, span.clone()),
            (Origin::File(_), None) => unreachable!("a span is of a file"),
            (Origin::Named(name), _) => {
                Place::Given { name, value: given.text.to_string_lossy().into_owned() }
            }
        };
        ConfigError::new(place, message)
    }

    fn take_file(&mut self, file: ConfigFile<'_>) -> Result<(), ConfigError> {
        let at = |span: Range<usize>| Place::in_text(file.path, file.text, span);
        let top = DeTable::parse(file.text).map_err(|e| {
            let span = e.span().unwrap_or(file.text.len()..file.text.len());
            ConfigError::new(at(span), format!("not TOML: {}", e.message()))
        })?;
        for (key, value) in in_order(top.get_ref()) {
            let name: &str = key.get_ref();
            if let Some(info) = find("", name) {
                self.take_value(file, info, value)?;
            } else if sections().any(|section| section == name && !name.is_empty()) {
                let DeValue::Table(table) = value.get_ref() else {
                    let message = format!("{name} is a section, not a value");
                    return Err(ConfigError::new(at(key.span()), message)
                        .help(format!("write [{name}] on a line of its own and its fields below")));
                };
                for (key, value) in in_order(table) {
                    let info = find(name, key.get_ref())
                        .ok_or_else(|| unknown(at(key.span()), name, key.get_ref()))?;
                    self.take_value(file, info, value)?;
                }
            } else {
                return Err(unknown(at(key.span()), "", name));
            }
        }
        Ok(())
    }

    fn take_value(
        &mut self,
        file: ConfigFile<'_>,
        info: &FieldInfo,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let text = match value.get_ref() {
            DeValue::String(text) if !info.number => text.to_string(),
            DeValue::Integer(number) if info.number && number.radix() == 10 => number.as_str().to_owned(),
            other => {
                let place = Place::in_text(file.path, file.text, value.span());
                let message = format!("{} is {}, not {}", info.title(), info.kind(), kind(other));
                let example = info.default.filter(|text| !text.is_empty()).unwrap_or(info.example);
                let quote = if info.number { "" } else { "\"" };
                return Err(ConfigError::new(place, message)
                    .help(format!("write it like {} = {quote}{example}{quote}", info.name)));
            }
        };
        let given = Given { text: OsString::from(text), origin: Origin::File(value.span()) };
        self.given[info.field as usize] = Some(given);
        Ok(())
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(number) if number.radix() != 10 => "a number in hex, octal or binary",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

type Entry<'t, 'i> = (&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>);

/// A table's entries as they stand in the file, so that the first mistake is named first.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<Entry<'t, 'i>> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn find(section: &str, name: &str) -> Option<&'static FieldInfo> {
    FIELDS.iter().find(|info| info.section == section && info.name == name)
}

fn names(section: &str) -> impl Iterator<Item = &'static str> {
    FIELDS.iter().filter(move |info| info.section == section).map(|info| info.name)
}

/// The error about a field or section that does not exist: what may have been meant, what
/// there is, and where the name does exist.
fn unknown(place: Place, section: &str, name: &str) -> ConfigError {
    let bracketed = |name: &str| format!("[{name}]");
    let sections = || sections().filter(|section| !section.is_empty());
    let within = if section.is_empty() { "at the top" } else { "in" };
    let title = if section.is_empty() { String::new() } else { format!(" {}", bracketed(section)) };
    let mut error = ConfigError::new(place, format!("unknown field `{name}` {within}{title}"));
    let meant_section = || did_you_mean(name, sections()).filter(|_| section.is_empty()).map(bracketed);
    if let Some(word) = did_you_mean(name, names(section)).map(|w| format!("`{w}`")).or_else(meant_section) {
        error = error.help(format!("did you mean {word}?"));
    } else if let Some(info) = FIELDS.iter().find(|info| info.name == name) {
        error = error.help(format!("there is {}", info.title()));
    }
    let mut allowed: Vec<String> = names(section).map(str::to_owned).collect();
    if section.is_empty() {
        allowed.extend(sections().map(bracketed));
    }
    error.help(format!("allowed here: {}", allowed.join(", ")))
}
