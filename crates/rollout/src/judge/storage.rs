//! The numbers of a judge, so that a rollout goes on after a restart with the evidence that it had.

use crate::judge::Judge;

impl Judge {
    /// All numbers, in an order that depends on the settings alone. Open windows are left out: what is lost of them is only
    /// not bet on.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = Vec::new();
        self.clone().visit(&mut |number| numbers.push(*number));
        numbers
    }

    /// Takes over the numbers of a judge with the same settings. Returns false, and changes nothing, if there are more or
    /// fewer of them.
    pub fn set_numbers(&mut self, numbers: &[f64]) -> bool {
        let mut count = 0;
        self.visit(&mut |_| count += 1);
        if count != numbers.len() {
            return false;
        }
        let mut rest = numbers.iter();
        self.visit(&mut |number| {
            if let Some(stored) = rest.next() {
                *number = *stored;
            }
        });
        true
    }

    /// Takes over what another judge has learned about the baseline: its rates, its latencies and its clients.
    pub fn inherit(&mut self, other: &Self) {
        for metric in &mut self.metrics {
            let Some(learned) = other.metrics.iter().find(|learned| learned.kind == metric.kind) else {
                continue;
            };
            metric.strata.clone_from(&learned.strata);
            if let (Some((_, strata)), Some((_, learned))) = (&mut metric.proof, &learned.proof) {
                strata.clone_from(learned);
            }
        }
        self.routes.clone_from(&other.routes);
    }

    /// Takes over what the judge of a single route has learned about the baseline of the route at this position.
    pub fn inherit_route(&mut self, route: usize, other: &Self) {
        for metric in &mut self.metrics {
            let Some(learned) = other.metrics.iter().find(|learned| learned.kind == metric.kind) else {
                continue;
            };
            copy(&mut metric.strata, route, &learned.strata);
            if let (Some((_, strata)), Some((_, learned))) = (&mut metric.proof, &learned.proof) {
                copy(strata, route, learned);
            }
        }
        copy(&mut self.routes, route, &other.routes);
    }

    fn visit(&mut self, visit: &mut impl FnMut(&mut f64)) {
        for count in [&mut self.now, &mut self.step_age] {
            let mut number = *count as f64;
            visit(&mut number);
            *count = number as u64;
        }
        let mut begun = f64::from(self.steps_begun);
        visit(&mut begun);
        self.steps_begun = begun as u32;
        for metric in &mut self.metrics {
            metric.evidence.visit(visit);
            metric.strata.iter_mut().for_each(|stratum| stratum.visit(visit));
            if let Some((proof, strata)) = &mut metric.proof {
                proof.visit(visit);
                strata.iter_mut().for_each(|stratum| stratum.visit(visit));
            }
        }
        let buckets = self.bounds.len();
        for past in &mut self.routes {
            past.latencies.visit(buckets, visit);
        }
    }
}

/// Replaces the item at a position with the only item of `learned`.
fn copy<T: Clone>(items: &mut [T], at: usize, learned: &[T]) {
    if let (Some(item), [learned]) = (items.get_mut(at), learned) {
        item.clone_from(learned);
    }
}
