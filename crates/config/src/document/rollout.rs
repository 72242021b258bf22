//! Plans of rollouts.

use waypost_plan::rollout::OnSuccess;
use waypost_rollout::ramp::plan::{Proof, Then};

use crate::collections::NonEmptyList;
use crate::decimal::Decimal;
use crate::document::Document;
use crate::either::{OffOr, PercentOr, Shorthand};
use crate::keys::Presence::{Default as Fallback, Optional, Required};
use crate::keys::keys;
use crate::numbers::{Percent, Whole};
use crate::statuses::Statuses;
use crate::times::DurationText;
use crate::values::{Text, words};
use crate::windows::WindowText;

words! {
    Proof { "step" => Proof::Step, "rollout" => Proof::Rollout, "none" => Proof::None }
    Then { "hold" => Then::Hold, "promote" => Then::Promote, "rollback" => Then::RollBack }
    OnSuccess { "dial" => OnSuccess::Dial, "write" => OnSuccess::Write }
}

impl Shorthand for Rollout {
    const WORDS: &'static str = "the name of one of `rollouts`";
}

keys! {
    root Document;

    /// The plan of a rollout: a new version, the canary, gets its traffic step by step.
    ///
    /// The gateway compares the canary with the baseline over the same seconds, goes on when it is proved not to be worse
    /// than tolerated, and back to 0 % when it is shown to be. The maximum of its durations is `720h`.
    Rollout, "a rollout" {
        /// Service that is rolled out; given by `waypost rollout start --to` otherwise.
        canary: Text = Optional, "checkout-v2";
        /// Service that it is compared with.
        ///
        /// Defaults to the other service of a split of two. A larger split needs it.
        baseline: Text = Optional, "checkout-v1";
        /// Shares of the canary, rising; each a percentage, or a mapping.
        steps: NonEmptyList<PercentOr<RolloutStep>> = Required, "[1, 5, 25, { percent: 50, approve: true }, 100]";
        /// Minimum time of a step. With a judge, it is at least `warmup` and the response timeout of the canary, up to 5m.
        at_least: DurationText = Fallback("1m"), "5m";
        /// Minimum number of the canary's requests in a step.
        requests: Whole = Fallback("100"), "1000";
        /// Proof that a step needs: of this `step`, of the `rollout` so far, or `none`, which leaves time and requests.
        evidence: Proof = Fallback("step"), "rollout";
        /// Time at the beginning of each step in which latency is not judged and nothing is proved. In that of the first
        /// step, 20 % of errors are tolerated.
        warmup: DurationText = Fallback("30s"), "1m";
        /// Longest wait for evidence in a step.
        hold: DurationText = Fallback("2h"), "30m";
        /// Action after `hold`: to go on waiting (`hold`), to take the next step without the proof (`promote`), or to go
        /// back (`rollback`).
        then: Then = Fallback("hold"), "rollback";
        /// Hours in which steps upward are taken, in any of them; the rest of a rollout goes on at any time.
        ///
        /// A window is `DAYS HH:MM-HH:MM ZONE`. The days are single ones, ranges or a list: `Mon`, `Mon-Fri`, `Mon,Thu-Sat`.
        /// A window that ends before it begins goes past midnight, and belongs to the day on which it begins; `00:00-24:00` is
        /// a whole day. The zone is a name such as `Europe/Berlin` or `UTC`.
        windows: NonEmptyList<WindowText> = Optional, "[\"Mon-Fri 09:00-17:00 Europe/Berlin\"]";
        /// The judge; `off` for a ramp by time and requests alone.
        judge: OffOr<Judge> = Optional, "{ errors: { ratio: 2, plus: 1 } }";
        /// Services that are asked before the rollout goes on.
        hooks: RolloutHooks = Optional, "{ before_step: { to: gatekeeper, path: /may } }";
        /// Service that is told of every change of the rollout: a POST with the event as JSON, as `/api/v1/events` has it.
        ///
        /// A notification that is not answered with 2xx within 5s is sent again, after 1s, 2s and so on up to 1m, 10 times in
        /// all, for 15m at most. Nothing waits for it but the next one of the same rollout.
        notify: Destination = Optional, "{ to: chat, path: /hook }";
        /// Goes to changed weights of `to` in these steps, rather than at once. Until the first step the old weights stay
        /// live. The canary is the service whose share grows; a smaller share of a named `canary` is taken at once.
        on_change: bool = Fallback("false"), "true";
        /// The end of a rollout that succeeds: the last share stays as a `dial`, or is put into the config (`write`), as a
        /// revision of its own.
        on_success: OnSuccess = Fallback("dial"), "write";
    }

    /// Services that are asked before a rollout goes on.
    RolloutHooks, "hooks" {
        /// Asked before every step, the first too: a POST with the step as JSON.
        ///
        /// An answer of 2xx lets the rollout go on. Anything else, or none within 5s, holds it, and the service is asked
        /// again 10s later. Neither a rollback nor an action of the operator asks.
        before_step: Destination = Required, "{ to: gatekeeper, path: /may }";
    }

    /// A destination of the gateway's own requests.
    Destination, "a destination" {
        /// Service, reached as requests of clients are: with its endpoints, TLS and protocol.
        to: Text = Required, "gatekeeper";
        /// Path, with or without a query.
        path: Text = Required, "/may";
    }

    /// A step of a rollout.
    RolloutStep, "a step" {
        /// Share of the canary.
        percent: Percent = Required, "25";
        /// Minimum time of this step.
        at_least: DurationText = Optional, "10m";
        /// Minimum number of the canary's requests in this step.
        requests: Whole = Optional, "1000";
        /// Proof that this step needs.
        evidence: Proof = Optional, "none";
        /// Waits for `waypost rollout approve` before the next step.
        approve: bool = Fallback("false"), "true";
    }

    /// The judge of a rollout.
    Judge, "a judge" {
        /// Probability in percent that a version within tolerance is rolled back, however often the judge looks.
        false_rollbacks: Percent = Fallback("1"), "0.1";
        /// Probability in percent that a step of a version beyond tolerance is proved fine.
        false_promotions: Percent = Fallback("5"), "1";
        /// Seconds that have to speak against the canary at least.
        patience: Whole = Fallback("5"), "30";
        /// Tolerated failures, compared with the baseline; `off` to ignore them.
        errors: OffOr<ErrorMargin> = Optional, "{ ratio: 1.5, plus: 0.5 }";
        /// Tolerated responses of class 4xx; `off` to ignore them.
        client_errors: OffOr<Margin> = Optional, "{ ratio: 2, plus: 5 }";
        /// Tolerated requests whose clients leave; `off` to ignore them.
        abandoned: OffOr<Margin> = Optional, "{ ratio: 2, plus: 2 }";
        /// Tolerated slowness; `off` to ignore it.
        latency: OffOr<LatencyMargin> = Optional, "{ p50: 20, p90: 20, p99: 50 }";
        /// Time, up to 1h, after which a request whose response has not begun counts as failed at once, before any timeout.
        ///
        /// Time that is spent waiting for the client's body is left out.
        late: DurationText = Optional, "10s";
    }

    /// The tolerated share of failures: `ratio` times the baseline's, plus `plus` percent.
    ErrorMargin, "a margin of errors" {
        /// Factor on the baseline's share.
        ratio: Decimal = Fallback("1.5"), "2";
        /// Percentage added to it.
        plus: Percent = Fallback("0.5"), "0.1";
        /// Absolute limit on the share, in percent, whatever the baseline's is.
        max: Percent = Optional, "5";
        /// Statuses, and classes of them, of responses that are failures.
        ///
        /// A response that is cut or does not come is a failure in any case, and calls fail by their gRPC status.
        statuses: NonEmptyList<Statuses> = Fallback("[5xx]"), "[5xx, 429]";
        /// Statuses, and classes of them, of responses that are no failures, the gateway's own included.
        exclude: NonEmptyList<Statuses> = Optional, "[501]";
    }

    /// A tolerated share: `ratio` times the baseline's, plus `plus` percent.
    Margin, "a margin" {
        /// Factor on the baseline's share.
        ratio: Decimal = Fallback("2"), "1.5";
        /// Percentage added to it. Defaults to 5 for `client_errors`, to 2 for `abandoned`.
        plus: Percent = Optional, "1";
    }

    /// Tolerated slowness of quantiles, in percent. Where some are named, only those are judged; else p50 and p90 with 20, p99
    /// with 50.
    LatencyMargin, "a margin of latency" {
        /// The median.
        p50: Decimal = Optional, "20";
        /// The 90th percentile.
        p90: Decimal = Optional, "20";
        /// The 99th percentile.
        p99: Decimal = Optional, "50";
    }
}
