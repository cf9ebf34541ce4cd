//! Published keys as JSON: the shape of `lookup`, `bucket` and the lines of `--keys-out`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tekd::release::{Fields, LiveSet, ONSET_NONE, Schema};

/// A key and the fields that its schema publishes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    key: String,
    rolling_start_number: u32,
    rolling_period: u16,
    report_type: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    risk_class: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transmission_risk: Option<u8>,
    /// The outer one: whether the schema has the field; the inner one: whether the report told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    days_since_onset: Option<Option<i8>>,
}

impl Entry {
    /// The entry of a key whose schema is `schema`.
    pub(crate) fn new(schema: Schema, key: &[u8], fields: &Fields) -> Self {
        let full = schema == Schema::GaenFull;
        Self {
            key: STANDARD.encode(key),
            rolling_start_number: fields.start,
            rolling_period: fields.period,
            report_type: fields.report,
            risk_class: (schema == Schema::GaenMinimal).then_some(fields.risk),
            transmission_risk: full.then_some(fields.risk),
            days_since_onset: full.then_some(Some(fields.onset).filter(|onset| *onset != ONSET_NONE)),
        }
    }
}

/// Replaces the file `path` in one step by the keys of a set, one JSON document per line, in key order.
///
/// # Errors
/// What the system says; the old file is then still there.
pub(crate) fn write_keys(path: &Path, set: &LiveSet) -> io::Result<()> {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let written = write_lines(&beside, set).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell; the next attempt replaces what is left.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write_lines(path: &Path, set: &LiveSet) -> io::Result<()> {
    let schema = set.schema();
    let mut out = BufWriter::new(File::create(path)?);
    for entry in set.entries().chunks_exact(schema.public_len()) {
        let (key, fields) = entry.split_at(schema.key_len());
        let fields = schema.read_fields(fields).map_err(io::Error::other)?;
        serde_json::to_writer(&mut out, &Entry::new(schema, key, &fields))?;
        out.write_all(b"\n")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields = Fields { start: 2_900_016, period: 144, report: 1, risk: 2, onset: -3 };

    fn text(schema: Schema, fields: Fields) -> String {
        serde_json::to_string(&Entry::new(schema, &vec![0; schema.key_len()], &fields)).unwrap()
    }

    #[test]
    fn each_schema_shows_its_own_fields_and_no_others() {
        let head = "{\"key\":\"AAAAAAAAAAAAAAAAAAAAAA==\",\"rollingStartNumber\":2900016,\
                    \"rollingPeriod\":144,\"reportType\":1,";
        assert_eq!(text(Schema::GaenMinimal, FIELDS), format!("{head}\"riskClass\":2}}"));
        assert_eq!(
            text(Schema::GaenFull, FIELDS),
            format!("{head}\"transmissionRisk\":2,\"daysSinceOnset\":-3}}")
        );
        assert_eq!(
            text(Schema::GaenFull, Fields { onset: ONSET_NONE, ..FIELDS }),
            format!("{head}\"transmissionRisk\":2,\"daysSinceOnset\":null}}")
        );
        assert!(text(Schema::Dp3t, FIELDS).ends_with("\"reportType\":1}"));
    }

    #[test]
    fn keys_are_written_in_order_and_replace_what_was_there() {
        let schema = Schema::GaenMinimal;
        let mut entries = Vec::new();
        for key in [1, 9] {
            schema.public_entry(&[key; 16], &schema.coarsen(FIELDS), &mut entries);
        }
        let set = LiveSet::new(schema, 1, 0, entries).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, "old").unwrap();
        write_keys(&path, &set).unwrap();
        let lines: Vec<String> = fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(&STANDARD.encode([1; 16])) && lines[1].contains(&STANDARD.encode([9; 16])));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(write_keys(&dir.path().join("none/keys"), &set).is_err());
    }
}
