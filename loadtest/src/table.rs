//! Tables of text: in columns for a terminal, or as Markdown.

/// A table whose first column is text and whose others are numbers; the last may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Table { head: head.iter().map(|text| (*text).to_owned()).collect(), rows: Vec::new() }
    }

    /// One more row; what it lacks is empty.
    pub(crate) fn push(&mut self, mut row: Vec<String>) {
        row.resize(self.head.len(), String::new());
        self.rows.push(row);
    }

    /// As Markdown, with a line break at the end.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let last = self.head.len() - 1;
        let rules: Vec<String> = (0..self.head.len())
            .map(|at| if at == 0 || at == last { "---" } else { "---:" }.to_owned())
            .collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("{}{}{rows}", line(&self.head), line(&rules))
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = || std::iter::once(&self.head).chain(&self.rows);
        let width = |at: usize| all().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        let last = widths.len() - 1;
        for (line, row) in all().enumerate() {
            let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| match at {
                0 => format!("{cell:<width$}"),
                at if at == last => cell.clone(),
                _ => format!("{cell:>width$}"),
            });
            let text = cells.collect::<Vec<_>>().join("  ");
            write!(f, "{}{}", if line == 0 { "" } else { "\n" }, text.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["name", "µs", "note"]);
        table.push(vec!["echo".to_owned(), "7".to_owned()]);
        table.push(vec!["tekd-1M".to_owned(), "1234".to_owned(), "slow".to_owned()]);
        assert_eq!(table.to_string(), "name       µs  note\necho        7\ntekd-1M  1234  slow");
        assert_eq!(
            table.markdown(),
            "| name | µs | note |\n| --- | ---: | --- |\n| echo | 7 |  |\n| tekd-1M | 1234 | slow |\n"
        );
    }
}
