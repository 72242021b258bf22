//! `waypost dial`: changing the live weights of a route.

use std::collections::BTreeMap;

use anyhow::bail;
use waypost_admin::api::deals::DealView;
use waypost_admin::api::routes::{RouteDetail, RouteView};
use waypost_admin::command::{ArmView, DealDialed, Dialed};

use super::client::segment;
use super::table::Table;
use super::{Client, refused, show};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};

/// Turns the dial of `route` to `weights`, or back to the declared weights. With `force`, a rollout of the route is aborted
/// first.
pub(crate) fn dial(
    admin: &AdminArgs,
    route: &str,
    weights: &[String],
    (reset, force): (bool, bool),
    format: Format,
) -> anyhow::Result<Outcome> {
    let client = Client::new(admin)?;
    let path = format!("/api/v1/routes/{}", segment(route));
    let query = if force { "?force=true" } else { "" };
    let split = format!("{path}/split{query}");
    let answer = if reset {
        client.act("DELETE", &split, None)?
    } else {
        let named = parse(weights)?;
        let detail: RouteDetail = match client.get(&path)? {
            Ok(detail) => detail,
            Err(problem) => return refused(&problem, format),
        };
        let all = complete(&format!("`{route}`"), named, &detail.route.arms)?;
        client.put(&split, "application/json", None, body(&all)?)?
    };
    show(answer, format, |dialed: &Dialed| {
        let mut table = Table::new(&HEAD[1..]);
        for row in rows(dialed) {
            table.row(&row[1..]);
        }
        format!(
            "{}the dial of `{}` is live; to undo it: {}\n",
            table.text(),
            dialed.name,
            undo(dialed)
        )
    })
}

/// Turns the dials of all routes of `deal` to `weights`, or back to the declared weights.
pub(crate) fn dial_deal(
    admin: &AdminArgs,
    deal: &str,
    weights: &[String],
    reset: bool,
    format: Format,
) -> anyhow::Result<Outcome> {
    if reset && !weights.is_empty() {
        bail!("there are weights beside `--reset`; hint: leave one of the two out");
    }
    if !reset && weights.is_empty() {
        bail!("there are no weights; hint: write them as `SERVICE=WEIGHT`, or `--reset`");
    }
    let client = Client::new(admin)?;
    let path = format!("/api/v1/deals/{}", segment(deal));
    let split = format!("{path}/split");
    let answer = if reset {
        client.act("DELETE", &split, None)?
    } else {
        let named = parse(weights)?;
        let view: DealView = match client.get(&path)? {
            Ok(view) => view,
            Err(problem) => return refused(&problem, format),
        };
        let all = complete_deal(deal, named, &view.routes)?;
        client.put(&split, "application/json", None, body(&all)?)?
    };
    show(answer, format, |dialed: &DealDialed| {
        let mut table = Table::new(&HEAD);
        for row in dialed.routes.iter().flat_map(rows) {
            table.row(row);
        }
        format!(
            "{}the dials of the deal `{deal}` are live; to undo it: {}\n",
            table.text(),
            undo_deal(dialed)
        )
    })
}

fn body(weights: &[(String, u64)]) -> anyhow::Result<Vec<u8>> {
    let weights: BTreeMap<&str, u64> = weights
        .iter()
        .map(|(service, weight)| (&**service, *weight))
        .collect();
    Ok(serde_json::to_vec(&weights)?)
}

/// The weights of all services of a deal, completed as those of its first route.
fn complete_deal(
    deal: &str,
    named: Vec<(String, u64)>,
    routes: &[RouteView],
) -> anyhow::Result<Vec<(String, u64)>> {
    let Some(first) = routes.first() else {
        return Ok(named);
    };
    // The gateway refuses what cannot be resolved, with a better message.
    let in_first = |service: &str| {
        let mut places = routes
            .iter()
            .filter_map(|route| route.arms.iter().position(|arm| arm.service == service));
        let place = places.next()?;
        let arm = first.arms.get(place)?;
        places.all(|other| other == place).then(|| arm.service.clone())
    };
    let renamed: Option<Vec<(String, u64)>> = named
        .iter()
        .map(|(service, weight)| Some((in_first(service)?, *weight)))
        .collect();
    match renamed {
        Some(renamed) if routes.iter().all(|route| route.arms.len() == first.arms.len()) => {
            let whole = complete(&format!("the deal `{deal}`"), renamed.clone(), &first.arms)?;
            let rest = whole.into_iter().skip(renamed.len());
            Ok(named.into_iter().chain(rest).collect())
        }
        _ => Ok(named),
    }
}

/// Parses `SERVICE=WEIGHT` arguments, each service once.
fn parse(weights: &[String]) -> anyhow::Result<Vec<(String, u64)>> {
    let mut named: Vec<(String, u64)> = Vec::new();
    for text in weights {
        let Some((service, weight)) = text.split_once('=') else {
            bail!("`{text}` is not a weight; hint: write it as `SERVICE=WEIGHT`, such as `users-v2=25`");
        };
        let Ok(weight) = weight.parse::<u64>() else {
            bail!("`{weight}` is not a weight; hint: a weight is a whole number, 0 or more");
        };
        if named.iter().any(|(known, _)| known == service) {
            bail!("`{service}` is given twice");
        }
        named.push((service.to_owned(), weight));
    }
    Ok(named)
}

/// The weights of all services. Of two that add up to 100, one may be omitted: it gets the rest.
fn complete(
    what: &str,
    mut named: Vec<(String, u64)>,
    arms: &[ArmView],
) -> anyhow::Result<Vec<(String, u64)>> {
    let unnamed: Vec<&ArmView> = arms
        .iter()
        .filter(|arm| named.iter().all(|(service, _)| *service != arm.service))
        .collect();
    // The gateway refuses names that are not arms, with a better message.
    let all_known = named
        .iter()
        .all(|(service, _)| arms.iter().any(|arm| arm.service == *service));
    if unnamed.is_empty() || !all_known {
        return Ok(named);
    }
    let sums_to_100 =
        |weight: fn(&ArmView) -> u64| arms.iter().map(weight).fold(0, u64::saturating_add) == 100;
    let shares = arms.len() == 2 && (sums_to_100(|arm| arm.live) || sums_to_100(|arm| arm.declared));
    match (&named[..], &unnamed[..]) {
        ([(_, weight)], [rest]) if shares && *weight <= 100 => {
            let rest = (rest.service.clone(), 100 - weight);
            named.push(rest);
            Ok(named)
        }
        _ => {
            let missing: Vec<String> = unnamed
                .iter()
                .map(|arm| format!("{}=WEIGHT", arm.service))
                .collect();
            bail!(
                "the weight of every service of {what} is needed; hint: add {} (only of two services that add up \
                 to 100, one gets the rest by itself)",
                missing.join(" ")
            )
        }
    }
}

/// The head of a table of turned dials.
const HEAD: [&str; 5] = ["ROUTE", "SERVICE", ">WAS", ">IS", ">SHARE"];

fn rows(dialed: &Dialed) -> Vec<[String; 5]> {
    let sum: u128 = dialed.arms.iter().map(|arm| u128::from(arm.live)).sum();
    let rows = dialed.arms.iter().zip(&dialed.before).map(|(arm, before)| {
        let share = arm.live as f64 * 100.0 / sum.max(1) as f64;
        [
            dialed.name.clone(),
            arm.service.clone(),
            before.weight.to_string(),
            arm.live.to_string(),
            format!("{} %", (share * 100.0).round() / 100.0),
        ]
    });
    rows.collect()
}

/// The command that restores the weights before.
fn undo(dialed: &Dialed) -> String {
    let arms = dialed.arms.iter().zip(&dialed.before);
    let before: Vec<ArmView> = arms
        .map(|(arm, before)| ArmView {
            live: before.weight,
            ..arm.clone()
        })
        .collect();
    undo_of(&dialed.name, &before)
}

/// The command that restores the live weights of these arms.
pub(crate) fn undo_of(route: &str, arms: &[ArmView]) -> String {
    let weights = match arms.iter().all(|arm| arm.live == arm.declared) {
        true => "--reset".to_owned(),
        false => {
            let weights = arms.iter().map(|arm| format!("{}={}", arm.service, arm.live));
            weights.collect::<Vec<String>>().join(" ")
        }
    };
    format!("waypost dial {route} {weights}")
}

/// The commands that restore the weights of all routes of a deal: one, if all had the same.
fn undo_deal(dialed: &DealDialed) -> String {
    let weights =
        |dialed: &Dialed| -> Vec<u64> { dialed.before.iter().map(|before| before.weight).collect() };
    let commands: Vec<String> = dialed.routes.iter().map(undo).collect();
    match &dialed.routes[..] {
        [] => String::new(),
        routes if routes.iter().all(was_declared) => format!("waypost dial --deal {} --reset", dialed.name),
        [first, others @ ..] if others.iter().all(|other| weights(other) == weights(first)) => {
            format!("waypost dial --deal {} {}", dialed.name, set(first))
        }
        _ => commands.join("; "),
    }
}

fn was_declared(dialed: &Dialed) -> bool {
    let mut arms = dialed.arms.iter().zip(&dialed.before);
    arms.all(|(arm, before)| arm.declared == before.weight)
}

fn set(dialed: &Dialed) -> String {
    let weights = dialed.before.iter();
    let weights = weights.map(|before| format!("{}={}", before.service, before.weight));
    weights.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(weights: &[(&str, u64, u64)]) -> Vec<ArmView> {
        let arms = weights.iter().map(|(service, declared, live)| ArmView {
            service: (*service).to_owned(),
            declared: *declared,
            live: *live,
        });
        arms.collect()
    }

    fn check(named: &str, arms: &[ArmView], expected: Option<&str>) {
        let words: Vec<String> = named.split(' ').map(str::to_owned).collect();
        let all = parse(&words).and_then(|named| complete("r", named, arms)).ok();
        let all = all.map(|all| {
            let all = all.iter().map(|(service, weight)| format!("{service}={weight}"));
            all.collect::<Vec<String>>().join(" ")
        });
        assert_eq!(all.as_deref(), expected, "{named}");
    }

    #[test]
    fn of_two_that_add_up_to_100_one_gets_the_rest() {
        let two = arms(&[("a", 95, 95), ("b", 5, 5)]);
        check("b=25", &two, Some("b=25 a=75"));
        check("a=0", &two, Some("a=0 b=100"));
        check("b=101", &two, None);
        check("a=1 b=2", &two, Some("a=1 b=2"));
        check("b=25", &arms(&[("a", 95, 1), ("b", 5, 2)]), Some("b=25 a=75"));
        check("b=25", &arms(&[("a", 9, 9), ("b", 1, 1)]), None);
        check(
            "b=25",
            &arms(&[("a", 50, 50), ("b", 30, 30), ("c", 20, 20)]),
            None,
        );
    }

    #[test]
    fn invalid_weight_is_an_error() {
        let two = arms(&[("a", 95, 95), ("b", 5, 5)]);
        for named in ["b", "b=", "b=-1", "b=1.5", "b=1 b=2"] {
            check(named, &two, None);
        }
        check("x=1", &two, Some("x=1"));
    }
}
