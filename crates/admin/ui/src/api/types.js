// The bodies of the API, as far as the dashboard reads them. `/api/v1/openapi.json` describes all.

/**
 * @typedef {object} Diagnostic
 * @property {string} severity `error` or `warning`
 * @property {string} [code]
 * @property {string} message
 * @property {DiagnosticLabel[]} [labels]
 * @property {string | null} [help]
 */

/**
 * @typedef {object} DiagnosticLabel
 * @property {string} file
 * @property {number} line
 * @property {number} column
 * @property {number} [end_line]
 * @property {number} [end_column] behind the last character
 * @property {string} [text]
 */

/**
 * @typedef {object} ClientView
 * @property {string} name
 * @property {"read" | "write"} role
 */

/** @typedef {{ severity: "error" | "warning", kind: string, name?: string, service?: string, past?: boolean, message: string }} Reason */

/**
 * @typedef {object} Status
 * @property {boolean} ok
 * @property {"ok" | "warning" | "error"} [health]
 * @property {"healthy" | "attention" | "degraded" | "failing"} [word]
 * @property {Reason[]} [reasons]
 * @property {string} version
 * @property {number} pid
 * @property {string} started
 * @property {number} uptime_seconds
 * @property {number} revision
 * @property {string} config
 * @property {boolean} draining
 * @property {{ name: string | null, bind: string, address: string | null, scheme: string }[]} listeners
 * @property {number} routes
 * @property {number} services
 * @property {number} workers
 * @property {number} connections
 * @property {string[]} dialed
 * @property {RolloutReport[]} rollouts
 * @property {{ time: string, message: string, diagnostics: Diagnostic[] } | null} failed_load
 * @property {string[]} stale_files
 * @property {{ revision: number, reverts_at: string, reverts_to: number, by: string } | null} pending
 * @property {boolean} upgrading
 * @property {{ message: string } | null} failed_upgrade
 * @property {StateReport} state
 * @property {FleetStatus | null} [fleet]
 * @property {OrderReport[]} [orders] of certificates that authorities issue
 * @property {number} access_log_lost
 */

/** @typedef {{ instance: string, instances: number, leader: string | null, canary?: Canary }} FleetStatus */
/** @typedef {{ word: Status["word"], reasons: Reason[], instances: number, missing?: string[] }} FleetHealth of all instances */

/**
 * @typedef {object} Canary a config that some instances try
 * @property {string} id
 * @property {{ id: string, state?: "waiting" | "healthy" | "failed" | "gone", why?: string }[]} instances
 * @property {number} hold_ms
 * @property {string} time
 * @property {string | null} by
 * @property {string} summary
 */

/** @typedef {{ route: string, canary: string, step: number, steps: number, share: number, evidence: number, paused: boolean, [key: string]: unknown }} RolloutReport */
/** @typedef {{ hosts: string[], directory: string, state: "waiting" | "ordering" | "valid" | "failing", error: string | null, next: string | null }} OrderReport */
/** @typedef {{ directory: string, writable: boolean, troubles: string[], damaged: { file: string, now: string, why: string }[] }} StateReport */

/**
 * @typedef {object} Mark
 * @property {string} time
 * @property {string} event
 * @property {string | null} route
 * @property {string | null} service
 * @property {string} text
 */

/**
 * @typedef {object} Series
 * @property {string | null} service
 * @property {(number | null)[]} requests
 * @property {(number | null)[]} failures
 * @property {(number | null)[]} refused by a rule, which is no failure
 * @property {(number | null)[]} p50_ms
 * @property {(number | null)[]} p99_ms
 */

/**
 * @typedef {object} Timeline
 * @property {string | null} route
 * @property {number} step_seconds
 * @property {number} begin
 * @property {number} next
 * @property {number} [instances] that these are the figures of
 * @property {string[]} [missing] instances that are left out
 * @property {Series[]} series
 * @property {Mark[]} marks
 * @property {{ interval_seconds: number, left_out_requests: number, [key: string]: number }} kept
 */

/**
 * @typedef {object} AddressDetail
 * @property {string} address
 * @property {boolean} ejected
 * @property {string} state `up`, `unknown`, `down`, `ejected` or `drained`
 * @property {string} [reason]
 * @property {string} since
 * @property {string} [until]
 * @property {number} weight
 * @property {number} in_flight
 * @property {number} requests
 * @property {number} failures
 * @property {number} [p99_ms]
 */

/**
 * @typedef {object} EndpointView
 * @property {string} endpoint
 * @property {number} weight
 * @property {boolean} backup
 * @property {boolean} [taken]
 * @property {AddressDetail[]} addresses
 */

/**
 * @typedef {object} ServiceView
 * @property {string} name
 * @property {EndpointView[]} endpoints
 * @property {string[]} routes
 * @property {string[]} mirrors
 */

/**
 * @typedef {object} ServicesPage
 * @property {ServiceView[]} services
 * @property {number} all services without the search
 * @property {number} matching
 * @property {number} offset
 * @property {number} [next_offset]
 * @property {number} revision
 */

/**
 * @typedef {object} RouteFigures
 * @property {number} window_seconds
 * @property {number} requests
 * @property {number} rate
 * @property {number} failures
 * @property {number} failure_share
 * @property {number} refused by a rule, which is no failure
 * @property {number} [p99_ms]
 * @property {{ begin: number, step_seconds: number, requests: number[], failures: number[] }} [sparkline]
 */

/**
 * @typedef {object} RouteRow
 * @property {string} name
 * @property {string} action
 * @property {string[]} matches
 * @property {{ service: string, declared: number, live: number }[]} arms
 * @property {boolean} dialed
 * @property {RouteFigures} [figures]
 * @property {Reason} [health]
 */

/**
 * @typedef {object} RoutesPage
 * @property {RouteRow[]} routes
 * @property {number} all
 * @property {number} matching
 * @property {number} offset
 * @property {number} [next_offset]
 * @property {number} revision
 * @property {number} [instances] that the figures are of
 * @property {string[]} [missing] instances that are left out
 */

/**
 * @typedef {object} CertificateView
 * @property {string} listener
 * @property {string[]} names
 * @property {string} not_after
 * @property {number} days whole days until then; negative afterwards
 * @property {boolean} ends_soon it should have been renewed by now
 * @property {boolean} self_signed
 * @property {string} [file] absent for one that an authority issues
 * @property {string} [directory] of the authority that issues it
 */

export {};
