//! Simulated rollouts, by the code that the gateway's own rest on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use jiff::Timestamp;
use waypost_rollout::evidence::betting::Tolerance;
use waypost_rollout::judge::Judge;
use waypost_rollout::judge::settings::JudgeSettings;
use waypost_rollout::ramp::plan::{Percent, Proof, RampPlan, Rules, Step, Then};
use waypost_rollout::ramp::{Ramp, Standing};

use crate::judge::peers::Peers;
use crate::judge::traffic::{Counts, LEARNED, Scene, Traffic, bounds};

/// The judged steps of all rollouts, in percent, unless said otherwise.
pub(crate) const STEPS: [f64; 5] = [1.0, 5.0, 25.0, 50.0, 75.0];

/// A rollout to be simulated.
#[derive(Debug, Clone)]
pub(crate) struct Rollout {
    pub(crate) scene: Scene,
    pub(crate) settings: JudgeSettings,
    /// The steps below 100 %, in percent.
    pub(crate) steps: Vec<f64>,
    pub(crate) drive: Drive,
    /// Seconds that are simulated at most.
    pub(crate) limit: u64,
    /// True if the judge corrects for clients that fail together, as it does wherever they are sticky.
    pub(crate) tempers: bool,
    /// True if the other programs judge the same traffic.
    pub(crate) has_peers: bool,
}

/// The force that takes the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drive {
    /// All steps have the same time, whatever the judge says.
    Clock,
    /// The first step lasts, whatever the judge says.
    Hold,
    /// The first step lasts until its proof is complete.
    Proof,
    /// The ramp, with the default conditions of a step.
    Ramp,
}

/// The end of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum End {
    RolledBack,
    Promoted,
    #[default]
    Held,
}

/// The outcome of a rollout.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    /// Seconds since it began.
    pub(crate) seconds: u64,
    /// Requests of the canary, and failed ones among them.
    pub(crate) requests: f64,
    pub(crate) failed: f64,
    /// The seconds after which Flagger, Argo Rollouts and Kayenta rolled back.
    pub(crate) peers: [Option<u64>; 3],
}

impl Outcome {
    /// Counts a second of the rollout.
    pub(crate) fn count(&mut self, counts: &Counts) {
        let canary = &counts.arms[0];
        self.seconds += 1;
        self.requests += canary.finished;
        self.failed += canary.errors;
    }
}

/// Settings by which errors are judged with the weight that they have by default, beside a metric that shows nothing; without
/// a warm-up.
pub(crate) fn errors_alone() -> JudgeSettings {
    JudgeSettings {
        client_errors: None,
        abandoned: Some(Tolerance {
            ratio: 2.0,
            plus: 0.5,
        }),
        latency: [None; 3],
        warmup: 0,
        ..JudgeSettings::default()
    }
}

/// Settings by which errors and the three quantiles are judged, without a warm-up.
pub(crate) fn with_latency() -> JudgeSettings {
    JudgeSettings {
        client_errors: None,
        abandoned: None,
        warmup: 0,
        ..JudgeSettings::default()
    }
}

impl Rollout {
    /// A rollout of `scene` with errors alone, in an hour of five steps.
    pub(crate) fn new(scene: Scene) -> Self {
        Self {
            scene,
            settings: errors_alone(),
            steps: STEPS.to_vec(),
            drive: Drive::Clock,
            limit: 3600,
            tempers: true,
            has_peers: false,
        }
    }

    /// A rollout that stays in its first step, at this share in percent.
    pub(crate) fn at(scene: Scene, percent: f64) -> Self {
        let mut steps = STEPS.to_vec();
        steps[0] = percent;
        // The later steps are never taken; their number counts.
        for (at, step) in steps.iter_mut().enumerate().skip(1) {
            *step = 95.0 + at as f64;
        }
        Self {
            steps,
            drive: Drive::Hold,
            ..Self::new(scene)
        }
    }

    /// A rollout of one step at this share in percent, until its proof is complete.
    pub(crate) fn proof_at(scene: Scene, percent: f64) -> Self {
        Self {
            steps: vec![percent],
            drive: Drive::Proof,
            ..Self::new(scene)
        }
    }

    fn plan(&self) -> RampPlan {
        let steps = self.steps.iter().chain([&100.0]);
        let step = |percent: &f64| {
            let hundredths = (percent * 100.0).round() as u16;
            Step::to(Percent::from_thousandths(u64::from(hundredths) * 10).unwrap_or(Percent::ALL))
        };
        let by_default = self.drive == Drive::Ramp;
        RampPlan {
            steps: steps.map(step).collect(),
            rules: Rules {
                at_least: if by_default { 60 } else { 0 },
                requests: if by_default { 100.0 } else { 0.0 },
                proof: Proof::Step,
                approve: false,
            },
            warmup: self.settings.warmup,
            hold: 7200,
            then: Then::Hold,
            windows: Vec::new(),
        }
    }

    /// Simulates the rollout.
    pub(crate) fn run(&self, seed: u64) -> Outcome {
        let plan = self.plan();
        let mut traffic = Traffic::new(&self.scene, seed);
        let mut judge = Judge::new(
            self.settings.clone(),
            1,
            plan.judged_steps(),
            self.scene.is_sticky() && self.tempers,
            self.scene.latency.as_ref().map_or_else(Vec::new, |_| bounds()),
        );
        for _ in 0..LEARNED {
            judge.learn(&[traffic.second(0.0).route()]);
        }
        let timeout = if self.drive == Drive::Ramp { 30 } else { 0 };
        let mut ramp = Ramp::new(plan, Some(judge), timeout, Timestamp::UNIX_EPOCH);
        let mut peers = self.has_peers.then(Peers::default);
        let mut outcome = Outcome::default();
        let mut is_running = true;
        let step_length = self.limit.div_ceil(self.steps.len() as u64);
        for now in 0..self.limit {
            let is_due = match self.drive {
                Drive::Clock => now.is_multiple_of(step_length),
                _ => now == 0,
            };
            if is_due {
                ramp.step_up();
            }
            let counts = traffic.second(ramp.percent().share());
            let mut second = counts.route();
            if !self.tempers {
                second.groups = None;
            }
            if let Some(peers) = &mut peers {
                peers.second(counts);
            }
            if is_running {
                outcome.count(counts);
                let standing = ramp.tick(&[second]);
                outcome.end = self.end(&mut ramp, &standing);
                is_running = outcome.end == End::Held;
            }
            let has_ended = peers.as_ref().is_none_or(Peers::have_all_rolled_back);
            if !is_running && has_ended {
                break;
            }
        }
        outcome.peers = peers.map_or([None; 3], |peers| peers.rolled_back);
        outcome
    }

    /// The end that the rollout has come to; takes the next step where the ramp drives it.
    fn end(&self, ramp: &mut Ramp, standing: &Standing) -> End {
        match (standing, self.drive) {
            (Standing::RollBack(_), _) => End::RolledBack,
            (Standing::Ready, Drive::Proof) => End::Promoted,
            (Standing::Ready, Drive::Ramp) => match ramp.step_up() {
                Some(Percent::ALL) | None => End::Promoted,
                Some(_) => End::Held,
            },
            _ => End::Held,
        }
    }
}

/// The outcomes for the seeds 1 to `count`, on all cores.
pub(crate) fn outcomes(count: u64, run: impl Fn(u64) -> Outcome + Sync) -> Vec<Outcome> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(1);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > count {
                return done;
            }
            done.push((seed, run(seed)));
        }
    };
    let mut all = thread::scope(|scope| {
        let threads: Vec<_> = (1..cores).map(|_| scope.spawn(work)).collect();
        let mut all = work();
        for thread in threads {
            // A panic of a thread has been reported by itself.
            all.extend(thread.join().unwrap_or_default());
        }
        all
    });
    all.sort_unstable_by_key(|(seed, _)| *seed);
    all.into_iter().map(|(_, outcome)| outcome).collect()
}
