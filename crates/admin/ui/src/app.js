// The frame of all pages: navigation, the health of the gateway, and what is wrong with the connection to it.

import { html, useEffect, useErrorBoundary, useRef, useState } from "./html.js";
import { duration } from "./model/format.js";
import { pages } from "./pages/index.js";
import { link, useAddress } from "./router.js";
import { learnClock, useNow } from "./state/clock.js";
import { lostSince } from "./state/connection.js";
import { useHealth } from "./state/health.js";
import { leave, retry, session, unlock, useRights } from "./state/session.js";
import { useStore } from "./state/store.js";
import { Badge } from "./view/badge.js";
import { Button } from "./view/button.js";
import { Empty } from "./view/empty.js";
import { Field } from "./view/field.js";
import { PendingBanner } from "./view/pending.js";
import { Problem } from "./view/problem.js";
import { Toasts } from "./view/toast.js";

export function App() {
  const { state, error } = useStore(session);
  const lost = useStore(lostSince);
  const wasLocked = useRef(false);
  useEffect(() => {
    // The field that had the focus has gone.
    if (wasLocked.current && state !== "locked") document.getElementById("main")?.focus();
    wasLocked.current = state === "locked";
  }, [state]);
  if (state === "locked") return html`<${Lock} />`;
  return html`<a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <div class=${lost === null ? "frame" : "frame lost"}>
      <${Navigation} />
      <div class="side">
        <${Top} />
        ${lost === null ? null : html`<${LostBanner} since=${lost} />`}
        <${VersionBanner} />
        <${PendingBanner} />
        <main id="main" tabindex="-1">${error !== null && state === "asking" ? html`<h1 class="hidden">No session</h1><${Problem} error=${error} onRetry=${retry} />` : html`<${CurrentPage} />`}</main>
      </div>
    </div>
    <${Toasts} />`;
}

/** An address of its own is the page's, so the link must not change it.
 * @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** @param {string} id */
const pageOf = (id) => pages.find((page) => page.id === id);

function Navigation() {
  const { path } = useAddress();
  const current = path[0] ?? "";
  return html`<nav class="nav" aria-label="Pages">
    <a class="brand" href="#/"><img src="icon.svg" alt="" width="20" height="20" />Waypost</a>
    <ul>${pages.map((page) => html`<li key=${page.id}><a href=${link(page.id === "" ? [] : [page.id])} aria-current=${page.id === current ? "page" : undefined}>
      <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true"><path d=${page.icon} /></svg><span>${page.title}</span></a></li>`)}</ul>
  </nav>`;
}

function Top() {
  const { status: data, verdict, at } = useHealth();
  useEffect(() => {
    if (data && at !== null) learnClock(data, at);
  }, [data, at]);
  const { name, canWrite, reason } = useRights();
  const hasToken = useStore(session).state === "ready" && sessionStorage.getItem("waypost-token") !== null;
  return html`<header class="top">
    <a class="health" href="#/" aria-label=${verdict ? `Health: ${verdict.word}` : "Health"}>
      ${verdict ? html`<${Badge} tone=${verdict.tone} title=${verdict.reasons.map((one) => one.text).join("\n")}>${verdict.word}<//>` : html`<span class="skeleton short"></span>`}</a>
    ${data ? html`<span class="top-fact">revision <b>${data.revision}</b></span>
      <span class="top-fact extra">up <b>${duration(data.uptime_seconds)}</b></span>
      <span class="top-fact extra">version <b>${data.version}</b></span>` : null}
    <span class="top-user">${name ? html`<span title=${reason ?? "This client may change things."}>${name}${canWrite ? "" : " · read only"}</span>` : null}
      ${hasToken ? html`<${Button} look="quiet" onPress=${leave}>Forget token<//>` : null}</span>
  </header>`;
}

/** @param {{ since: number }} props */
function LostBanner({ since }) {
  const now = useNow();
  return html`<div class="banner" role="alert">
    <b>The gateway does not answer.</b> <span>This is the picture of ${duration((now - since) / 1000)} ago. It comes back by itself.</span></div>`;
}

/** The version of the gateway that has sent the pages. */
let version = "";

/** Pages of one version need not understand another one's figures. */
function VersionBanner() {
  const { status } = useHealth();
  if (status && version === "") version = status.version;
  if (!status || status.version === version) return null;
  return html`<div class="banner news" role="status"><span>The gateway is version <b>${status.version}</b> now. These pages are of ${version}.</span>
    <${Button} look="small" onPress=${() => location.reload()}>Reload<//></div>`;
}

function CurrentPage() {
  const { path, query } = useAddress();
  const page = pageOf(path[0] ?? "");
  const place = path.join("/");
  const isFirst = useRef(true);
  useEffect(() => {
    document.title = page && page.id !== "" ? `${[...path].reverse().join(" · ")} · Waypost` : "Waypost";
    scrollTo(0, 0);
    // The focus goes with the page, or a reader of the screen would not hear of it.
    if (!isFirst.current) document.getElementById("main")?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [place]);
  if (!page) return html`<h1>Not found</h1><${Empty} title="There is no such page">The navigation lists those that exist.<//>`;
  return html`<${Guarded} key=${place}><${page.view} path=${path.slice(1)} query=${query} /><//>`;
}

/** A page whose fault leaves the rest alone.
 * @param {{ children?: import("./html.js").Children }} props */
function Guarded({ children }) {
  const [error, reset] = useErrorBoundary((fault) => console.error(fault));
  if (error) return html`<${Problem} error=${error} onRetry=${reset} />`;
  return children;
}

/** Asks for the token. */
function Lock() {
  const { isRefused } = useStore(session);
  const [token, setToken] = useState("");
  const [isBusy, setBusy] = useState(false);
  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (isBusy || token.trim() === "") return;
    setBusy(true);
    await unlock(token.trim());
    setBusy(false);
  }
  return html`<main class="lock"><form onSubmit=${submit}>
    <p class="brand"><img src="icon.svg" alt="" width="24" height="24" />Waypost</p>
    <h1>Token</h1>
    <p>This gateway asks for a token: one of the lines of its <code>admin.token_file</code>. It is kept until the tab is closed.</p>
    <${Field} label="Token" type="password" value=${token} onInput=${setToken} autofocus=${true} autocomplete="off"
      error=${isRefused ? "The gateway does not know this token." : null} />
    <${Button} type="submit" look="main" isBusy=${isBusy} reason=${token.trim() === "" ? "Type the token first." : null}>Open<//>
  </form></main>`;
}
