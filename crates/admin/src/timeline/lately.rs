//! The figures of routes over the last minutes at all instances of a fleet, summed.
//!
//! Bounds: an instance tells its first routes by each figure only, so many that all instances together tell at most
//! [`TOLD_MAX`] by each (50 by each, 200 in all, with a thousand instances), and the routes that it is asked for by name. A
//! route that is among the first nowhere is not in a ranking; counts of a route that is asked for by name are complete.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Counts, Recent, Sparkline};
use crate::reasons::Reason;
use crate::reasons::gathered::Gathered;
use crate::search::index::Figure;

/// Routes that all instances tell by one figure, at most.
const TOLD_MAX: usize = 50_000;
/// Routes that an instance tells by one figure, at least and at most.
pub(crate) const FIRST_MIN: usize = 50;
pub(crate) const FIRST_MAX: usize = 2_500;
/// Routes of an answer, at most: the first by each figure, or those that are asked for.
pub(crate) const ROUTES_MAX: usize = FIRST_MAX * FIGURES.len();
/// Parts of a sparkline by which an instance may lag behind the last one.
const LATE_MAX: u64 = 1;
/// Parts of a sparkline, at most.
const POINTS_MAX: usize = 120;

const FIGURES: [Figure; 4] = [Figure::Rate, Figure::Failures, Figure::FailureShare, Figure::P99];

/// A route at an instance, or at all.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) recent: Recent,
    /// The last ten minutes, if they are asked for and known.
    pub(crate) sparkline: Option<Sparkline>,
    /// The reason why it needs a look, if it is asked for and there is one.
    pub(crate) health: Option<Reason>,
}

/// The figures of routes at all instances.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Lately {
    pub(crate) routes: HashMap<Arc<str>, Told>,
    /// Instances that these are the figures of.
    pub(crate) instances: usize,
    /// Instances that are left out, by id.
    pub(crate) missing: Vec<String>,
    /// True if no leader has answered.
    pub(crate) direct: bool,
}

/// Figures that are being added up.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    instances: usize,
    missing: Vec<String>,
    routes: HashMap<Arc<str>, Parts>,
}

/// A route at the instances so far.
#[derive(Debug, Default)]
struct Parts {
    seconds: u64,
    counts: Counts,
    /// The 99th percentiles of instances, and their requests.
    p99s: Vec<(f64, u32)>,
    sparklines: Vec<Sparkline>,
    /// The reasons why it needs a look.
    health: Option<Gathered>,
}

/// The number of routes that each of so many instances tells by one figure.
pub(crate) fn first_of_each(instances: usize) -> usize {
    (TOLD_MAX / instances.max(1)).clamp(FIRST_MIN, FIRST_MAX)
}

/// The first `count` routes by each figure.
pub(crate) fn first<'t, T: Clone + 't>(
    all: &'t [(T, Recent)],
    count: usize,
) -> impl Iterator<Item = &'t (T, Recent)> {
    let mut chosen = HashSet::new();
    for figure in FIGURES {
        let known = all.iter().enumerate();
        // Without failures or durations there is no rank by them.
        let known =
            known.filter_map(|(at, (_, recent))| Some((figure.of(recent).filter(|value| *value > 0.0)?, at)));
        let mut known: Vec<(f64, usize)> = known.collect();
        if known.len() > count {
            known.select_nth_unstable_by(count, |one, other| {
                other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
            });
            known.truncate(count);
        }
        chosen.extend(known.into_iter().map(|(_, at)| at));
    }
    let all = all.iter().enumerate();
    all.filter(move |(at, _)| chosen.contains(at))
        .map(|(_, route)| route)
}

impl Sum {
    /// Adds the routes of an instance; `None` if it has not answered.
    pub(crate) fn add(&mut self, id: &str, told: Option<Vec<(Arc<str>, Told)>>) {
        let Some(told) = told else {
            self.missing.push(id.to_owned());
            return;
        };
        self.instances += 1;
        for (route, told) in told {
            self.routes.entry(route).or_default().add(id, told);
        }
    }

    /// The figures in all.
    pub(crate) fn finish(mut self) -> Lately {
        self.missing.sort_unstable();
        let instances = self.instances;
        let routes = self.routes.into_iter();
        Lately {
            routes: routes
                .map(|(route, parts)| (route, parts.finish(instances)))
                .collect(),
            instances,
            missing: self.missing,
            direct: false,
        }
    }
}

impl Parts {
    fn add(&mut self, id: &str, told: Told) {
        let Told {
            recent,
            sparkline,
            health,
        } = told;
        self.seconds = self.seconds.max(recent.seconds);
        self.counts.add(recent.counts);
        self.p99s
            .extend(recent.p99_ms.map(|ms| (ms, recent.counts.requests)));
        self.sparklines
            .extend(sparkline.filter(|line| line.step_seconds > 0 && line.points.len() <= POINTS_MAX));
        if let Some(reason) = health {
            match &mut self.health {
                Some(gathered) => gathered.add(id, reason),
                none => *none = Some(Gathered::new(id, reason)),
            }
        }
    }

    fn finish(mut self, instances: usize) -> Told {
        self.p99s.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
        let all: u64 = self.p99s.iter().map(|(_, requests)| u64::from(*requests)).sum();
        let mut seen = 0;
        let p99 = self.p99s.iter().find(|(_, requests)| {
            seen += u64::from(*requests);
            seen * 100 >= all
        });
        Told {
            recent: Recent {
                seconds: self.seconds,
                counts: self.counts,
                p99_ms: p99.map(|(ms, _)| *ms),
            },
            sparkline: summed(&self.sparklines),
            health: self.health.map(|gathered| gathered.told(instances)),
        }
    }
}

/// The sum of sparklines, from the first part that any has to the last that all have. One that is late is left out.
fn summed(lines: &[Sparkline]) -> Option<Sparkline> {
    let step = lines.first()?.step_seconds;
    let end = |line: &Sparkline| line.begin / step + line.points.len() as u64;
    let latest = lines.iter().map(end).max()?;
    let in_time = lines
        .iter()
        .filter(|line| line.step_seconds == step && end(line) + LATE_MAX >= latest);
    let end = in_time.clone().map(end).min()?;
    let mut points: BTreeMap<u64, Counts> = BTreeMap::new();
    for line in in_time {
        for (number, counts) in (line.begin / step..end).zip(&line.points) {
            points.entry(number).or_default().add(*counts);
        }
    }
    let begin = *points.first_key_value()?.0;
    Some(Sparkline {
        begin: begin * step,
        step_seconds: step,
        points: (begin..end)
            .take(POINTS_MAX)
            .map(|number| points.get(&number).copied().unwrap_or_default())
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reasons::Severity;

    fn recent(requests: u32, failures: u32, p99_ms: Option<f64>) -> Recent {
        Recent {
            seconds: 60,
            counts: Counts {
                requests,
                failures,
                refused: 1,
            },
            p99_ms,
        }
    }

    fn told(recent: Recent) -> Told {
        Told {
            recent,
            sparkline: None,
            health: None,
        }
    }

    /// The answer of an instance, by its id.
    type Answer<'a> = (&'a str, Option<Vec<(&'a str, Told)>>);

    fn sum(all: Vec<Answer<'_>>) -> Lately {
        let mut sum = Sum::default();
        for (id, routes) in all {
            let routes = routes.map(|routes| routes.into_iter().map(|(name, told)| (name.into(), told)));
            sum.add(id, routes.map(Iterator::collect));
        }
        sum.finish()
    }

    #[test]
    fn routes_of_instances_are_added() {
        let young = Recent {
            seconds: 5,
            ..recent(40, 1, None)
        };
        let all = sum(vec![
            ("c", None),
            (
                "b",
                Some(vec![("users", told(recent(60, 3, None))), ("own", told(young))]),
            ),
            ("a", Some(vec![("users", told(young))])),
        ]);
        assert_eq!((all.instances, &*all.missing), (2, &["c".to_owned()][..]));
        let users = all.routes["users"].recent;
        assert_eq!(
            (users.seconds, users.counts),
            (
                60,
                Counts {
                    requests: 100,
                    failures: 4,
                    refused: 2
                }
            )
        );
        assert_eq!(all.routes["own"].recent, young);
    }

    #[test]
    fn slow_requests_at_one_instance_count_by_their_share() {
        let p99 = |slow: u32| {
            let all = sum(vec![
                ("a", Some(vec![("users", told(recent(slow, 0, Some(900.0))))])),
                ("b", Some(vec![("users", told(recent(1000, 0, Some(10.0))))])),
                ("c", Some(vec![("users", told(recent(5, 0, None)))])),
            ]);
            all.routes["users"].recent.p99_ms
        };
        assert_eq!((p99(5), p99(500)), (Some(10.0), Some(900.0)));
    }

    #[test]
    fn instance_tells_its_first_routes_by_each_figure() {
        let all: Vec<(u32, Recent)> = vec![
            (0, recent(500, 0, Some(1.0))),
            (1, recent(400, 9, Some(1.0))),
            (2, recent(2, 2, Some(1.0))),
            (3, recent(1, 0, Some(70.0))),
            (4, recent(3, 0, None)),
        ];
        let names = |count| first(&all, count).map(|(name, _)| *name).collect::<Vec<u32>>();
        assert_eq!(names(1), [0, 1, 2, 3]);
        assert_eq!(names(5), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn routes_that_travel_are_bounded_for_any_number_of_instances() {
        for (instances, expected) in [
            (0, FIRST_MAX),
            (3, FIRST_MAX),
            (200, 250),
            (1000, 50),
            (100_000, 50),
        ] {
            assert_eq!(first_of_each(instances), expected, "{instances}");
        }
        let all: Vec<(usize, Recent)> = (0..1000).map(|at| (at, recent(at as u32 + 1, 0, None))).collect();
        let first: Vec<usize> = first(&all, 10).map(|(at, _)| *at).collect();
        assert_eq!(first, (990..1000).collect::<Vec<usize>>());
    }

    #[test]
    fn sparkline_ends_with_the_last_part_that_all_in_time_have() {
        let line = |begin: u64, requests: &[u32]| {
            let points = requests.iter().map(|requests| Counts {
                requests: *requests,
                ..Counts::default()
            });
            Told {
                sparkline: Some(Sparkline {
                    begin,
                    step_seconds: 10,
                    points: points.collect(),
                }),
                ..told(recent(1, 0, None))
            }
        };
        let all = sum(vec![
            ("a", Some(vec![("users", line(1000, &[1, 2, 3]))])),
            ("b", Some(vec![("users", line(990, &[10, 20, 30]))])),
            ("late", Some(vec![("users", line(900, &[7, 7, 7]))])),
        ]);
        let line = all.routes["users"].sparkline.as_ref().unwrap();
        let requests: Vec<u32> = line.points.iter().map(|counts| counts.requests).collect();
        assert_eq!((line.begin, &*requests), (990, &[10, 21, 32][..]));
    }

    #[test]
    fn gravest_reason_names_the_instances_that_have_it() {
        let with = |severity, message: &str| {
            let health = Some(Reason {
                severity,
                kind: "route".to_owned(),
                name: Some("users".to_owned()),
                service: None,
                past: false,
                message: message.to_owned(),
            });
            Some(vec![(
                "users",
                Told {
                    health,
                    ..told(recent(9, 9, None))
                },
            )])
        };
        let answers = vec![
            ("a", with(Severity::Warning, "few fail")),
            ("b", with(Severity::Error, "all fail")),
            ("c", Some(Vec::new())),
        ];
        let message = |all: Vec<_>| sum(all).routes["users"].health.clone().unwrap().message;
        assert_eq!(
            message(answers),
            "all fail (at b; 2 of 3 instances need a look at this)"
        );
    }
}
