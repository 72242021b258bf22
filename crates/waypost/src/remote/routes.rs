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
    let mut table = Table::new(&["ROUTE", "TO", ">LIVE", ">DECLARED", "MATCH"]);
    for route in routes {
        let matches = route.matches.join(" or ");
        if route.arms.is_empty() {
            table.row([&*route.name, &*route.action, "", "", &matches]);
        }
        for arm in &route.arms {
            // The declared weight is shown only where it differs, to make dials stand out.
            let declared = if arm.declared == arm.live {
                String::new()
            } else {
                arm.declared.to_string()
            };
            table.row([
                &*route.name,
                &*arm.service,
                &arm.live.to_string(),
                &declared,
                &matches,
            ]);
        }
    }
    table.text()
}
