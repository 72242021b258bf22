//! Simulated services with two versions, and their clients.
//!
//! In arrays of two, the canary comes first, the baseline second.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use waypost_rollout::evidence::clusters::GROUPS;
use waypost_rollout::judge::{ArmSecond, GroupSecond, RouteSecond};

use crate::judge::dice::Dice;

/// Seconds of the baseline alone before a rollout, in which the judge learns.
pub(crate) const LEARNED: u64 = 120;
/// Buckets of latencies in a decade, and decades from 1 µs up, as in the gateway's histograms.
const DECADE: usize = 32;
const DECADES: usize = 10;
/// The latencies of both versions: log-normal around this median, in milliseconds, with this deviation of the logarithm.
const MEDIAN_MS: f64 = 23.0;
const SIGMA: f64 = 0.6;

/// A service with two versions under traffic.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    /// Requests per second, of both versions.
    pub(crate) load: f64,
    pub(crate) errors: Errors,
    pub(crate) clients: Clients,
    pub(crate) latency: Option<Latency>,
}

/// The course of the rates of failures.
#[derive(Debug, Clone)]
pub(crate) enum Errors {
    Steady([f64; 2]),
    /// Both fail at the baseline's rate, the canary from a second on at its own.
    Damage {
        after: i64,
        rates: [f64; 2],
    },
    /// Both rates walk between 0.01 % and 30 %, and the load between a fifth and nine fifths of the scene's.
    Walk,
    /// Both versions fail at `rate` for `length` seconds, once in `every`, at a random moment.
    Incidents {
        every: i64,
        length: i64,
        rate: f64,
    },
    /// Both rates rise from 0.1 % to 10 % in so many seconds.
    Rising(f64),
    /// Each arm's rate is multiplied by a gamma number of mean 1, drawn anew each `length` seconds.
    Hiccups {
        rate: f64,
        deviation: f64,
        length: i64,
    },
    /// The canary fails at this rate in its first seconds, and at 0.1 % later.
    ColdStart {
        seconds: i64,
        rate: f64,
    },
}

/// The clients.
#[derive(Debug, Clone)]
pub(crate) enum Clients {
    /// Each request rolls anew.
    Independent,
    /// Sticky; one that fails tries again, and fails, so many times in all: within its second, or once in each.
    Retrying { attempts: usize, at_once: bool },
    /// Sticky users, some busier than others (exponentially). Some have broken accounts, whose requests fail at `failing`
    /// whatever the version.
    Users { users: usize, broken: f64, failing: f64 },
}

/// The latencies of the canary, compared with the baseline's.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    /// The factor on all latencies of the canary.
    pub(crate) slower: f64,
    /// A share of the canary's requests that takes so many milliseconds longer.
    pub(crate) stalled: (f64, f64),
    /// True if both versions drift between 0.3 and 3 times their latencies, and jump by a factor of 4 at times.
    pub(crate) drifts: bool,
}

/// Traffic of a scene, second by second.
#[derive(Debug)]
pub(crate) struct Traffic<'a> {
    scene: &'a Scene,
    dice: Dice,
    /// Seconds since the rollout began.
    now: i64,
    counts: Counts,
    /// Logarithm of the rate that walks; the factor on the load.
    walk: (f64, f64),
    /// The beginning of the next or present incident.
    incident: i64,
    hiccups: [f64; 2],
    /// Logarithm of the drift of latencies, and the jump.
    drift: (f64, f64),
    users: Vec<User>,
    cohorts: Option<Cohorts>,
    /// The retrying clients by the second of their first attempt: those of the canary, those of the baseline by group.
    retrying: VecDeque<(f64, [f64; GROUPS])>,
}

/// A sticky user.
#[derive(Debug, Clone, Copy)]
struct User {
    group: usize,
    /// In the canary while this is below its share.
    roll: f64,
    /// The user's part of all requests.
    part: f64,
    is_broken: bool,
}

/// The parts of the requests by arm at a share: those of healthy users, those of broken ones.
#[derive(Debug, Clone, Copy)]
struct Cohorts {
    share: f64,
    canary: [f64; 2],
    baseline: [[f64; 2]; GROUPS],
}

/// The counts of one second.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) arms: [Arm; 2],
    groups: Option<GroupSecond>,
    share: f64,
}

/// The counts of one arm.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arm {
    pub(crate) finished: f64,
    pub(crate) errors: f64,
    latencies: Vec<f64>,
}

impl Scene {
    /// Independent clients, and no word of latencies.
    pub(crate) fn new(load: f64, errors: Errors) -> Self {
        Self {
            load,
            errors,
            clients: Clients::Independent,
            latency: None,
        }
    }

    /// Two versions that fail at these rates, always.
    pub(crate) fn steady(load: f64, rates: [f64; 2]) -> Self {
        Self::new(load, Errors::Steady(rates))
    }

    /// The same service with other clients.
    pub(crate) fn with(self, clients: Clients) -> Self {
        Self { clients, ..self }
    }

    /// Two versions that fail at 0.1 % and differ in latencies.
    pub(crate) fn of_latency(load: f64, latency: Latency) -> Self {
        Self {
            latency: Some(latency),
            ..Self::new(load, Errors::Steady([0.001; 2]))
        }
    }

    /// Returns true if clients stay with their arm.
    pub(crate) fn is_sticky(&self) -> bool {
        !matches!(self.clients, Clients::Independent)
    }
}

impl Clients {
    /// Six hundred sticky users, of whom some have broken accounts.
    pub(crate) fn users(broken: f64, failing: f64) -> Self {
        Self::Users {
            users: 600,
            broken,
            failing,
        }
    }
}

impl Latency {
    /// Latencies like the baseline's.
    pub(crate) const EQUAL: Self = Self {
        slower: 1.0,
        stalled: (0.0, 0.0),
        drifts: false,
    };
}

impl Counts {
    /// The counts as the judge takes them.
    pub(crate) fn route(&self) -> RouteSecond<'_> {
        let [canary, baseline] = self.arms.each_ref().map(|arm| ArmSecond {
            finished: arm.finished,
            errors: arm.errors,
            latencies: &arm.latencies,
            ..ArmSecond::default()
        });
        RouteSecond {
            canary,
            baseline,
            groups: self.groups.as_ref(),
            share: self.share,
        }
    }
}

impl<'a> Traffic<'a> {
    pub(crate) fn new(scene: &'a Scene, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut users = Vec::new();
        if let Clients::Users {
            users: count, broken, ..
        } = scene.clients
        {
            users.extend((0..count).map(|at| User {
                group: dice.below(GROUPS),
                roll: dice.uniform(),
                part: -(1.0 - dice.uniform()).ln(),
                is_broken: (at as f64) < broken * count as f64,
            }));
            let sum: f64 = users.iter().map(|user: &User| user.part).sum();
            users.iter_mut().for_each(|user| user.part /= sum);
        }
        let walk = (0.01_f64.ln(), 1.0);
        Self {
            scene,
            dice,
            now: -(LEARNED as i64),
            counts: Counts::default(),
            walk,
            incident: i64::MIN,
            hiccups: [1.0; 2],
            drift: (0.0, 1.0),
            users,
            cohorts: None,
            retrying: VecDeque::new(),
        }
    }

    /// The next second, with this share of the canary.
    pub(crate) fn second(&mut self, share: f64) -> &Counts {
        self.counts.share = share;
        let rates = self.rates();
        let load = self.scene.load * self.walk.1;
        match self.scene.clients {
            Clients::Independent => self.independent([share * load, (1.0 - share) * load], rates),
            Clients::Retrying { attempts, at_once } => {
                let seconds = if at_once { 1 } else { attempts };
                self.retrying([share * load, (1.0 - share) * load], rates, [attempts, seconds]);
            }
            Clients::Users { failing, .. } => self.sticky(load, rates, failing),
        }
        if let Some(latency) = &self.scene.latency {
            drift(latency, &mut self.drift, &mut self.dice);
            for (arm, is_canary) in self.counts.arms.iter_mut().zip([true, false]) {
                count_latencies(arm, latency, is_canary, self.drift, &mut self.dice);
            }
        }
        self.now += 1;
        &self.counts
    }

    /// The rates of failures in this second.
    fn rates(&mut self) -> [f64; 2] {
        match self.scene.errors {
            Errors::Steady(rates) => rates,
            Errors::Damage { after, rates } if self.now < after => [rates[1]; 2],
            Errors::Damage { rates, .. } => rates,
            Errors::Walk => {
                let (rate, load) = self.walk;
                let rate = within(rate + 0.05 * self.dice.normal(), 0.0001_f64.ln()..=0.3_f64.ln());
                let load = within(load + 0.02 * self.dice.normal(), 0.2..=1.8);
                self.walk = (rate, load);
                [rate.exp(); 2]
            }
            Errors::Incidents { every, length, rate } => {
                if self.now.rem_euclid(every) == 0 {
                    self.incident = self.now + (self.dice.uniform() * (every - length) as f64) as i64;
                }
                let is_on = (0..length).contains(&(self.now.saturating_sub(self.incident)));
                [if is_on { rate } else { 0.001 }; 2]
            }
            Errors::Rising(seconds) => {
                let passed = (self.now.max(0) as f64 / seconds).min(1.0);
                [0.001 + passed * (0.1 - 0.001); 2]
            }
            Errors::Hiccups {
                rate,
                deviation,
                length,
            } => {
                if self.now.rem_euclid(length) == 0 {
                    self.hiccups = [deviation; 2].map(|deviation| self.dice.gamma(deviation));
                }
                self.hiccups.map(|factor| (rate * factor).min(1.0))
            }
            Errors::ColdStart { seconds, rate } => [
                if (0..seconds).contains(&self.now) {
                    rate
                } else {
                    0.001
                },
                0.001,
            ],
        }
    }

    fn independent(&mut self, loads: [f64; 2], rates: [f64; 2]) {
        for (arm, (load, rate)) in self.counts.arms.iter_mut().zip(loads.into_iter().zip(rates)) {
            // A Poisson number of requests, each failing at the rate, is two Poisson numbers.
            arm.errors = self.dice.poisson(load * rate);
            arm.finished = arm.errors + self.dice.poisson(load * (1.0 - rate));
        }
    }

    /// A second of retrying clients, with so many attempts, over so many seconds.
    fn retrying(&mut self, loads: [f64; 2], rates: [f64; 2], [attempts, seconds]: [usize; 2]) {
        let in_a_second = (attempts / seconds) as f64;
        let dice = &mut self.dice;
        let clients = |load: f64, rate: f64| load * rate / attempts as f64;
        let mut begun = (dice.poisson(clients(loads[0], rates[0])), [0.0; GROUPS]);
        for _ in 0..dice.poisson(clients(loads[1], rates[1])) as u32 {
            begun.1[dice.below(GROUPS)] += 1.0;
        }
        self.retrying.push_back(begun);
        if self.retrying.len() > seconds {
            self.retrying.pop_front();
        }
        let [canary, baseline] = &mut self.counts.arms;
        canary.errors = self.retrying.iter().map(|begun| in_a_second * begun.0).sum();
        canary.finished = canary.errors + dice.poisson(loads[0] * (1.0 - rates[0]));
        let mut groups = GroupSecond::default();
        for group in 0..GROUPS {
            let bad: f64 = self
                .retrying
                .iter()
                .map(|begun| in_a_second * begun.1[group])
                .sum();
            groups.errors[group] = bad;
            groups.finished[group] = bad + dice.poisson(loads[1] * (1.0 - rates[1]) / GROUPS as f64);
        }
        baseline.errors = groups.errors.iter().sum();
        baseline.finished = groups.finished.iter().sum();
        self.counts.groups = Some(groups);
    }

    fn sticky(&mut self, load: f64, rates: [f64; 2], failing: f64) {
        let share = self.counts.share;
        let cohorts = match self.cohorts {
            Some(cohorts) if cohorts.share == share => cohorts,
            _ => Cohorts::new(&self.users, share),
        };
        self.cohorts = Some(cohorts);
        let dice = &mut self.dice;
        let mut draw = |[healthy, broken]: [f64; 2], rate: f64| {
            let of_broken = rate + failing - rate * failing;
            let bad = dice.poisson(load * (healthy * rate + broken * of_broken));
            let good = dice.poisson(load * (healthy * (1.0 - rate) + broken * (1.0 - of_broken)));
            (good + bad, bad)
        };
        let [canary, baseline] = &mut self.counts.arms;
        (canary.finished, canary.errors) = draw(cohorts.canary, rates[0]);
        let mut groups = GroupSecond::default();
        for (group, users) in cohorts.baseline.into_iter().enumerate() {
            (groups.finished[group], groups.errors[group]) = draw(users, rates[1]);
        }
        baseline.errors = groups.errors.iter().sum();
        baseline.finished = groups.finished.iter().sum();
        self.counts.groups = Some(groups);
    }
}

impl Cohorts {
    fn new(users: &[User], share: f64) -> Self {
        let mut cohorts = Self {
            share,
            canary: [0.0; 2],
            baseline: [[0.0; 2]; GROUPS],
        };
        for user in users {
            let cohort = match user.roll < share {
                true => &mut cohorts.canary,
                false => &mut cohorts.baseline[user.group],
            };
            cohort[usize::from(user.is_broken)] += user.part;
        }
        cohorts
    }
}

/// The upper bounds of the latency buckets, in milliseconds.
pub(crate) fn bounds() -> Vec<f64> {
    let decade = |decade: usize| {
        let start = 10_f64.powi(decade as i32 - 3);
        (0..DECADE).map(move |at| {
            let at = at as f64 + 1.0;
            start
                * if at <= 10.0 {
                    1.0 + at / 10.0
                } else if at <= 22.0 {
                    2.0 + (at - 10.0) / 4.0
                } else {
                    5.0 + (at - 22.0) / 2.0
                }
        })
    };
    (0..DECADES).flat_map(decade).collect()
}

/// The bucket of a latency.
fn bucket(ms: f64) -> usize {
    let us = ms * 1000.0;
    let mut decade = 0;
    let mut scaled = us.max(1.0);
    while scaled >= 10.0 && decade + 1 < DECADES {
        scaled /= 10.0;
        decade += 1;
    }
    let at = if scaled < 2.0 {
        (scaled - 1.0) * 10.0
    } else if scaled < 5.0 {
        10.0 + (scaled - 2.0) * 4.0
    } else {
        22.0 + (scaled - 5.0) * 2.0
    };
    decade * DECADE + (at as usize).min(DECADE - 1)
}

/// Moves the latencies of both versions on by a second.
fn drift(latency: &Latency, (walk, jump): &mut (f64, f64), dice: &mut Dice) {
    if !latency.drifts {
        return;
    }
    *walk = within(*walk + 0.02 * dice.normal(), 0.3_f64.ln()..=3_f64.ln());
    // A jump in ten minutes, for a minute or so.
    *jump = match *jump == 1.0 {
        true if dice.uniform() < 1.0 / 600.0 => 4.0,
        false if dice.uniform() < 1.0 / 60.0 => 1.0,
        _ => *jump,
    };
}

/// Draws the latencies of an arm's requests.
fn count_latencies(
    arm: &mut Arm,
    latency: &Latency,
    is_canary: bool,
    (walk, jump): (f64, f64),
    dice: &mut Dice,
) {
    arm.latencies.clear();
    arm.latencies.resize(DECADE * DECADES, 0.0);
    let (slower, stalled) = match is_canary {
        true => (latency.slower, latency.stalled),
        false => (1.0, (0.0, 0.0)),
    };
    for _ in 0..arm.finished as u32 {
        let mut ms = MEDIAN_MS * (SIGMA * dice.normal() + walk).exp() * jump * slower;
        if stalled.0 > 0.0 && dice.uniform() < stalled.0 {
            ms += stalled.1;
        }
        arm.latencies[bucket(ms)] += 1.0;
    }
}

/// A walk's place, reflected at the ends of `range`.
fn within(at: f64, range: RangeInclusive<f64>) -> f64 {
    let (start, end) = range.into_inner();
    if at < start {
        2.0 * start - at
    } else if at > end {
        2.0 * end - at
    } else {
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_the_bucket_below_its_bound() {
        let bounds = bounds();
        assert_eq!(bounds.len(), DECADE * DECADES);
        for ms in [0.001_15, 0.051, 0.77, 1.04, 3.3, 48.0, 63.0, 990.0, 5_200.0] {
            let at = bucket(ms);
            assert!(ms <= bounds[at] && (at == 0 || ms > bounds[at - 1]), "{ms}: {at}");
        }
    }

    #[test]
    fn traffic_has_the_rates_of_its_scene() {
        let users = Clients::Users {
            users: 600,
            broken: 0.02,
            failing: 0.5,
        };
        let retrying = |at_once| Clients::Retrying { attempts: 6, at_once };
        for (clients, expected) in [
            (Clients::Independent, 0.01),
            (retrying(true), 0.01),
            (retrying(false), 0.01),
            (users, 0.01 + 0.02 * 0.5 * 0.99),
        ] {
            let scene = Scene::new(100.0, Errors::Steady([0.01; 2])).with(clients);
            let mut traffic = Traffic::new(&scene, 1);
            let mut sums = [0.0; 2];
            for _ in 0..20_000 {
                for arm in &traffic.second(0.2).arms {
                    sums[0] += arm.finished;
                    sums[1] += arm.errors;
                }
            }
            assert!((sums[0] / 2e6 - 1.0).abs() < 0.005, "{scene:?}: {sums:?}");
            let rate = sums[1] / sums[0];
            // Broken users are few, and may be busy ones.
            assert!((rate / expected - 1.0).abs() < 0.25, "{scene:?}: {rate}");
        }
    }
}
