//! Texts with values of the request: rewrites, locations and edits.

use waypost_plan::redirect::Redirect;
use waypost_plan::rewrite::Rewrite;
use waypost_plan::value::fill::FillError;
use waypost_route::path::PathPattern;
use waypost_wire::request::RequestError;

use super::{DecisionBuffers, Environment, Forwarding, Verdict};
use crate::failure::Failure;
use crate::filled::Filled;
use crate::request::IncomingRequest;
use crate::step::Step;
use crate::values::RequestValues;

/// Rewrites and edits the request for the service of its arm, which is called `service`, and checks what can keep it from
/// there.
pub(super) fn forward_to(
    forwarding: Forwarding<'_>,
    service: &str,
    request: &IncomingRequest<'_>,
    pattern: &PathPattern,
    environment: &impl Environment,
    buffers: &mut DecisionBuffers,
) -> Result<(), (Step, Failure)> {
    let policies = forwarding.policies;
    let DecisionBuffers {
        path,
        filled,
        request_id,
        way_back,
        judged,
        ..
    } = buffers;
    let identity = judged.as_ref().and_then(|judged| judged.identity.as_ref());
    let values = RequestValues::of(request, pattern, environment, request_id).known_as(identity);
    let values = values.named(&forwarding.route.matching.name, service);
    path.clear();
    if rewrite(&policies.rewrite, request, pattern, &values, path, filled).is_err() {
        return Err((Step::Rewrite, Failure::Rewrite));
    }
    if policies.request_headers.has_templates() {
        filled.request_lines.clear();
        policies.request_headers.fill(&values, &mut filled.request_lines);
    }
    if forwarding.moves() {
        way_back.find(
            &policies.rewrite,
            forwarding.host,
            request,
            pattern,
            &values,
            &filled.host,
        );
    }
    if request.demands_upgrade && request.upgrade(policies).is_none() {
        return Err((Step::Rewrite, Failure::Request(RequestError::Method)));
    }
    if !environment.has_endpoint(forwarding.service) {
        return Err((Step::Balance, Failure::NoEndpoint));
    }
    Ok(())
}

/// Leaves the rewritten path in `path`, and host and query in `filled`, as far as they are not as they were.
fn rewrite(
    rewrite: &Rewrite,
    request: &IncomingRequest<'_>,
    pattern: &PathPattern,
    values: &RequestValues<'_>,
    path: &mut Vec<u8>,
    filled: &mut Filled,
) -> Result<(), FillError> {
    if !rewrite.path.keeps() {
        let client_path = request.normalized.path();
        let options = request.listener.paths;
        rewrite.path.apply(client_path, pattern, options, values, path)?;
    }
    if !rewrite.query.keeps() {
        filled.query.clear();
        rewrite.query.write(request.query, values, &mut filled.query);
    }
    if let Some(host) = &rewrite.host
        && !host.is_literal()
    {
        filled.host.clear();
        host.fill_host(values, true, &mut filled.host)?;
    }
    Ok(())
}

/// Redirects the request as its listener does with every one, unless that leads back to where the client is.
pub(super) fn redirect_all<'p>(
    redirect: &Redirect,
    request: &IncomingRequest<'_>,
    environment: &impl Environment,
    buffers: &mut DecisionBuffers,
) -> Option<Verdict<'p>> {
    let pattern = PathPattern::any();
    let values = RequestValues::of(request, &pattern, environment, &buffers.request_id);
    let location = &mut buffers.location;
    (!redirect.leads_back(&request.url(), &values))
        .then(|| locate(redirect, request, &pattern, &values, location))
}

/// Leaves the `location` of a redirect in `location`.
pub(super) fn locate<'p>(
    redirect: &Redirect,
    request: &IncomingRequest<'_>,
    pattern: &PathPattern,
    values: &RequestValues<'_>,
    location: &mut Vec<u8>,
) -> Verdict<'p> {
    location.clear();
    let url = request.url();
    match redirect.location(&url, pattern, request.listener.paths, values, location) {
        Ok(()) => Verdict::Redirect {
            status: redirect.status,
        },
        Err(_) => Verdict::Fail(Failure::Rewrite),
    }
}
