// What goes on now: the line with the bar below the video, what a screen reader is told, and the problem on top.

import { byId, element, show } from "./dom.mjs";

const ANNOUNCE_MS = 15_000; // a screen reader is told of progress so often, and of a new state at once

let announced = { state: "", atMs: 0 };

/** Show a state. `done` and `total` fill the bar; without a total it shows that something goes on. */
export function showStatus(state, text, { done = 0, total = null, canStop = false, canStart = false } = {}) {
  byId("status").textContent = text;
  const bar = byId("bar");
  if (total === null) bar.removeAttribute("value");
  else Object.assign(bar, { max: Math.max(1, total), value: done });
  show(state !== "done" && state !== "stopped", bar);
  show(canStop, byId("stop"));
  show(canStart, byId("start"));
  document.body.dataset.state = state;
  const nowMs = performance.now();
  if (state !== announced.state || nowMs - announced.atMs > ANNOUNCE_MS) {
    announced = { state, atMs: nowMs };
    byId("announcement").textContent = text;
  }
}

/** Show a problem, with buttons {text: action}. */
export function showProblem({ title, detail, code, requestId }, actions = {}) {
  byId("problem-title").textContent = title;
  byId("problem-detail").textContent = detail;
  byId("problem-code").textContent = [code, requestId && `request ${requestId}`].filter(Boolean).join(" · ");
  byId("problem-actions").replaceChildren(
    ...Object.entries(actions).map(([text, onclick]) => element("button", { type: "button", onclick }, text)),
  );
  show(true, byId("problem"));
}

export function hideProblem() {
  show(false, byId("problem"));
}
