//! Reasons of several instances of a fleet, gathered: what more than one of them tells is told once, with the instances.

use super::{Reason, Severity, bounded};

/// Instances that are named beside a reason.
const NAMED_MAX: usize = 3;

/// The reasons of all instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OfFleet {
    /// Errors first.
    pub(crate) reasons: Vec<Reason>,
    /// The number of instances that have answered.
    pub(crate) instances: usize,
    /// The ids of the others.
    pub(crate) missing: Vec<String>,
    /// True if no leader has answered.
    pub(crate) direct: bool,
}

/// A reason, and the instances that tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gathered {
    /// The gravest.
    reason: Reason,
    /// The instance that tells it so, then the others.
    at: Vec<String>,
    /// True if all tell it in the same words.
    is_same: bool,
}

impl Gathered {
    pub(crate) fn new(id: &str, reason: Reason) -> Self {
        Self {
            reason,
            at: vec![id.to_owned()],
            is_same: true,
        }
    }

    /// Returns true if `reason` is about the same.
    fn is_about(&self, reason: &Reason) -> bool {
        let known = &self.reason;
        known.kind == reason.kind
            && known.name == reason.name
            && (known.name.is_some() || known.message == reason.message)
    }

    /// Returns true if the instance that was added last is this one.
    fn has(&self, id: &str) -> bool {
        [self.at.first(), self.at.last()].contains(&Some(&id.to_owned()))
    }

    /// Adds what another instance tells about the same.
    pub(crate) fn add(&mut self, id: &str, reason: Reason) {
        self.is_same &= reason.message == self.reason.message;
        let rank = |reason: &Reason| (reason.past, reason.severity);
        if rank(&reason) < rank(&self.reason) {
            self.reason = reason;
            self.at.insert(0, id.to_owned());
        } else {
            self.at.push(id.to_owned());
        }
    }

    /// The reason with the instances that tell it, unless all tell the same.
    pub(crate) fn told(mut self, instances: usize) -> Reason {
        let (count, worst) = (self.at.len(), self.at[0].clone());
        if self.is_same && count == instances {
            return self.reason;
        }
        let of = match instances {
            1 => "of 1 instance".to_owned(),
            _ => format!("of {instances} instances"),
        };
        let at = match self.is_same {
            true => {
                self.at.sort_unstable();
                let more = count.saturating_sub(NAMED_MAX);
                let named = self.at[..count - more].join(", ");
                match more {
                    0 => format!(" (at {count} {of}: {named})"),
                    more => format!(" (at {count} {of}: {named} and {more} more)"),
                }
            }
            false => format!(" (at {worst}; {count} {of} need a look at this)"),
        };
        self.reason.message.push_str(&at);
        self.reason
    }
}

/// The reasons of all instances: `told` has those of each that has answered, and `missing` the ids of the others.
pub(crate) fn gather(mut told: Vec<(String, Vec<Reason>)>, missing: &[String]) -> Vec<Reason> {
    told.sort_by(|(one, _), (other, _)| one.cmp(other));
    let instances = told.len() + missing.len();
    // By kind: an instance has some ten of each, which are looked through for one that is about the same.
    let mut kinds: Vec<(String, Vec<Gathered>)> = Vec::new();
    for (id, reasons) in told {
        for reason in reasons {
            let at = kinds.iter().position(|(kind, _)| *kind == reason.kind);
            let at = at.unwrap_or_else(|| {
                kinds.push((reason.kind.clone(), Vec::new()));
                kinds.len() - 1
            });
            let known = &mut kinds[at].1;
            let at = known.iter().position(|known| known.is_about(&reason));
            match at {
                // Two of one instance count once.
                Some(at) if known[at].has(&id) => {}
                Some(at) => known[at].add(&id, reason),
                None if known.len() < GATHERED_MAX => known.push(Gathered::new(&id, reason)),
                None => {}
            }
        }
    }
    let mut all: Vec<Reason> = kinds
        .into_iter()
        .flat_map(|(kind, gathered)| {
            let told = gathered.into_iter().map(|gathered| gathered.told(instances));
            bounded(told.collect(), &format!("reasons of the kind `{kind}`"))
        })
        .collect();
    if let Some(reason) = of_missing(missing, instances) {
        all.push(reason);
    }
    all.sort_by_key(|reason| reason.severity);
    all
}

/// Reasons of a kind that are told apart, at most.
const GATHERED_MAX: usize = 200;

/// The reason that the health of some instances is not known.
fn of_missing(missing: &[String], instances: usize) -> Option<Reason> {
    let named = match missing {
        [] => return None,
        [one] => one.clone(),
        [.., _] if missing.len() <= NAMED_MAX => missing.join(", "),
        _ => format!(
            "{} and {} more",
            missing[..NAMED_MAX].join(", "),
            missing.len() - NAMED_MAX
        ),
    };
    let (count, verb) = (missing.len(), if missing.len() == 1 { "does" } else { "do" });
    let message = format!(
        "{count} of {instances} instances {verb} not answer, so the health of {} is not known: {named}",
        if count == 1 { "it" } else { "these" }
    );
    Some(super::reason(Severity::Warning, "fleet", None, message))
}

#[cfg(test)]
mod tests {
    use super::super::{Word, reason};
    use super::*;

    fn of_service(severity: Severity, message: &str) -> Vec<Reason> {
        vec![reason(
            severity,
            "service",
            Some("users".to_owned()),
            message.to_owned(),
        )]
    }

    fn messages(told: &[(&str, Vec<Reason>)], missing: &[&str]) -> Vec<String> {
        let told = told
            .iter()
            .map(|(id, reasons)| ((*id).to_owned(), reasons.clone()))
            .collect();
        let missing: Vec<String> = missing.iter().map(|id| (*id).to_owned()).collect();
        let all = gather(told, &missing);
        all.into_iter().map(|reason| reason.message).collect()
    }

    #[test]
    fn reason_of_all_instances_is_told_as_it_is() {
        let down = of_service(Severity::Error, "all is down");
        let told = messages(&[("a", down.clone()), ("b", down)], &[]);
        assert_eq!(told, ["all is down"]);
    }

    #[test]
    fn reason_of_some_instances_names_them() {
        let down = of_service(Severity::Warning, "10.0.0.1 is down");
        let told = messages(
            &[("c", Vec::new()), ("b", down.clone()), ("a", down.clone())],
            &[],
        );
        assert_eq!(told, ["10.0.0.1 is down (at 2 of 3 instances: a, b)"]);
        let many: Vec<String> = (0..5).map(|at| format!("gw-{at}")).collect();
        let many: Vec<(&str, Vec<Reason>)> = many.iter().map(|id| (&**id, down.clone())).collect();
        assert_eq!(
            messages(&many, &["gw-9"]),
            [
                "10.0.0.1 is down (at 5 of 6 instances: gw-0, gw-1, gw-2 and 2 more)",
                "1 of 6 instances does not answer, so the health of it is not known: gw-9"
            ]
        );
    }

    #[test]
    fn gravest_of_reasons_about_the_same_is_told() {
        let told = messages(
            &[
                ("a", of_service(Severity::Warning, "one of two is down")),
                ("b", of_service(Severity::Error, "both are down")),
            ],
            &[],
        );
        assert_eq!(
            told,
            ["both are down (at b; 2 of 2 instances need a look at this)"]
        );
    }

    #[test]
    fn health_is_the_worst_of_all_instances() {
        let word = |told: Vec<(&str, Vec<Reason>)>, missing: &[String]| {
            let told = told
                .into_iter()
                .map(|(id, reasons)| (id.to_owned(), reasons))
                .collect();
            Word::of(&gather(told, missing))
        };
        assert_eq!(
            word(vec![("a", Vec::new()), ("b", Vec::new())], &[]),
            Word::Healthy
        );
        let failing = of_service(Severity::Error, "all are down");
        assert_eq!(word(vec![("a", Vec::new()), ("b", failing)], &[]), Word::Failing);
        assert_eq!(word(vec![("a", Vec::new())], &["b".to_owned()]), Word::Attention);
    }

    #[test]
    fn reasons_that_are_told_are_bounded() {
        let reasons = |id: u32| {
            let of_each = (0..100).map(|at| {
                let name = format!("users-{id}-{at}");
                reason(Severity::Warning, "service", Some(name), "is down".to_owned())
            });
            of_each.collect::<Vec<Reason>>()
        };
        let told: Vec<(String, Vec<Reason>)> = (0..100).map(|id| (id.to_string(), reasons(id))).collect();
        assert_eq!(gather(told, &[]).len(), super::super::EACH_MAX + 1);
    }
}
