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
    // Few configs have deals.
    let has_deals = routes.iter().any(|route| route.deal.is_some());
    let head = ["ROUTE", "TO", ">LIVE", ">DECLARED", "DEAL", "MATCH"];
    let mut table = Table::new(&columns(has_deals, head));
    for route in routes {
        let matches = route.matches.join(" or ");
        let deal = route.deal.as_deref().unwrap_or_default();
        if route.arms.is_empty() {
            table.row(columns(
                has_deals,
                [&*route.name, &*route.action, "", "", deal, &matches],
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
            let cells = [&*route.name, &*arm.service, &live, &declared, deal, &matches];
            table.row(columns(has_deals, cells));
        }
    }
    table.text()
}

/// The cells of a row, with that of the deal or without it.
fn columns(has_deals: bool, [route, to, live, declared, deal, matches]: [&str; 6]) -> Vec<&str> {
    let mut cells = vec![route, to, live, declared];
    cells.extend(has_deals.then_some(deal));
    cells.push(matches);
    cells
}
