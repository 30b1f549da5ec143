// A service that is full, still warming up, or wants a key: the question is kept and asked again.

import { byId, show } from "./dom.mjs";
import { roughly } from "./formats.mjs";
import { Problem } from "./problems.mjs";
import { key } from "./service.mjs";
import { hideProblem, showProblem, showStatus } from "./status.mjs";

const UNKNOWN_WAIT_S = 5; // where a refusal does not say when to come again
const WARMING_WAIT_S = 2;

/** What `ask` gives. Refusals that pass by themselves are waited for; the others are thrown. */
export async function patiently(ask, signal) {
  for (;;) {
    try {
      return await ask();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (problem.status === 429) await countDown(problem, signal);
      else if (problem.code === "warming") await warming(problem, signal);
      else if (problem.code === "unauthorized") await askForKey(problem, signal);
      else throw problem;
    }
  }
}

async function countDown(problem, signal) {
  const hurry = new AbortController();
  showProblem(problem, { "Send now": () => hurry.abort() });
  for (let left = problem.retryAfterS || UNKNOWN_WAIT_S; left > 0 && !hurry.signal.aborted; left -= 1) {
    showStatus("full", `The service is full. Sending again in ${roughly(left)}`, { canStop: true });
    await pause(1, AbortSignal.any([signal, hurry.signal]), signal);
  }
  hideProblem();
}

async function warming(problem, signal) {
  showStatus("warming", problem.detail.replace(/ Ask again.*/, " It begins by itself."), { canStop: true });
  await pause(WARMING_WAIT_S, signal, signal);
}

/** Wait. `waking` ends the wait; `signal` throws. */
function pause(seconds, waking, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    const wake = () => {
      clearTimeout(timer);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    if (waking.aborted) wake();
    else waking.addEventListener("abort", wake, { once: true });
  });
}

/** The form for a key, until one is sent. */
function askForKey(problem, signal) {
  const form = byId("key-form");
  const input = byId("key");
  byId("key-wrong").textContent = key.get() ? "The service does not know this key." : "";
  showStatus("key", "The service asks for a key", { canStop: false });
  show(true, form);
  input.focus();
  return new Promise((resolve, reject) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      key.set(input.value.trim());
      input.value = "";
      show(false, form);
      resolve();
    };
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
