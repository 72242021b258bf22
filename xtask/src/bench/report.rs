//! The report, as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::scenario::Unit;
use crate::bench::statistics::Spread;
use crate::command;

/// Marker in front of the report in a file with other text.
const BEGINS: &str = "<!-- From here on, this is written by `cargo xtask bench`. -->";

/// A report; each section is also printed to standard output.
pub(crate) struct Report {
    text: String,
    out: Option<std::path::PathBuf>,
    missed: Vec<String>,
    failed: Vec<String>,
}

/// Results of one scenario.
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    missed: Vec<String>,
}

/// Results of a contender.
pub(crate) struct Row {
    pub(crate) label: &'static str,
    pub(crate) cpu_us: Spread,
    pub(crate) rate: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) peak_mib: f64,
    /// CPU time of Waypost as a fraction of this contender's, per turn.
    pub(crate) ratio: Option<Spread>,
    pub(crate) target: Option<f64>,
}

impl Section {
    /// Adds a section with any columns; `missed` lists the missed targets.
    pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, missed: Vec<String>) -> Self {
        Self {
            name: "",
            title: "",
            header: header.iter().map(|column| (*column).to_owned()).collect(),
            rows,
            missed,
        }
    }

    /// Adds a comparison of CPU time.
    pub(crate) fn compared(unit: Unit, rows: &[Row]) -> Self {
        let cpu = format!("CPU µs/{}", unit.name());
        let rate = format!("{}s/s", unit.name());
        let header = [
            "",
            &cpu,
            &rate,
            "p50 ms",
            "p99 ms",
            "peak MiB",
            "Waypost uses",
            "target",
        ];
        let mut missed = Vec::new();
        let cells = rows.iter().map(|row| {
            if let (Some(ratio), Some(most)) = (row.ratio, row.target)
                && ratio.median > most
            {
                missed.push(format!(
                    "{:.2} of {} instead of {most:.2}",
                    ratio.median, row.label
                ));
            }
            vec![
                row.label.to_owned(),
                spread(row.cpu_us, 1),
                format!("{:.0}", row.rate),
                format!("{:.2}", row.p50_us / 1000.0),
                format!("{:.2}", row.p99_us / 1000.0),
                format!("{:.0}", row.peak_mib),
                row.ratio.map_or_else(String::new, |ratio| spread(ratio, 2)),
                row.target.map_or_else(String::new, |most| format!("≤ {most:.2}")),
            ]
        });
        let cells = cells.collect();
        Self::table(&header, cells, missed)
    }
}

/// `median (min–max)`.
pub(crate) fn spread(spread: Spread, digits: usize) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

impl Report {
    pub(crate) fn begin(options: &Options, machine: &Machine) -> Result<Self> {
        let kernel = command::output(Command::new("uname").arg("-sr"))?;
        let commit = command::output(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
        let processor = fs::read_to_string("/proc/cpuinfo")?;
        let model = processor
            .lines()
            .find_map(|line| line.strip_prefix("model name\t: "));
        let mut report = Self {
            text: String::new(),
            out: options.out.clone(),
            missed: Vec::new(),
            failed: Vec::new(),
        };
        let mut text = format!(
            "Commit {}; {}; {} {}; {} rounds of {} s.\n\n",
            commit.trim(),
            kernel.trim(),
            std::thread::available_parallelism()?,
            model.unwrap_or("cores"),
            options.rounds(),
            options.seconds(),
        );
        for version in machine.versions()? {
            let _ = writeln!(text, "- {version}");
        }
        report.say(&text);
        Ok(report)
    }

    pub(crate) fn add(&mut self, section: Section) -> Result<()> {
        let mut text = format!("\n## {}: {}\n\n", section.name, section.title);
        let rule = section.header.iter().map(|_| "---".to_owned()).collect();
        for cells in [section.header, rule].into_iter().chain(section.rows) {
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        for missed in &section.missed {
            let _ = write!(text, "\nMissed: {missed}.\n");
            self.missed.push(format!("{}: {missed}", section.name));
        }
        self.say(&text);
        self.write()
    }

    /// Adds a scenario that failed.
    pub(crate) fn add_failure(&mut self, name: &str, why: &str) -> Result<()> {
        self.failed.push(name.to_owned());
        self.say(&format!("\n## {name}\n\nFailed: {why}.\n"));
        self.write()
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        let text = if self.missed.is_empty() {
            "\nAll targets are met.\n".to_owned()
        } else {
            format!("\n## Missed targets\n\n- {}\n", self.missed.join("\n- "))
        };
        self.say(&text);
        self.write()?;
        ensure!(self.failed.is_empty(), "failed: {}", self.failed.join(", "));
        Ok(())
    }

    fn say(&mut self, text: &str) {
        print!("{text}");
        self.text.push_str(text);
    }

    /// Writes the report to its file, and keeps the text before [`BEGINS`].
    fn write(&self) -> Result<()> {
        if let Some(out) = &self.out {
            let before = match fs::read_to_string(out) {
                Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
                before => before.with_context(|| format!("could not read {}", out.display()))?,
            };
            let text = match before.split_once(BEGINS) {
                Some((kept, _)) => format!("{kept}{BEGINS}\n\n{}", self.text),
                None => self.text.clone(),
            };
            fs::write(out, text)?;
        }
        Ok(())
    }
}
