// Where would this request go, and why? The answer is the gateway's, by the code that serves traffic.

import { ApiError, post } from "../api/client.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { filesOf, isEdited } from "../model/draft.js";
import { fromQuery, toBody, toQuery } from "../model/question.js";
import { go, link } from "../router.js";
import { draft } from "../state/draft.js";
import { session } from "../state/session.js";
import { useStore } from "../state/store.js";
import { Empty } from "../view/empty.js";
import { Problem } from "../view/problem.js";
import { Answer } from "./ask/answer.js";
import { AskForm } from "./ask/form.js";
import { DraftAnswer } from "./ask/draft.js";

/** @typedef {import("../model/question.js").Question} Question */
/** @typedef {import("../model/explained.js").Explanation} Explanation */

/**
 * An answer of the gateway, or of the draft.
 * @typedef {{ answer: Explanation | null, error: ApiError | null }} Told
 */

/** Rules that an answer has at most: with those of all hosts there may be a hundred thousand. */
const RULES_MAX = 2000;

/** @param {{ query: Record<string, string> }} props */
export function Ask({ query }) {
  const [question, setQuestion] = useState(() => fromQuery(query));
  const [asked, setAsked] = useState(/** @type {Question | null} */ (null));
  const [told, setTold] = useState(/** @type {Told | null} */ (null));
  const [byDraft, setByDraft] = useState(/** @type {Told | null} */ (null));
  const [isBusy, setBusy] = useState(false);
  const now = useStore(draft);
  const { state } = useStore(session);
  const hasDraft = now !== null && isEdited(now);
  const isReady = state === "ready";
  const given = JSON.stringify(query);
  const begun = useRef(given);
  const own = useRef("");
  const last = useRef(0);

  // An address is a question. The one that the page has written itself lacks what may be secrets.
  useEffect(() => {
    if (!isReady || given === own.current) return;
    const isFirst = own.current === "" && given === begun.current;
    own.current = given;
    const next = fromQuery(query);
    // The form began with the first one, and may have been filled in since.
    if (!isFirst) setQuestion(next);
    if (next.url !== "") void ask(next);
    else setTold(null);
  }, [given, isReady]);

  /** @param {Question} next */
  async function ask(next) {
    const turn = ++last.current;
    setBusy(true);
    const body = toBody(next);
    const edited = draft.get();
    const [first, second] = await Promise.all([
      answerTo(body),
      edited !== null && isEdited(edited) ? answerTo({ ...body, draft: { files: filesOf(edited) } }) : null,
    ]);
    // A later question has been asked meanwhile.
    if (turn !== last.current) return;
    setBusy(false);
    setAsked(next);
    setTold(first);
    setByDraft(second);
  }

  /** @param {Question} next */
  function submit(next) {
    const { query: kept } = toQuery(next);
    const href = link(["ask"], kept);
    own.current = JSON.stringify(Object.fromEntries(new URLSearchParams(href.split("?")[1] ?? "")));
    go(href);
    void ask(next);
  }

  return html`<h1>Ask</h1>
    <${AskForm} question=${question} onChange=${setQuestion} onAsk=${submit} isBusy=${isBusy} />
    <div aria-live="polite" aria-busy=${isBusy ? "true" : undefined} class="answers">
      ${told?.error ? html`<${Problem} error=${told.error} onRetry=${() => ask(question)} />` : null}
      ${told?.answer && asked ? html`
        ${hasDraft && byDraft ? html`<${DraftAnswer} now=${told.answer} told=${byDraft} />` : null}
        <${Answer} answer=${told.answer} question=${asked} />` : null}
      ${told === null && !isBusy ? html`<section class="panel" aria-label="Answer"><div class="body"><${Empty} title="Where does a request go?"
        command="waypost explain GET http://api.example.com/users/7 -H 'x-api-version: 2'">Give a URL, or paste a curl line: the gateway says which rule takes the request, what is forwarded, and why each other rule does not. The same in a terminal:<//></div></section>` : null}
    </div>`;
}

/**
 * @param {Record<string, unknown>} body
 * @returns {Promise<Told>}
 */
async function answerTo(body) {
  try {
    const { data } = await post("/api/v1/explain", { body: { ...body, considered_max: RULES_MAX } });
    return { answer: /** @type {Explanation} */ (data), error: null };
  } catch (error) {
    return { answer: null, error: error instanceof ApiError ? error : new ApiError(-1, "Fault of the dashboard", String(error)) };
  }
}
