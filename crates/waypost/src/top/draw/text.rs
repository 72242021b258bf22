//! Texts of a frame: cut to a width, numbers and ages as people read them, sparklines and bars.

use ratatui::text::Span;
use waypost_admin::command::ArmView;

use crate::output::plain;

/// The heights of a sparkline.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The fillings of a bar, one for each arm, told apart without colour.
pub(in crate::top) const FILLINGS: [char; 5] = ['█', '░', '▓', '▒', '▪'];
/// The mark of a text that was cut.
const ELLIPSIS: char = '…';

/// The columns that a text takes.
pub(in crate::top) fn width(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len(),
        false => Span::raw(text).width(),
    }
}

/// The text without characters that a terminal would obey, in `columns` at most; an ellipsis says that it was cut.
pub(in crate::top) fn cut(text: &str, columns: usize) -> String {
    let text = plain(text);
    if width(&text) <= columns {
        return text;
    }
    let (mut kept, mut used) = (String::new(), 0);
    for char in text.chars() {
        let wide = width(char.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        kept.push(char);
    }
    if columns > 0 {
        kept.push(ELLIPSIS);
    }
    kept
}

/// The text in exactly so many columns, at their left.
pub(in crate::top) fn left(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let gap = columns.saturating_sub(width(&text));
    format!("{text}{:gap$}", "")
}

/// The text in exactly so many columns, at their right.
pub(in crate::top) fn right(text: &str, columns: usize) -> String {
    let text = cut(text, columns);
    let gap = columns.saturating_sub(width(&text));
    format!("{:gap$}{text}", "")
}

/// The text in lines of so many columns at most, broken between words where that is possible.
pub(in crate::top) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in plain(text).split_whitespace() {
        let mut word = word.to_owned();
        while let Some(line) = lines.last_mut() {
            let gap = usize::from(!line.is_empty());
            if width(line) + gap + width(&word) <= columns {
                line.push_str(&" ".repeat(gap));
                line.push_str(&word);
                break;
            }
            if line.is_empty() {
                // A word that is longer than a line.
                let end = word
                    .char_indices()
                    .find(|(at, char)| width(&word[..at + char.len_utf8()]) > columns)
                    .map_or(word.len(), |(at, char)| at.max(char.len_utf8()));
                let rest = word.split_off(end);
                *line = word;
                word = rest;
                if word.is_empty() {
                    break;
                }
            }
            lines.push(String::new());
        }
    }
    lines
}

/// The same in so many lines at most; the last one is cut.
pub(in crate::top) fn wrap_to(text: &str, columns: usize, most: usize) -> Vec<String> {
    let mut lines = wrap(text, columns);
    if lines.len() > most {
        let rest = lines.split_off(most.saturating_sub(1)).join(" ");
        lines.push(cut(&rest, columns));
    }
    lines
}

/// Requests in a second.
pub(in crate::top) fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        rate if rate < 9.95 => format!("{rate:.1}"),
        rate if rate < 9_999.5 => format!("{rate:.0}"),
        rate if rate < 999_500.0 => format!("{:.1}k", rate / 1000.0),
        rate => format!("{:.1}M", rate / 1_000_000.0),
    }
}

/// A share of 1 in percent.
pub(in crate::top) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "<0.01 %".to_owned(),
        percent if percent < 0.995 => format!("{percent:.2} %"),
        percent if percent < 99.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// A duration in milliseconds.
pub(in crate::top) fn ms(ms: Option<f64>) -> String {
    match ms {
        None => "-".to_owned(),
        Some(ms) if ms < 9.995 => format!("{ms:.2} ms"),
        Some(ms) if ms < 99.95 => format!("{ms:.1} ms"),
        Some(ms) if ms < 9_999.5 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1000.0),
    }
}

/// The time since something, in seconds.
pub(in crate::top) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A chart of so many lines, the upper first: a column for each value, with nothing where nothing is known. `top` is the
/// value of the full height. A chart of one line is a sparkline.
pub(in crate::top) fn chart(values: &[Option<f64>], top: f64, lines: usize) -> Vec<String> {
    let steps = (lines * HEIGHTS.len()) as f64;
    let heights: Vec<Option<usize>> = values
        .iter()
        .map(|value| {
            value.map(|value| match value > 0.0 {
                false => 1,
                // Little is more than nothing.
                true => ((value / top.max(f64::MIN_POSITIVE) * steps).round() as usize).max(2),
            })
        })
        .collect();
    (0..lines)
        .map(|line| {
            let below = (lines - 1 - line) * HEIGHTS.len();
            let column =
                |height: &Option<usize>| match height.map_or(0, |height| height.saturating_sub(below)) {
                    0 => ' ',
                    height => HEIGHTS[height.min(HEIGHTS.len()) - 1],
                };
            heights.iter().map(column).collect()
        })
        .collect()
}

/// The largest of the values.
pub(in crate::top) fn highest(values: &[Option<f64>]) -> f64 {
    values.iter().flatten().copied().fold(0.0, f64::max)
}

/// The columns of each arm in a bar: in proportion to its live weight, with one at least for each that gets requests.
pub(in crate::top) fn bar(arms: &[ArmView], columns: usize) -> Vec<usize> {
    let sum: u128 = arms.iter().map(|arm| u128::from(arm.live)).sum();
    if sum == 0 {
        return vec![0; arms.len()];
    }
    let mut widths: Vec<usize> = arms
        .iter()
        .map(|arm| match arm.live {
            0 => 0,
            live => ((live as f64 / sum as f64 * columns as f64).round() as usize).max(1),
        })
        .collect();
    loop {
        let used: usize = widths.iter().sum();
        let widest = (0..widths.len()).max_by_key(|at| widths[*at]);
        let Some(widest) = widest.filter(|_| used != columns) else {
            return widths;
        };
        match used > columns {
            true if widths[widest] <= 1 => return widths,
            true => widths[widest] -= 1,
            false => widths[widest] += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_hostile_texts_are_cut_and_harmless() {
        let check =
            |text: &str, columns, expected: &str| assert_eq!(cut(text, columns), expected, "{text:?}");
        check("users", 5, "users");
        check("users", 4, "use…");
        check("users", 1, "…");
        check("users", 0, "");
        check("\u{1b}[2Jusers", 20, "\\u{1b}[2Jusers");
        check("a\u{202e}b", 20, "a\\u{202e}b");
        check("表表表", 5, "表表…");
        check("表表表", 4, "表…");
        assert_eq!(
            (left("a", 3), right("abcd", 3)),
            ("a  ".to_owned(), "ab…".to_owned())
        );
    }

    #[test]
    fn texts_are_broken_between_words() {
        let check =
            |text: &str, columns, expected: &[&str]| assert_eq!(wrap(text, columns), expected, "{text}");
        check("one two three", 7, &["one two", "three"]);
        check("one", 80, &["one"]);
        check("", 80, &[""]);
        check("abcdefgh ij", 3, &["abc", "def", "gh", "ij"]);
        assert_eq!(wrap_to("one two three four", 7, 2), ["one two", "three …"]);
    }

    #[test]
    fn numbers_are_short() {
        let check = |text: String, expected: &str| assert_eq!(text, expected);
        check(rate(0.0), "0");
        check(rate(0.25), "0.2");
        check(rate(97.3), "97");
        check(rate(12_345.0), "12.3k");
        check(percent(0.0), "0 %");
        check(percent(0.00001), "<0.01 %");
        check(percent(0.0004), "0.04 %");
        check(percent(0.213), "21.3 %");
        check(percent(1.0), "100 %");
        check(ms(None), "-");
        check(ms(Some(1.234)), "1.23 ms");
        check(ms(Some(12.34)), "12.3 ms");
        check(ms(Some(12_340.0)), "12.3 s");
        check(age(59), "59 s");
        check(age(7_300), "2 h");
        check(age(500_000), "5 d");
    }

    #[test]
    fn little_is_more_than_nothing() {
        let values = [None, Some(0.0), Some(0.01), Some(5.0), Some(10.0)];
        assert_eq!(chart(&values, highest(&values), 1), [" ▁▂▄█"]);
        assert_eq!(chart(&values, highest(&values), 2), ["    █", " ▁▂██"]);
    }

    #[test]
    fn bars_show_every_arm_that_gets_requests() {
        let check = |weights: &[u64], expected: &[usize]| {
            let arms: Vec<ArmView> = weights
                .iter()
                .map(|live| ArmView {
                    service: "a".to_owned(),
                    declared: 1,
                    live: *live,
                })
                .collect();
            assert_eq!(bar(&arms, 10), expected, "{weights:?}");
        };
        check(&[95, 5], &[9, 1]);
        check(&[100, 0], &[10, 0]);
        check(&[1, 9_999], &[1, 9]);
        check(&[1, 1, 1], &[3, 3, 4]);
        check(&[0, 0], &[0, 0]);
        check(&[], &[]);
    }
}
