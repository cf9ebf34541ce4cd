//! Documents as lines for people: an object as aligned names and values, a list as a table.

use serde_json::{Map, Value};

/// Columns that come first in a table, in this order; the others follow by name.
const FIRST_COLUMNS: [&str; 22] = [
    "code",
    "report",
    "batch",
    "set",
    "serial",
    "provider",
    "name",
    "standing",
    "seq",
    "time",
    "received",
    "state",
    "added",
    "reports",
    "keys",
    "live",
    "withdrawn",
    "expired",
    "count",
    "codes",
    "spent",
    "outstanding",
];

/// A document as lines, without a last newline.
pub(crate) fn lines(document: &Value) -> String {
    match document {
        Value::Object(fields) => block(fields),
        Value::Array(rows) if rows.iter().all(Value::is_object) => table(rows),
        other => scalar(other),
    }
}

/// Counts by reason in a phrase: `3 expired, 1 period`; empty if there are none.
pub(crate) fn counts(counts: &Value) -> String {
    let fields = counts.as_object().into_iter().flatten();
    fields.map(|(reason, n)| format!("{n} {reason}")).collect::<Vec<_>>().join(", ")
}

/// So many of something: `1 report`, `2 reports`.
pub(crate) fn counted(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// So many of something, by a field of a document.
pub(crate) fn counted_in(document: &Value, name: &str, one: &str) -> String {
    counted(document[name].as_u64().unwrap_or_default(), one)
}

/// Reports with their keys, how many of those are live, and changes of type, by the fields of a document.
pub(crate) fn reports_in(document: &Value) -> String {
    let (reports, keys) = (counted_in(document, "reports", "report"), counted_in(document, "keys", "key"));
    let changes = match document["changes"].as_u64() {
        None | Some(0) => String::new(),
        Some(n) => format!(", and {} of report type", counted(n, "change")),
    };
    let returning = match document["returning"].as_u64() {
        None | Some(0) => String::new(),
        Some(n) => format!(" ({} of negative reports would be public again)", counted(n, "key")),
    };
    format!("{reports} with {keys}, {} of them live{changes}{returning}", scalar(&document["live"]))
}

/// A value in one cell.
pub(crate) fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(scalar).collect::<Vec<_>>().join(", "),
        Value::Object(fields) if fields.is_empty() => "none".to_owned(),
        Value::Object(fields) => {
            fields.iter().map(|(k, v)| format!("{k}: {}", scalar(v))).collect::<Vec<_>>().join(", ")
        }
    }
}

fn block(fields: &Map<String, Value>) -> String {
    let (mut flat, mut tables) = (Vec::new(), Vec::new());
    flatten("", fields, &mut flat, &mut tables);
    let width = flat.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut lines: Vec<String> = flat.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    for (name, rows) in tables {
        lines.push(format!("{name}:"));
        lines.extend(table(rows).lines().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

/// Objects in objects become names with dots; lists of objects become tables below.
fn flatten<'v>(
    prefix: &str,
    fields: &'v Map<String, Value>,
    flat: &mut Vec<(String, String)>,
    tables: &mut Vec<(String, &'v [Value])>,
) {
    for (name, value) in fields {
        let name = format!("{prefix}{name}");
        match value {
            Value::Object(inner) if !inner.is_empty() => flatten(&format!("{name}."), inner, flat, tables),
            Value::Array(rows) if !rows.is_empty() && rows.iter().all(Value::is_object) => {
                tables.push((name, rows));
            }
            other => flat.push((name, scalar(other))),
        }
    }
}

fn table(rows: &[Value]) -> String {
    if rows.is_empty() {
        return "none".to_owned();
    }
    let mut columns: Vec<&str> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    let rank = |name: &str| FIRST_COLUMNS.iter().position(|first| *first == name);
    columns.sort_by_key(|name| (rank(name).unwrap_or(FIRST_COLUMNS.len()), *name));
    let mut cells: Vec<Vec<String>> = vec![columns.iter().map(|name| (*name).to_owned()).collect()];
    cells.extend(rows.iter().map(|row| columns.iter().map(|name| scalar(&row[*name])).collect()));
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_names_and_values_in_columns() {
        let document = json!({ "pid": 7, "journal": { "seq": 3 }, "draining": false, "sets": [] });
        assert_eq!(lines(&document), "draining     no\njournal.seq  3\npid          7\nsets         none");
    }

    #[test]
    fn a_list_is_a_table_with_the_set_first() {
        let document = json!([{ "live": 12, "set": 1 }, { "live": 3, "set": 20, "root": null }]);
        assert_eq!(lines(&document), "set  live  root\n1    12    -\n20   3     -");
        assert_eq!(lines(&json!([])), "none");
    }

    #[test]
    fn a_list_inside_an_object_is_a_table_below_it() {
        let document = json!({ "role": "origin", "sets": [{ "set": 1, "live": 5 }] });
        assert_eq!(lines(&document), "role  origin\nsets:\n  set  live\n  1    5");
    }

    #[test]
    fn counts_are_a_phrase() {
        assert_eq!(counts(&json!({ "expired": 3, "period": 1 })), "3 expired, 1 period");
        assert_eq!(counts(&json!({})), "");
    }
}
