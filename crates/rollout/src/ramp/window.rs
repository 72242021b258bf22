//! Windows: the hours of the week in which steps upward are taken, by the clocks of a place.
//!
//! A window is open while clocks there show one of its times. So it is shorter on a day on which clocks are put forward
//! over a part of it, and opens twice where they are put back over its beginning.

use std::fmt;

use jiff::civil::{DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Days that are searched for the next opening. Clocks that are put forward can skip it in one week, not in two.
const SEARCHED: i64 = 15;
/// The days as they are written, from Monday on.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A window, such as `Mon-Fri 09:00-17:00 Europe/Berlin`.
#[derive(Clone, PartialEq, Eq)]
pub struct Window {
    text: Box<str>,
    /// The days on which it begins, from Monday on.
    days: [bool; 7],
    /// The minute of the day at which it begins.
    from: u16,
    /// The minute at which it is over: of the next day, unless it comes after `from`.
    to: u16,
    zone: TimeZone,
}

/// A fault in the text of a window, with the part that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WindowError {
    /// It is not made of days, times and a zone.
    Form,
    /// There is no zone.
    NoZone,
    /// This is no day of the week.
    Day(String),
    /// These are not two times of the day.
    Times(String),
    /// It begins when it ends.
    Empty(String),
    /// The database of time zones has no such zone.
    Zone(String),
}

impl Window {
    /// Reads `DAYS HH:MM-HH:MM ZONE`.
    ///
    /// # Errors
    /// If the text is no window.
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let (days, times, zone) = match parts[..] {
            [days, times, zone] => (days, times, Some(zone)),
            [days, times] => (days, times, None),
            _ => return Err(WindowError::Form),
        };
        let days = days_of(days)?;
        let no_times = || WindowError::Times(times.to_owned());
        let (from, to) = times.split_once('-').ok_or_else(no_times)?;
        let from = minute_of(from).filter(|from| *from < DAY).ok_or_else(no_times)?;
        let to = minute_of(to).ok_or_else(no_times)?;
        if from == to {
            return Err(WindowError::Empty(times.to_owned()));
        }
        let zone = zone.ok_or(WindowError::NoZone)?;
        let unknown = |_| WindowError::Zone(zone.to_owned());
        Ok(Self {
            text: parts.join(" ").into(),
            days,
            from,
            to,
            zone: TimeZoneDatabase::bundled().get(zone).map_err(unknown)?,
        })
    }

    /// Returns true if the window is open at this moment.
    pub fn is_open(&self, at: Timestamp) -> bool {
        let clock = self.zone.to_datetime(at);
        let minute = minutes(clock.time());
        let day = usize::from(clock.weekday().to_monday_zero_offset().unsigned_abs());
        let begins = |day: usize| self.days[day % DAYS.len()];
        if self.from < self.to {
            return begins(day) && (self.from..self.to).contains(&minute);
        }
        (begins(day) && minute >= self.from) || (begins(day + DAYS.len() - 1) && minute < self.to)
    }

    /// The next moment, from `at` on, at which the window is open. `None` at the end of time.
    pub fn opening(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_open(at) {
            return Some(at);
        }
        let opens = |moment: &Timestamp| *moment > at && self.is_open(*moment);
        let today = self.zone.to_datetime(at).date();
        let begins = (-1..=SEARCHED).find_map(|day| {
            let date = today.checked_add(day.days()).ok()?;
            let begin = date.at((self.from / 60) as i8, (self.from % 60) as i8, 0, 0);
            self.moments(begin).into_iter().flatten().find(opens)
        });
        // Clocks that jump can jump into it.
        let end = at.checked_add((SEARCHED * 24).hours()).ok()?;
        let mut jumps = self.zone.following(at).map(|jump| jump.timestamp());
        let jump = jumps.by_ref().take_while(|jump| *jump < end).find(opens);
        [begins, jump].into_iter().flatten().min()
    }

    /// The moments at which clocks show this: two where they are put back over it.
    fn moments(&self, clock: DateTime) -> [Option<Timestamp>; 2] {
        let moments = self.zone.to_ambiguous_timestamp(clock);
        [moments.earlier().ok(), moments.later().ok()]
    }

    /// A moment as clocks there show it: `Mon 2026-11-30 09:00 +01:00`.
    pub fn clock(&self, at: Timestamp) -> String {
        let zoned = at.to_zoned(self.zone.clone());
        zoned.strftime("%a %Y-%m-%d %H:%M %:z").to_string()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Window({:?})", self.text)
    }
}

impl WindowError {
    /// A hint at what to write.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Form => "write all of them, in quotes: `\"Mon-Fri 09:00-17:00 Europe/Berlin\"`",
            Self::NoZone => "add it at the end, such as `Europe/Berlin` or `UTC`",
            Self::Day(_) => {
                "the days are `Mon`, `Tue`, `Wed`, `Thu`, `Fri`, `Sat` and `Sun`; write one, a range such as `Mon-Fri`, \
                 or a list such as `Mon,Wed`"
            }
            Self::Times(_) => "write them as `09:00-17:00`, from `00:00` to `24:00`",
            Self::Empty(_) => "write `00:00-24:00` for whole days",
            Self::Zone(_) => "write a name of the time zone database, such as `Europe/Berlin` or `UTC`",
        }
    }
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("a window is made of days, times and a time zone"),
            Self::NoZone => f.write_str("the window has no time zone"),
            Self::Day(day) => write!(f, "`{day}` is no day of the week"),
            Self::Times(times) => write!(f, "`{times}` are not two times of the day"),
            Self::Empty(times) => write!(f, "`{times}` ends when it begins"),
            Self::Zone(zone) => write!(f, "there is no time zone named `{zone}`"),
        }
    }
}

impl std::error::Error for WindowError {}

/// The names of all time zones.
pub fn zones() -> Vec<String> {
    let database = TimeZoneDatabase::bundled();
    database.available().map(|name| name.to_string()).collect()
}

/// Reads days: single ones, ranges, or a list of both.
fn days_of(text: &str) -> Result<[bool; 7], WindowError> {
    let day = |name: &str| {
        let day = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        day.ok_or_else(|| WindowError::Day(name.to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        // `Fri-Mon` goes over the end of the week.
        let count = (last + DAYS.len() - first) % DAYS.len();
        (first..=first + count).for_each(|day| days[day % DAYS.len()] = true);
    }
    Ok(days)
}

/// Reads `HH:MM`, up to `24:00`.
fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60)
        .then_some(hours * 60 + minutes)
        .filter(|minute| *minute <= DAY)
}

/// Minutes of the day.
fn minutes(time: Time) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> Window {
        Window::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Checks at which of the moments, in order, a window is open.
    fn check(text: &str, open: &[&str], closed: &[&str]) {
        let window = window(text);
        assert_eq!(window.to_string(), text);
        for moment in open {
            assert!(window.is_open(at(moment)), "{text} at {moment}");
            assert_eq!(window.opening(at(moment)), Some(at(moment)));
        }
        for moment in closed {
            assert!(!window.is_open(at(moment)), "{text} at {moment}");
        }
    }

    #[test]
    fn window_is_open_at_its_times_on_its_days() {
        // The 30th of November 2026 is a Monday.
        check(
            "Mon-Fri 09:00-17:00 UTC",
            &["2026-11-30T09:00:00Z", "2026-12-04T16:59:59.9Z"],
            &[
                "2026-11-30T08:59:59.9Z",
                "2026-11-30T17:00:00Z",
                "2026-12-05T12:00:00Z",
                "2026-12-06T12:00:00Z",
            ],
        );
        check(
            "Mon-Fri 09:00-17:00 Europe/Berlin",
            &["2026-11-30T08:00:00Z", "2026-07-31T14:59:59Z"],
            &[
                "2026-11-30T07:59:59Z",
                "2026-11-30T16:00:00Z",
                "2026-07-31T15:00:00Z",
            ],
        );
        check(
            "Mon-Fri 09:00-17:00 Pacific/Auckland",
            &["2026-11-29T20:00:00Z", "2026-12-04T03:59:00Z"],
            &[
                "2026-11-29T19:59:59Z",
                "2026-12-04T04:00:00Z",
                "2026-12-04T20:00:00Z",
            ],
        );
        check(
            "Mon,Wed 00:00-24:00 UTC",
            &[
                "2026-11-30T00:00:00Z",
                "2026-11-30T23:59:59Z",
                "2026-12-02T12:00:00Z",
            ],
            &[
                "2026-11-29T23:59:59Z",
                "2026-12-01T00:00:00Z",
                "2026-12-03T00:00:00Z",
            ],
        );
        check(
            "Fri-Mon 09:00-10:00 UTC",
            &[
                "2026-11-27T09:00:00Z",
                "2026-11-29T09:00:00Z",
                "2026-11-30T09:00:00Z",
            ],
            &["2026-11-26T09:00:00Z", "2026-12-01T09:00:00Z"],
        );
        check(
            "Mon-Tue,Fri,Sun 09:00-10:00 UTC",
            &[
                "2026-11-30T09:00:00Z",
                "2026-12-01T09:00:00Z",
                "2026-12-04T09:00:00Z",
                "2026-12-06T09:00:00Z",
            ],
            &[
                "2026-12-02T09:00:00Z",
                "2026-12-03T09:00:00Z",
                "2026-12-05T09:00:00Z",
            ],
        );
        check(
            "Wed-Wed 09:00-10:00 UTC",
            &["2026-12-02T09:00:00Z"],
            &["2026-11-30T09:00:00Z", "2026-12-03T09:00:00Z"],
        );
    }

    #[test]
    fn window_past_midnight_belongs_to_the_day_on_which_it_begins() {
        check(
            "Fri 22:00-04:00 UTC",
            &[
                "2026-11-27T22:00:00Z",
                "2026-11-27T23:59:59Z",
                "2026-11-28T03:59:59Z",
            ],
            &[
                "2026-11-27T03:00:00Z",
                "2026-11-27T21:59:59Z",
                "2026-11-28T04:00:00Z",
                "2026-11-28T22:00:00Z",
            ],
        );
        check(
            "Sun 22:00-04:00 UTC",
            &["2026-11-29T22:00:00Z", "2026-11-30T03:59:59Z"],
            &["2026-11-29T03:00:00Z", "2026-11-30T22:00:00Z"],
        );
        check(
            "Sun 22:00-00:00 UTC",
            &["2026-11-29T22:00:00Z", "2026-11-29T23:59:59Z"],
            &["2026-11-30T00:00:00Z"],
        );
        check(
            "Sun 22:00-24:00 UTC",
            &["2026-11-29T23:59:59Z"],
            &["2026-11-30T00:00:00Z"],
        );
    }

    #[test]
    fn window_goes_by_the_clocks_that_are_put_forward_and_back() {
        // Clocks in Berlin jump from 02:00 to 03:00 at 01:00 UTC.
        check(
            "Sun 02:30-04:00 Europe/Berlin",
            &["2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z"],
            &["2026-03-29T00:59:59Z", "2026-03-29T02:00:00Z"],
        );
        // They go back from 03:00 to 02:00 at 01:00 UTC.
        check(
            "Sun 02:30-04:00 Europe/Berlin",
            &[
                "2026-10-25T00:30:00Z",
                "2026-10-25T00:59:59Z",
                "2026-10-25T01:30:00Z",
            ],
            &[
                "2026-10-25T00:29:59Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:29:59Z",
            ],
        );
    }

    #[test]
    fn next_opening_is_found() {
        for (text, from, opens, clock) in [
            (
                "Mon 09:00-17:00 Europe/Berlin",
                "2026-11-29T17:55:00Z",
                "2026-11-30T08:00:00Z",
                "Mon 2026-11-30 09:00 +01:00",
            ),
            (
                "Mon 09:00-17:00 Europe/Berlin",
                "2026-11-30T16:00:00Z",
                "2026-12-07T08:00:00Z",
                "Mon 2026-12-07 09:00 +01:00",
            ),
            (
                "Mon-Fri 09:00-17:00 America/New_York",
                "2026-07-03T21:00:00Z",
                "2026-07-06T13:00:00Z",
                "Mon 2026-07-06 09:00 -04:00",
            ),
            (
                "Fri 22:00-04:00 UTC",
                "2026-11-28T04:00:00Z",
                "2026-12-04T22:00:00Z",
                "Fri 2026-12-04 22:00 +00:00",
            ),
            (
                "Mon-Sun 00:00-01:00 UTC",
                "2026-12-31T01:00:00Z",
                "2027-01-01T00:00:00Z",
                "Fri 2027-01-01 00:00 +00:00",
            ),
            // Put forward over its beginning: it opens with the jump.
            (
                "Sun 02:30-04:00 Europe/Berlin",
                "2026-03-28T12:00:00Z",
                "2026-03-29T01:00:00Z",
                "Sun 2026-03-29 03:00 +02:00",
            ),
            // Put forward over all of it: it opens a week later.
            (
                "Sun 02:15-02:45 Europe/Berlin",
                "2026-03-23T12:00:00Z",
                "2026-04-05T00:15:00Z",
                "Sun 2026-04-05 02:15 +02:00",
            ),
            // Put back over its beginning, over its end, and over all of it: it opens again.
            (
                "Sun 02:30-04:00 Europe/Berlin",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "Sun 2026-10-25 02:30 +01:00",
            ),
            (
                "Sun 01:00-02:30 Europe/Berlin",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "Sun 2026-10-25 02:00 +01:00",
            ),
            (
                "Sun 02:15-02:45 Europe/Berlin",
                "2026-10-25T00:50:00Z",
                "2026-10-25T01:15:00Z",
                "Sun 2026-10-25 02:15 +01:00",
            ),
            // There was no 30th of December 2011 in Samoa.
            (
                "Fri 09:00-17:00 Pacific/Apia",
                "2011-12-24T12:00:00Z",
                "2012-01-05T19:00:00Z",
                "Fri 2012-01-06 09:00 +14:00",
            ),
        ] {
            let window = window(text);
            let found = window.opening(at(from)).unwrap();
            assert_eq!(found.to_string(), opens, "{text} from {from}");
            assert_eq!(window.clock(found), clock, "{text}");
        }
        assert_eq!(window("Mon 09:00-17:00 UTC").opening(Timestamp::MAX), None);
    }

    /// Every quarter of an hour of some months in which clocks are put forward or back, in zones of either hemisphere.
    #[test]
    fn opening_is_the_first_open_moment() {
        for text in [
            "Mon-Fri 09:00-17:00 Europe/Berlin",
            "Sun 01:30-02:30 Europe/Berlin",
            "Sat-Sun 23:15-01:45 America/Santiago",
            "Sun 02:15-02:45 Australia/Lord_Howe",
            "Wed 22:30-22:15 Africa/Casablanca",
        ] {
            let window = window(text);
            for (begin, days) in [("2026-02-08T00:00:00Z", 65), ("2026-08-30T00:00:00Z", 65)] {
                let moments = (0..days * 96).map(|quarter| at(begin) + (quarter * 15).minutes());
                let mut next = None;
                for moment in moments.rev() {
                    if window.is_open(moment) {
                        next = Some(moment);
                    }
                    if next.is_some() {
                        assert_eq!(window.opening(moment), next, "{text} from {moment}");
                    }
                }
            }
        }
    }

    #[test]
    fn spaces_and_case_do_not_matter() {
        let plain = window("Mon-Fri 09:00-17:00 UTC");
        let spaced = window("  mon-FRI   09:00-17:00  UTC ");
        assert_eq!(spaced.to_string(), "mon-FRI 09:00-17:00 UTC");
        assert_eq!(
            (plain.days, plain.from, plain.to),
            (spaced.days, spaced.from, spaced.to)
        );
    }

    #[test]
    fn faults_are_named() {
        let day = |part: &str| WindowError::Day(part.to_owned());
        let times = |part: &str| WindowError::Times(part.to_owned());
        let empty = |part: &str| WindowError::Empty(part.to_owned());
        let zone = |part: &str| WindowError::Zone(part.to_owned());
        for (text, expected) in [
            ("", WindowError::Form),
            ("Mon-Fri", WindowError::Form),
            ("Mon, Wed 09:00-17:00 UTC", WindowError::Form),
            ("Mon 09:00 - 17:00 UTC", WindowError::Form),
            ("Mon-Fri 09:00-17:00", WindowError::NoZone),
            ("Mo-Fri 09:00-17:00 UTC", day("Mo")),
            ("Monday 09:00-17:00 UTC", day("Monday")),
            ("Mon,,Wed 09:00-17:00 UTC", day("")),
            ("Mon-Wed-Fri 09:00-17:00 UTC", day("Wed-Fri")),
            ("* 09:00-17:00 UTC", day("*")),
            ("Mon 9:00-17:00 UTC", times("9:00-17:00")),
            ("Mon 09:00 UTC", times("09:00")),
            ("Mon 09:00-24:01 UTC", times("09:00-24:01")),
            ("Mon 24:00-09:00 UTC", times("24:00-09:00")),
            ("Mon 09:60-17:00 UTC", times("09:60-17:00")),
            ("Mon 09:00-17 UTC", times("09:00-17")),
            ("Mon 09.00-17.00 UTC", times("09.00-17.00")),
            ("Mon 09:00-09:00 UTC", empty("09:00-09:00")),
            ("Mon 09:00-17:00 Europe/Berln", zone("Europe/Berln")),
            ("Mon 09:00-17:00 +01:00", zone("+01:00")),
            ("Mon 09:00-17:00 CEST", zone("CEST")),
        ] {
            assert_eq!(Window::parse(text), Err(expected), "{text}");
        }
        assert!(zones().iter().any(|zone| zone == "Europe/Berlin"));
    }
}
