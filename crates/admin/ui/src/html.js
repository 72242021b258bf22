// Markup for components: htm bound to Preact, and the hooks, from one place.

import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

/** @typedef {import("preact").ComponentChildren} Children */

export const html = htm.bind(h);

export { Fragment, render } from "../vendor/preact.js";
export { useCallback, useEffect, useErrorBoundary, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
