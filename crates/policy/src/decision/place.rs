//! The place of a request, for values that are filled in behind its decision.

use std::borrow::Cow;
use std::cell::Cell;

use waypost_plan::Plan;
use waypost_route::path::PathPattern;

use super::DecisionBuffers;
use crate::request::IncomingRequest;
use crate::request_id::Uuid;
use crate::values::{Circumstances, RequestValues};

/// The place of a request whose values are filled in after it was decided on, as for an error page.
#[derive(Debug, Clone)]
pub struct ValuePlace<'p> {
    pattern: Cow<'p, PathPattern>,
    /// Empty without one.
    route: &'p str,
    /// Empty before one is chosen.
    service: &'p str,
    buffers: &'p DecisionBuffers,
}

impl<'p> ValuePlace<'p> {
    /// The place of the request that was decided on with `buffers`.
    pub fn of(plan: &'p Plan, buffers: &'p DecisionBuffers) -> Self {
        let service = buffers.service.map_or("", |service| &plan.service(service).name);
        let Some(taken) = buffers.taken else {
            return Self {
                pattern: Cow::Owned(PathPattern::any()),
                route: "",
                service,
                buffers,
            };
        };
        let matching = &plan.routes()[taken.route].matching;
        Self {
            pattern: Cow::Borrowed(&matching.alternatives[taken.alternative].path),
            route: &matching.name,
            service,
            buffers,
        }
    }

    /// The values of `request`; `made` keeps its id.
    pub fn values<'a>(
        &'a self,
        request: &'a IncomingRequest<'a>,
        circumstances: &'a dyn Circumstances,
        made: &'a Cell<Option<Uuid>>,
    ) -> RequestValues<'a> {
        RequestValues::of(request, &self.pattern, circumstances, made)
            .named(self.route, self.service)
            .asking(self.buffers.query(request.query))
    }
}
