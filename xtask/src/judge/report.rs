//! The report: Markdown, to standard output and into a file.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use waypost_rollout::words;

use crate::judge::rollouts::Outcome;

/// The place in a file after which the report stands.
const BEGINS: &str = "<!-- From here on, this is written by `cargo xtask judge`. -->";

/// A report; each table is also printed to standard output.
#[derive(Debug)]
pub(crate) struct Report {
    text: String,
    out: Option<PathBuf>,
}

impl Report {
    /// An empty report, to be written to `out` in the end.
    pub(crate) fn new(out: Option<PathBuf>) -> Self {
        Self {
            text: String::new(),
            out,
        }
    }

    /// Begins a table, after a paragraph.
    pub(crate) fn table(&mut self, title: &str, paragraph: &str, columns: &[&str]) {
        self.line(&format!("## {title}\n\n{paragraph}\n"));
        self.row(columns);
        self.row(&vec!["---"; columns.len()]);
    }

    /// Adds a row to the table.
    pub(crate) fn row(&mut self, cells: &[impl AsRef<str>]) {
        let mut line = "|".to_owned();
        for cell in cells {
            // Writing to a string does not fail.
            let _ = write!(line, " {} |", cell.as_ref());
        }
        self.line(&line);
    }

    /// Ends a table or paragraph.
    pub(crate) fn end(&mut self) {
        self.line("");
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Writes the file, if there is one; where it marks its place, the text in front of that stays.
    pub(crate) fn finish(&self) -> Result<()> {
        let Some(out) = &self.out else {
            return Ok(());
        };
        let before = fs::read_to_string(out).with_context(|| format!("could not read {}", out.display()))?;
        let kept = before.split_once(BEGINS).map_or(&*before, |(kept, _)| kept);
        let text = format!("{}\n\n{BEGINS}\n\n{}\n", kept.trim_end(), self.text.trim_end());
        fs::write(out, text).with_context(|| format!("could not write {}", out.display()))
    }
}

/// A figure with that of the reference, if there is one.
pub(crate) fn beside(found: &str, reference: &str) -> String {
    match reference {
        "" => found.to_owned(),
        _ => format!("**{found}** ({reference})"),
    }
}

/// A share of `count`, as a percentage.
pub(crate) fn percentage(part: usize, count: usize) -> String {
    if part == 0 {
        return "0".to_owned();
    }
    let percentage = 100.0 * part as f64 / count as f64;
    match percentage {
        100.0 => "100 %".to_owned(),
        10.0.. => format!("{percentage:.0} %"),
        1.0.. => format!("{percentage:.1} %"),
        _ => format!("{percentage:.2} %"),
    }
}

/// The median and the 95th percentile of numbers of which some are missing, as those of rollouts that ended otherwise;
/// a missing number is greater than all others.
pub(crate) fn quantiles(values: &[Option<f64>]) -> [Option<f64>; 2] {
    let mut values: Vec<f64> = values
        .iter()
        .map(|value| value.unwrap_or(f64::INFINITY))
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    [0.5, 0.95].map(|quantile| {
        let at = (quantile * values.len() as f64).ceil() as usize;
        let value = values.get(at.saturating_sub(1)).copied();
        value.filter(|value| value.is_finite())
    })
}

/// Both quantiles, as text.
pub(crate) fn quantiles_text(values: &[Option<f64>]) -> String {
    let [median, high] = quantiles(values).map(|value| match value {
        Some(value) => words::count(value),
        None => "–".to_owned(),
    });
    if median == "–" {
        return median;
    }
    format!("{median}/{high}")
}

/// The number of outcomes that `is_counted`.
pub(crate) fn count(outcomes: &[Outcome], is_counted: impl Fn(&Outcome) -> bool) -> usize {
    outcomes.iter().filter(|outcome| is_counted(outcome)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_people_do() {
        assert_eq!(percentage(0, 10), "0");
        assert_eq!(percentage(1, 300), "0.33 %");
        assert_eq!(percentage(10, 10), "100 %");
        assert_eq!(words::count(1_234_567.2), "1,234,567");
        assert_eq!(words::count(999.0), "999");
        let values = [Some(3.0), Some(1.0), None, Some(2.0)];
        assert_eq!(quantiles(&values), [Some(2.0), None]);
        assert_eq!(quantiles_text(&values), "2/–");
    }
}
