//! `waypost routes`: the routes of a running gateway, with declared and live weights.

use waypost_admin::api::routes::RouteView;

use super::table::Table;
use super::{Client, show};
use crate::Outcome;
use crate::cli::{AdminArgs, Format};

/// Lists the routes.
pub(crate) fn routes(admin: &AdminArgs, format: Format) -> anyhow::Result<Outcome> {
    show(
        Client::new(admin)?.get("/api/v1/routes")?,
        format,
        |routes: &Vec<RouteView>| in_columns(routes),
    )
}

fn in_columns(routes: &[RouteView]) -> String {
    // Few configs have deals, shared policies, or rollouts under way.
    let shown = [
        routes.iter().any(|route| route.deal.is_some()),
        routes.iter().any(|route| route.rollout.is_some()),
        routes.iter().any(|route| !route.uses.is_empty()),
    ];
    let head = [
        "ROUTE",
        "TO",
        ">LIVE",
        ">DECLARED",
        "DEAL",
        "ROLLOUT",
        "USE",
        "MATCH",
    ];
    let mut table = Table::new(&columns(shown, head));
    for route in routes {
        let matches = route.matches.join(" or ");
        let deal = route.deal.as_deref().unwrap_or_default();
        let rollout = route.rollout.as_deref().unwrap_or_default();
        let uses = route.uses.join(", ");
        if route.arms.is_empty() {
            table.row(columns(
                shown,
                [
                    &*route.name,
                    &*route.action,
                    "",
                    "",
                    deal,
                    rollout,
                    &uses,
                    &matches,
                ],
            ));
        }
        for arm in &route.arms {
            // The declared weight is shown only where it differs, to make dials stand out.
            let declared = if arm.declared == arm.live {
                String::new()
            } else {
                arm.declared.to_string()
            };
            let live = arm.live.to_string();
            let cells = [
                &*route.name,
                &*arm.service,
                &live,
                &declared,
                deal,
                rollout,
                &uses,
                &matches,
            ];
            table.row(columns(shown, cells));
        }
    }
    table.text()
}

/// The cells of a row, with those of deal, rollout and policies where they are shown.
fn columns(
    [has_deals, has_rollouts, has_uses]: [bool; 3],
    [route, to, live, declared, deal, rollout, uses, matches]: [&str; 8],
) -> Vec<&str> {
    let mut cells = vec![route, to, live, declared];
    cells.extend(has_deals.then_some(deal));
    cells.extend(has_rollouts.then_some(rollout));
    cells.extend(has_uses.then_some(uses));
    cells.push(matches);
    cells
}
