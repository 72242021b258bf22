// The bodies of the API about routes, as far as the dashboard reads them.

/** @typedef {{ service: string, declared: number, live: number }} ArmView */
/** @typedef {{ service: string, weight: number }} Weight */

/**
 * @typedef {object} Retry
 * @property {number} attempts
 * @property {string[]} on
 * @property {string[]} methods
 * @property {number} budget
 * @property {string} backoff
 * @property {string | null} timeout
 * @property {number} body
 */

/**
 * @typedef {object} RouteView
 * @property {string} name
 * @property {"forward" | "passthrough" | "redirect" | "respond"} action
 * @property {string[]} matches
 * @property {ArmView[]} arms
 * @property {string | null} sticky
 * @property {string | null} deal
 * @property {string | null} mirror
 * @property {string | null} timeout
 * @property {Retry | null} retry
 * @property {string | null} hedge
 * @property {string | null} rollout
 */

/**
 * @typedef {object} RouteFigures
 * @property {number} window_seconds
 * @property {number} requests
 * @property {number} rate
 * @property {number} failures
 * @property {number} failure_share
 * @property {number} refused by a rule, which is no failure
 * @property {number | null} [p99_ms]
 * @property {{ begin: number, step_seconds: number, requests: number[], failures: number[] }} [sparkline]
 */

/** @typedef {RouteView & { dialed: boolean, figures?: RouteFigures, health?: import("./types.js").Reason }} RouteRow */

/**
 * @typedef {object} RoutesPage
 * @property {RouteRow[]} routes
 * @property {number} all routes without the search
 * @property {number} matching
 * @property {number} offset
 * @property {number} revision
 * @property {number} [instances] that the figures are of
 * @property {string[]} [missing] instances that are left out
 */

/**
 * @typedef {object} Turn
 * @property {string} time
 * @property {Weight[]} before
 * @property {Weight[]} after
 * @property {string} by
 */

/** @typedef {{ key: string, from: string, used_by?: string | null, text?: string | null }} Policy */

/**
 * @typedef {object} RouteExtras
 * @property {Turn[]} turns
 * @property {Policy[]} policies as the first listener has them
 * @property {{ listener: string, policies: Policy[] }[]} [by_listener] where they differ
 * @property {{ status: number, content_type?: string | null, body?: string | null, location?: string | null } | null} [response] of a route that asks no service
 * @property {{ name?: string | null, steps: string[] } | null} [plan]
 */

/** @typedef {RouteView & RouteExtras} RouteDetail */

/**
 * @typedef {object} Bucket
 * @property {number} from_ms
 * @property {number | null} to_ms
 * @property {number} count
 */

/**
 * @typedef {object} ArmStats
 * @property {string} service
 * @property {number} [weight]
 * @property {number} requests
 * @property {number} rate
 * @property {Record<string, number>} classes
 * @property {Record<string, number>} [statuses]
 * @property {Record<string, number>} [grpc]
 * @property {number} errors
 * @property {number} refused by a rule, which is no failure
 * @property {number} error_share
 * @property {[number, number]} error_interval
 * @property {number | null} p50_ms
 * @property {number | null} p90_ms
 * @property {number | null} p99_ms
 * @property {Bucket[]} [latency]
 */

/** @typedef {{ window_seconds: number, instances?: number, missing?: string[], routes: { route: string, arms: ArmStats[] }[] }} Stats */

/** @typedef {{ canary_requests: number, canary_bad: number, baseline_requests: number, baseline_bad: number }} ArmCounts */

/**
 * @typedef {object} Metric
 * @property {string} metric
 * @property {number} evidence
 * @property {number} proof
 * @property {boolean} proved
 * @property {ArmCounts} step
 * @property {number | null} tolerated
 * @property {number | null} canary_ms
 * @property {number | null} baseline_ms
 * @property {number | null} canary_over_ms
 * @property {number | null} baseline_over_ms
 */

/**
 * @typedef {object} Rollout
 * @property {string} route
 * @property {string[]} routes
 * @property {string | null} deal
 * @property {string} canary
 * @property {string} baseline
 * @property {string | null} plan
 * @property {"waiting" | "running" | "paused" | "finished" | "rolled_back" | "aborted"} state
 * @property {number} step
 * @property {number} steps
 * @property {number} percent
 * @property {number | null} next_percent
 * @property {number[]} [shares]
 * @property {boolean} [approve]
 * @property {number} step_seconds
 * @property {number} at_least_seconds
 * @property {number} step_requests
 * @property {string} summary
 * @property {string[]} lacks
 * @property {string | null} next
 * @property {number | null} needed_requests
 * @property {number | null} needed_seconds
 * @property {number} evidence
 * @property {number} rollback_at
 * @property {Metric[]} metrics
 * @property {string} started
 * @property {string} by
 * @property {string | null} ended
 * @property {string} version
 */

/** @typedef {{ time: string, change: string, percent: string, summary: string, by: string }} RolloutChange */

/**
 * @typedef {object} Failure
 * @property {string} time
 * @property {string} method
 * @property {string} host
 * @property {string} path
 * @property {string | null} service
 * @property {string | null} endpoint
 * @property {number} status
 * @property {number | null} grpc_status
 * @property {string} ended_by
 * @property {string} reason
 * @property {string | null} detail
 * @property {number} duration_ms
 * @property {number} revision
 * @property {string | null} request_id
 * @property {[string, string | null][] | null} headers
 */

export {};
