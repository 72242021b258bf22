//! The request that a service gets, and the services that may get it.

use waypost_plan::duration;
use waypost_plan::route::Forward;
use waypost_route::split::Split;

use super::{Arm, Explainer, Explanation, Outcome, Retry, Rollout, State, headers_of, secrets, text};
use crate::arm::ArmChoice;
use crate::decision::{DecisionBuffers, Forwarding};
use crate::head::upstream::UpstreamHead;
use crate::request::IncomingRequest;

impl<S: State> Explainer<'_, S> {
    /// Adds the request that the service gets.
    pub(super) fn forward(
        &self,
        request: &IncomingRequest<'_>,
        forwarding: Forwarding<'_>,
        buffers: &DecisionBuffers,
    ) -> Explanation {
        let path = forwarding.path(self.normalized.path(), buffers);
        let head = UpstreamHead {
            request: *request,
            policies: forwarding.policies,
            host: forwarding.host,
            path,
            prefix: forwarding.replaced_prefix(buffers),
            filled: &buffers.filled,
            request_id: buffers.sent_id(request.listener, self.normalized.client()),
            way: buffers.way(),
        };
        let endpoint = self.compiled.plan().service(forwarding.service).endpoints.first();
        let authority = endpoint.map_or(&b""[..], |endpoint| endpoint.authority.as_bytes());
        let mut out = Vec::new();
        head.write(authority, &mut out);
        let mut headers = headers_of(&out);
        let policies = forwarding.policies;
        if let Some(auth) = &policies.auth {
            secrets::hide_in_headers(auth, &mut headers);
        }
        secrets::hide_copies(self.compiled.plan(), &policies.request_headers, &mut headers);
        let host = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
        let retry = policies.retry.as_ref();
        Explanation {
            timeout: policies.timeout.map(duration::format),
            retry: retry.map(Retry::from),
            hedge: retry.and_then(|retry| retry.hedge).map(duration::format),
            host: host.map(|(_, value)| value.clone()),
            path: text(path),
            query: forwarding
                .query(self.head.query(self.buffer), buffers)
                .map(|query| secrets::without_in_query(self.compiled, query)),
            ..self.blank(Outcome::Forward, Some(forwarding.route), headers.clone())
        }
    }

    /// Names the service, or the arms that may get the request.
    pub(super) fn name_arms(
        &self,
        explanation: &mut Explanation,
        forward: &Forward,
        split: &Split,
        arm: Option<(usize, ArmChoice)>,
    ) {
        let plan = self.compiled.plan();
        let name = |arm: usize| plan.service(forward.arms[arm]).name.to_string();
        match arm {
            _ if forward.arms.len() == 1 => explanation.service = Some(name(0)),
            Some((arm, ArmChoice::Forced(_))) => explanation.service = Some(name(arm)),
            _ => {
                let weights = split.weights().iter().enumerate();
                let arms = weights.map(|(arm, weight)| Arm {
                    service: name(arm),
                    weight: *weight,
                });
                explanation.arms = Some(arms.collect());
            }
        }
        if let Some((arm, ArmChoice::Cohort(_))) = arm {
            explanation.cohort = Some(name(arm));
        }
        let rollout = forward.split_policies.rollout.as_ref();
        explanation.rollout = rollout.map(|rollout| Rollout {
            plan: rollout.name.as_deref().map(str::to_owned),
            steps: rollout.plan.ramp.steps.len(),
            ..Rollout::default()
        });
    }
}
