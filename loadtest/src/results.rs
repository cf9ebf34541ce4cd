//! A comparison kept: a page, its numbers and its chart, named by the moment it began.

use std::path::{Path, PathBuf};

use crate::chart::svg;
use crate::comparison::Comparison;

/// Why results are not kept.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; the results are above and nowhere else", path.display())]
pub struct ResultsError {
    path: PathBuf,
    source: std::io::Error,
}

/// Writes `NAME-TIME.md`, `.json` and `.svg` into `dir`, made if it is not there; returns the page.
///
/// # Errors
/// [`ResultsError`].
pub fn keep(dir: &Path, name: &str, comparison: &Comparison) -> Result<PathBuf, ResultsError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ResultsError { path, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let moment: String = comparison.date.chars().filter(|c| !":Z".contains(*c)).collect();
    let [page, numbers, chart] = ["md", "json", "svg"].map(|end| format!("{name}-{moment}.{end}"));
    let json = serde_json::to_string_pretty(comparison).expect("numbers and text are JSON");
    let contents =
        [(&chart, svg(&comparison.panels())), (&numbers, json + "\n"), (&page, comparison.markdown(&chart))];
    for (file, content) in contents {
        let path = dir.join(file);
        std::fs::write(&path, content).map_err(failed(&path))?;
    }
    Ok(dir.join(page))
}
