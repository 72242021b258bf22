//! The sentences in which a rollout explains itself.

use crate::evidence::betting::Tolerance;
use crate::judge::Finding;
use crate::judge::settings::MetricKind;
use crate::ramp::Opening;
use crate::ramp::window::Window;

/// The names of the arms that are compared.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The canary.
    pub canary: &'a str,
    /// The baseline.
    pub baseline: &'a str,
}

/// The comparison on which a verdict rests: "v2 failed 3.1 % of its requests (62 of 2,000), v1 0.4 % in the same 12
/// minutes; 1.1 % was tolerated". `now` is in seconds since the rollout began.
pub fn comparison(names: Names<'_>, finding: &Finding, tolerance: Tolerance, now: u64) -> String {
    let counts = finding.totals;
    let before = finding.since.totals;
    let canary = counts.canary - before.canary;
    let canary_bad = counts.canary_bad - before.canary_bad;
    let baseline = counts.baseline - before.baseline;
    let baseline_bad = counts.baseline_bad - before.baseline_bad;
    let verb = match finding.kind {
        MetricKind::Errors | MetricKind::ErrorsMax => "failed",
        MetricKind::ClientErrors => "refused",
        MetricKind::Abandoned => "lost the clients of",
        MetricKind::Latency(_) => "was slow for",
    };
    let rate = |bad: f64, all: f64| if all > 0.0 { bad / all } else { 0.0 };
    let theirs = rate(baseline_bad, baseline);
    let tolerated = (tolerance.ratio * theirs + tolerance.plus).min(1.0);
    format!(
        "{} {verb} {} of its requests ({} of {}), {} {} in the same {}; {} was tolerated",
        names.canary,
        percent(rate(canary_bad, canary)),
        count(canary_bad),
        count(canary),
        names.baseline,
        percent(theirs),
        duration(now.saturating_sub(finding.since.at).max(1)),
        percent(tolerated),
    )
}

/// The chance that luck alone gives this evidence: "1 of 100", rounded down to 1, 2 or 5 and zeros.
pub fn luck(evidence: f64) -> String {
    let mut rounded = 1.0;
    for step in [2.0, 2.5, 2.0].iter().cycle() {
        if rounded * step > evidence || rounded >= 1e12 {
            break;
        }
        rounded *= step;
    }
    format!("1 of {}", count(rounded))
}

/// The wait for a window: "waits for Mon 09:00-17:00 Europe/Berlin, opens in 14h5m (Mon 2026-11-30 09:00 +01:00)".
pub fn opening(window: &Window, opening: Opening) -> String {
    format!(
        "waits for {window}, opens in {} ({})",
        duration(opening.wait),
        window.clock(opening.at)
    )
}

/// A share as a percentage, with as many digits as tell something.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = match percent {
        percent if percent >= 10.0 || percent == 0.0 => 0,
        percent if percent >= 1.0 => 1,
        percent if percent >= 0.01 => 2,
        _ => 4,
    };
    let text = format!("{percent:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text} %")
}

/// A whole number, with commas.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in seconds: `45s`, `12m`, `4m10s`, `2h5m`.
pub fn duration(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::betting::Window;
    use crate::evidence::metric::Mark;

    #[test]
    fn comparison_covers_the_stretch_that_speaks_against_the_canary() {
        let finding = Finding {
            kind: MetricKind::Errors,
            against: 120.0,
            proof: 0.0,
            since: Mark {
                at: 100,
                totals: Window {
                    canary: 500.0,
                    canary_bad: 1.0,
                    baseline: 10_000.0,
                    baseline_bad: 40.0,
                },
            },
            totals: Window {
                canary: 2500.0,
                canary_bad: 63.0,
                baseline: 50_000.0,
                baseline_bad: 200.0,
            },
        };
        let names = Names {
            canary: "checkout-v2",
            baseline: "checkout-v1",
        };
        let tolerance = Tolerance {
            ratio: 1.5,
            plus: 0.005,
        };
        assert_eq!(
            comparison(names, &finding, tolerance, 820),
            "checkout-v2 failed 3.1 % of its requests (62 of 2,000), checkout-v1 0.4 % in the same 12m; 1.1 % was \
             tolerated"
        );
    }

    #[test]
    fn luck_is_rounded_down() {
        for (evidence, text) in [
            (1.0, "1 of 1"),
            (19.9, "1 of 10"),
            (20.0, "1 of 20"),
            (99.0, "1 of 50"),
            (345.9, "1 of 200"),
            (12_345.0, "1 of 10,000"),
        ] {
            assert_eq!(luck(evidence), text, "{evidence}");
        }
    }

    #[test]
    fn numbers_are_short() {
        let percents = [0.0, 0.00001, 0.0043, 0.031, 0.5, 1.0].map(percent);
        assert_eq!(percents, ["0 %", "0.001 %", "0.43 %", "3.1 %", "50 %", "100 %"]);
        assert_eq!(
            [0.0, 999.0, 1204.0, 22_871.0, 1e6].map(count),
            ["0", "999", "1,204", "22,871", "1,000,000"]
        );
        assert_eq!(
            [0, 45, 250, 720, 7500, 7200].map(duration),
            ["0s", "45s", "4m10s", "12m", "2h5m", "2h"]
        );
    }
}
