//! Services with scripted endpoints.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use waypost_plan::balance::Balance;
use waypost_plan::health::{Ejection, FailureKind, FailureKinds};
use waypost_plan::service::{Endpoint as Declared, EndpointHost, EndpointScheme, Service};
use waypost_upstream::address::Address;
use waypost_upstream::balance::next_roll;
use waypost_upstream::endpoint::Endpoint;
use waypost_upstream::health::check::Thresholds;
use waypost_upstream::service::ServiceState;

/// Time before the end from which endpoints are well again, with [`Moods::ThenWell`].
pub(crate) const CALM: Duration = Duration::from_secs(45);

/// The kinds of moods that endpoints have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moods {
    /// Well throughout.
    Well,
    /// Well, or refusing connections.
    Dying,
    /// All of them.
    All,
    /// All of them, and well in the end.
    ThenWell,
    /// Well, but for the first endpoint, which resets connections now and then.
    OneBad,
    /// Failing throughout.
    Dead,
}

/// The shape of a cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) moods: Moods,
    /// True if addresses leave DNS and come back.
    pub(crate) leaves_dns: bool,
    /// The threshold of panic mode, in percent.
    pub(crate) panic: u64,
    /// Weights of the split between services.
    pub(crate) arms: &'static [u64],
    /// True if the services eject endpoints by the outcomes of requests.
    pub(crate) ejects: bool,
    /// True if endpoints are checked.
    pub(crate) checks: bool,
    /// True if an operator drains endpoints, and takes them back.
    pub(crate) drains: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            moods: Moods::All,
            leaves_dns: false,
            panic: 50,
            arms: &[1],
            ejects: false,
            checks: false,
            drains: false,
        }
    }
}

/// An endpoint's behaviour for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Answers 200.
    Well,
    /// Refuses connections.
    Refusing,
    /// Resets connections once it has the request.
    Resetting,
    /// Does not answer in time.
    Silent,
    /// Answers 503, mostly.
    Failing,
    /// Answers 503.
    Dead,
}

/// The way in which an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Refused,
    Reset,
    TimedOut,
    Status(u16),
}

/// A server, by its address.
#[derive(Debug)]
struct Server {
    /// Moods, each with the time at which it begins.
    script: Vec<(Duration, Mood)>,
}

/// A service, as an arm of the split.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) state: Arc<ServiceState>,
    /// The addresses that each declared endpoint's name can have.
    names: Vec<Vec<Address>>,
}

/// The cluster.
pub(crate) struct World {
    pub(crate) arms: Vec<Arm>,
    pub(crate) shape: Shape,
    pub(crate) name: String,
    pub(crate) began: Instant,
    servers: HashMap<Address, Server>,
    rolls: u64,
}

/// A roll of dice in `0..sides`.
pub(crate) fn below(rolls: &mut u64, sides: u64) -> u64 {
    ((u128::from(next_roll(rolls)) * u128::from(sides)) >> 64) as u64
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape, balance: &Balance, name: &str) -> Self {
        let mut rolls = seed.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ 0x1405_7b7e_f767_814f;
        let mut servers = HashMap::new();
        let mut arms = Vec::new();
        for arm in 0..shape.arms.len() {
            let count = 2 + below(&mut rolls, 4) as usize;
            let mut declared = Vec::new();
            let mut names = Vec::new();
            for at in 0..count {
                declared.push(Declared {
                    authority: format!("e{at}.test").into(),
                    host: EndpointHost::Name(format!("e{at}.test").into()),
                    port: 80,
                    scheme: EndpointScheme::Http,
                    // No service has fewer than two that may be in use.
                    weight: below(&mut rolls, 4).max(u64::from(at < 2)) as u32,
                    backup: at > 1 && below(&mut rolls, 4) == 0,
                });
                let addresses: Vec<Address> = (0..=below(&mut rolls, 2))
                    .map(|other| {
                        let host = [10, arm as u8, at as u8, other as u8];
                        Address::Tcp(SocketAddr::from((host, 80)))
                    })
                    .collect();
                for address in &addresses {
                    let script = script(shape.moods, servers.is_empty(), &mut rolls);
                    servers.insert(address.clone(), Server { script });
                }
                names.push(addresses);
            }
            let mut service = Service::new(format!("arm-{arm}").into(), declared);
            service.balance = balance.clone();
            service.panic = shape.panic * 1000;
            service.eject = shape.ejects.then(|| Ejection {
                failures: Some(3),
                of: FailureKinds::of(FailureKind::ALL),
                duration: Duration::from_secs(5),
                ..Ejection::default()
            });
            let state = Arc::new(ServiceState::new(Arc::new(service)));
            for (at, addresses) in names.iter().enumerate() {
                state.set_found(at, addresses.clone());
            }
            arms.push(Arm { state, names });
        }
        Self {
            arms,
            shape,
            name: name.to_owned(),
            began: Instant::now(),
            servers,
            rolls,
        }
    }

    /// The mood of the server at an address.
    fn mood(&self, address: &Address) -> Mood {
        let since = self.began.elapsed();
        let script = &self.servers[address].script;
        let begun = script.partition_point(|(from, _)| *from <= since);
        begun.checked_sub(1).map_or(Mood::Well, |at| script[at].1)
    }

    /// Sends a request to an address. Returns its answer, and the time that it takes.
    pub(crate) fn ask(&mut self, address: &Address) -> (Answer, Duration) {
        let ms = Duration::from_millis;
        match self.mood(address) {
            Mood::Well => (Answer::Status(200), ms(5 + below(&mut self.rolls, 50))),
            Mood::Refusing => (Answer::Refused, ms(1)),
            Mood::Resetting => (Answer::Reset, ms(10)),
            Mood::Silent => (Answer::TimedOut, ms(2000)),
            Mood::Failing if below(&mut self.rolls, 10) < 7 => (Answer::Status(503), ms(5)),
            Mood::Failing => (Answer::Status(200), ms(5)),
            Mood::Dead => (Answer::Status(503), ms(5)),
        }
    }

    /// Returns true if a connection to an address would be accepted now.
    pub(crate) fn accepts(&self, address: &Address) -> bool {
        self.mood(address) != Mood::Refusing
    }

    /// Checks every endpoint once.
    pub(crate) fn check_all(&mut self) {
        let thresholds = Thresholds {
            unhealthy: 2,
            healthy: 2,
        };
        let now = Instant::now();
        for at in 0..self.arms.len() {
            let state = Arc::clone(&self.arms[at].state);
            for endpoint in state.endpoints().iter() {
                let (answer, _) = self.ask(&endpoint.address);
                let result = match answer {
                    Answer::Status(200) => Ok(()),
                    _ => Err("it failed".to_owned()),
                };
                if endpoint.health.record_check(result, thresholds, now).is_some() {
                    state.touch();
                }
            }
        }
    }

    /// An operator drains an endpoint other than the first, or takes it back.
    pub(crate) fn turn_drain(&mut self) {
        let arm = below(&mut self.rolls, self.arms.len() as u64) as usize;
        let state = &self.arms[arm].state;
        let endpoints = state.endpoints();
        let at = 1 + below(&mut self.rolls, endpoints.len() as u64 - 1) as usize;
        let health = &endpoints[at].health;
        health.set_drained(!health.is_drained(), Instant::now());
        state.touch();
    }

    /// Checks that no more endpoints are ejected than may be.
    pub(crate) fn check_ejections(&self, arm: usize) {
        let state = &self.arms[arm].state;
        let Some(policy) = &state.service().eject else {
            return;
        };
        let (endpoints, now) = (state.endpoints(), Instant::now());
        let ejected = endpoints
            .iter()
            .filter(|endpoint| endpoint.health.is_ejected(now));
        // An address that leaves takes none of the others back.
        if !self.shape.leaves_dns {
            let most = policy.ejected_max(endpoints.len());
            assert!(
                ejected.count() <= most,
                "{}: more than {most} are ejected",
                self.name
            );
        }
    }

    /// Looks all names up again: addresses have left, or are back.
    pub(crate) fn look_up(&mut self) {
        for arm in &self.arms {
            for (at, all) in arm.names.iter().enumerate() {
                let is_calm = self.shape.moods == Moods::ThenWell && self.began.elapsed() > CALM;
                let found: Vec<Address> = all
                    .iter()
                    .filter(|_| is_calm || below(&mut self.rolls, 4) > 0)
                    .cloned()
                    .collect();
                // A name without addresses keeps its last ones.
                if !found.is_empty() {
                    arm.state.set_found(at, found);
                }
            }
        }
    }

    /// Returns true if every endpoint is available.
    pub(crate) fn is_calm(&self) -> bool {
        let now = Instant::now();
        let mut arms = self.arms.iter();
        arms.all(|arm| {
            let endpoints = arm.state.endpoints();
            endpoints.iter().all(|endpoint| endpoint.health.is_available(now))
        })
    }

    /// Checks that a request may go to `picked` now, as a slow reader of the rules has it. `tried` are the endpoints that it
    /// was at already.
    pub(crate) fn check_pick(&self, arm: &Arm, picked: &Endpoint, tried: &[Address]) {
        let now = Instant::now();
        let endpoints = arm.state.endpoints();
        let takes = |endpoint: &Endpoint| endpoint.weight() > 0 && !endpoint.health.is_drained();
        let known = || endpoints.iter().filter(|endpoint| takes(endpoint));
        let out = |endpoint: &Endpoint| !endpoint.health.is_available(now);
        let place = || format!("{} at {:?}: {}", self.name, self.began.elapsed(), picked.address);
        assert!(
            known().any(|endpoint| endpoint.address == picked.address),
            "{} is not there, or takes no requests",
            place()
        );
        assert!(!tried.contains(&picked.address), "{} was tried", place());
        let primaries = known().filter(|endpoint| !endpoint.backup).count();
        let available = known()
            .filter(|endpoint| !endpoint.backup && !out(endpoint))
            .count();
        let has_backup = known().any(|endpoint| endpoint.backup && !out(endpoint));
        let is_panic = !has_backup && (available as u64) * 100 < (primaries as u64) * self.shape.panic;
        let is_left = |endpoint: &Endpoint| !out(endpoint) && !tried.contains(&endpoint.address);
        if out(picked) {
            assert!(is_panic, "{} is known to be out", place());
            let others = !tried.is_empty() && known().any(|endpoint| is_left(endpoint));
            assert!(
                !others,
                "{} is known to be out, and another was not tried",
                place()
            );
        }
        if picked.backup {
            let others = known().any(|endpoint| !endpoint.backup && is_left(endpoint));
            assert!(!others, "{} is a backup, and others are available", place());
        }
    }
}

/// A script of moods.
fn script(moods: Moods, is_first: bool, rolls: &mut u64) -> Vec<(Duration, Mood)> {
    if moods == Moods::Dead {
        return vec![(Duration::ZERO, Mood::Dead)];
    }
    let mut script = Vec::new();
    let mut at = Duration::ZERO;
    let end = Duration::from_secs(600);
    while at < end {
        let bad = match moods {
            Moods::Well | Moods::Dead => Mood::Well,
            Moods::OneBad if !is_first => Mood::Well,
            Moods::OneBad => Mood::Resetting,
            Moods::Dying => Mood::Refusing,
            Moods::All | Moods::ThenWell => match below(rolls, 4) {
                0 => Mood::Refusing,
                1 => Mood::Resetting,
                2 => Mood::Silent,
                _ => Mood::Failing,
            },
        };
        // One of four flaps for a while.
        let (times, unit) = match below(rolls, 4) {
            0 => (20, 100),
            _ => (1, 5000),
        };
        for _ in 0..times {
            for mood in [Mood::Well, bad] {
                script.push((at, mood));
                at += Duration::from_millis(unit + below(rolls, 2 * unit));
            }
        }
    }
    if moods == Moods::ThenWell {
        script.retain(|(from, _)| *from < CALM);
        script.push((CALM, Mood::Well));
    }
    script
}
