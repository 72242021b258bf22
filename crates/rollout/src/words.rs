//! The sentences in which a rollout explains itself.

use crate::evidence::betting::{Tolerance, Window as Counts};
use crate::judge::Finding;
use crate::judge::settings::{MetricKind, Quantile};
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
    let counts = finding.totals.since(&finding.since.totals);
    let verb = match finding.kind {
        MetricKind::Errors | MetricKind::ErrorsMax => "failed",
        MetricKind::ClientErrors => "refused",
        MetricKind::Abandoned => "lost the clients of",
        MetricKind::Latency(quantile) => return slowness(names, finding, quantile, &counts),
    };
    format!(
        "{} {verb} {} of its requests ({} of {}), {} {} in the same {}; {} was tolerated",
        names.canary,
        percent(counts.canary_rate()),
        count(counts.canary_bad),
        count(counts.canary),
        names.baseline,
        percent(counts.baseline_rate()),
        period(now.saturating_sub(finding.since.at).max(1)),
        percent(tolerance.tolerated(counts.baseline_rate())),
    )
}

/// The comparison of a quantile: "5.2 % of v2's requests (104 of 2,000) took longer than 375 ms, 1 % of v1's longer than 250
/// ms: its p99 is more than 50 % worse".
fn slowness(names: Names<'_>, finding: &Finding, quantile: Quantile, counts: &Counts) -> String {
    let (longer, than, margin) = match finding.bounds {
        Some(bounds) => (
            format!("took longer than {}", milliseconds(bounds.canary)),
            format!(" longer than {}", milliseconds(bounds.baseline)),
            percent(bounds.margin),
        ),
        None => ("were slow".to_owned(), String::new(), String::new()),
    };
    let worse = match &*margin {
        "" => "worse than tolerated".to_owned(),
        margin => format!("more than {margin} worse"),
    };
    format!(
        "{} of {}'s requests ({} of {}) {longer}, {} of {}'s{than}: its {} is {worse}",
        percent(counts.canary_rate()),
        names.canary,
        count(counts.canary_bad),
        count(counts.canary),
        percent(counts.baseline_rate()),
        names.baseline,
        quantile.as_str(),
    )
}

/// The counts of a step on which a proof rests: "v2 failed 0.1 % of its requests (1 of 1,204), v1 0.4 % in the same step".
pub fn step(names: Names<'_>, finding: &Finding) -> String {
    let counts = finding.step;
    format!(
        "{} failed {} of its requests ({} of {}), {} {} in the same step",
        names.canary,
        percent(counts.canary_rate()),
        count(counts.canary_bad),
        count(counts.canary),
        names.baseline,
        percent(counts.baseline_rate()),
    )
}

/// The allowance for clients of the baseline that differ: a part of a sentence.
pub fn cohort(baseline: &str, allowance: f64) -> String {
    format!(
        "clients of {baseline} differ so much that a group of this size may be {} worse by chance; that is allowed for",
        percent(allowance)
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

/// A number as an estimate, with two digits that tell something: 912.3 is 920.
pub fn estimate(number: f64) -> String {
    let mut unit = 1.0;
    while number / unit >= 100.0 && unit < 1e12 {
        unit *= 10.0;
    }
    count((number / unit).ceil() * unit)
}

/// Milliseconds, with as many digits as tell something.
pub fn milliseconds(ms: f64) -> String {
    let digits = match ms {
        ms if ms >= 10.0 => 0,
        ms if ms >= 1.0 => 1,
        _ => 2,
    };
    match digits {
        0 => format!("{} ms", count(ms)),
        digits => format!("{ms:.digits$} ms"),
    }
}

/// A stretch of seconds in a sentence: "45 seconds", "12 minutes", "3 hours".
pub fn period(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..=90 => (seconds, "second"),
        91..5400 => ((seconds + 30) / 60, "minute"),
        5400..172_800 => ((seconds + 1800) / 3600, "hour"),
        _ => ((seconds + 43_200) / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

/// Things in a sentence: "a", "a and b", "a, b and c".
pub fn list(things: &[String]) -> String {
    match things {
        [] => String::new(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
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
    use crate::evidence::metric::Mark;
    use crate::judge::SlowBounds;

    const NAMES: Names<'_> = Names {
        canary: "checkout-v2",
        baseline: "checkout-v1",
    };

    /// A finding since 500 requests of the canary and 10,000 of the baseline, 12 minutes ago.
    fn finding(kind: MetricKind, canary_bad: f64, baseline_bad: f64, bounds: Option<SlowBounds>) -> Finding {
        Finding {
            kind,
            against: 120.0,
            proof: 0.0,
            since: Mark {
                at: 100,
                totals: Counts {
                    canary: 500.0,
                    canary_bad: 1.0,
                    baseline: 10_000.0,
                    baseline_bad: 40.0,
                },
            },
            totals: Counts {
                canary: 2500.0,
                canary_bad: canary_bad + 1.0,
                baseline: 50_000.0,
                baseline_bad: baseline_bad + 40.0,
            },
            step: Counts::default(),
            allowance: 0.0,
            bounds,
        }
    }

    #[test]
    fn comparison_covers_the_stretch_that_speaks_against_the_canary() {
        let tolerance = Tolerance {
            ratio: 1.5,
            plus: 0.005,
        };
        let check = |kind, expected: &str| {
            let finding = finding(kind, 62.0, 160.0, None);
            assert_eq!(comparison(NAMES, &finding, tolerance, 820), expected);
        };
        check(
            MetricKind::Errors,
            "checkout-v2 failed 3.1 % of its requests (62 of 2,000), checkout-v1 0.4 % in the same 12 minutes; 1.1 % was \
             tolerated",
        );
        check(
            MetricKind::ClientErrors,
            "checkout-v2 refused 3.1 % of its requests (62 of 2,000), checkout-v1 0.4 % in the same 12 minutes; 1.1 % was \
             tolerated",
        );
        check(
            MetricKind::Abandoned,
            "checkout-v2 lost the clients of 3.1 % of its requests (62 of 2,000), checkout-v1 0.4 % in the same 12 \
             minutes; 1.1 % was tolerated",
        );
    }

    #[test]
    fn comparison_of_latencies_names_the_bounds() {
        let tolerance = Tolerance {
            ratio: 1.0,
            plus: 0.0,
        };
        let kind = MetricKind::Latency(Quantile::P99);
        let bounds = SlowBounds {
            canary: 375.0,
            baseline: 250.0,
            margin: 0.5,
        };
        assert_eq!(
            comparison(NAMES, &finding(kind, 104.0, 400.0, Some(bounds)), tolerance, 820),
            "5.2 % of checkout-v2's requests (104 of 2,000) took longer than 375 ms, 1 % of checkout-v1's longer than 250 \
             ms: its p99 is more than 50 % worse"
        );
        assert_eq!(
            comparison(NAMES, &finding(kind, 104.0, 400.0, None), tolerance, 820),
            "5.2 % of checkout-v2's requests (104 of 2,000) were slow, 1 % of checkout-v1's: its p99 is worse than \
             tolerated"
        );
    }

    #[test]
    fn proof_has_the_counts_of_its_step() {
        let finding = Finding {
            step: Counts {
                canary: 1204.0,
                canary_bad: 1.0,
                baseline: 22_871.0,
                baseline_bad: 91.0,
            },
            ..finding(MetricKind::Errors, 0.0, 0.0, None)
        };
        assert_eq!(
            step(NAMES, &finding),
            "checkout-v2 failed 0.08 % of its requests (1 of 1,204), checkout-v1 0.4 % in the same step"
        );
    }

    #[test]
    fn sentences_are_for_people() {
        assert_eq!(
            [1, 60, 90, 91, 180, 733, 7200, 200_000].map(period),
            [
                "1 second",
                "60 seconds",
                "90 seconds",
                "2 minutes",
                "3 minutes",
                "12 minutes",
                "2 hours",
                "2 days"
            ]
        );
        assert_eq!(
            [0.0, 7.2, 99.5, 912.3, 4700.0].map(estimate),
            ["0", "8", "100", "920", "4,700"]
        );
        assert_eq!(
            [0.4, 4.04, 84.2, 1204.0].map(milliseconds),
            ["0.40 ms", "4.0 ms", "84 ms", "1,204 ms"]
        );
        let things = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            [list(&things[..1]), list(&things[..2]), list(&things)],
            ["a", "a and b", "a, b and c"]
        );
        assert_eq!(
            cohort("v1", 0.013),
            "clients of v1 differ so much that a group of this size may be 1.3 % worse by chance; that is allowed for"
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
