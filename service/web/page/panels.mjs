// The panels beside the video: this moment, the whole video, what when, warnings, facts.

import { byId, element, show } from "./dom.mjs";
import { clock, percent, size, span } from "./formats.mjs";

const MOST_SEGMENTS = 200; // a list of thousands is slow to lay out, and nobody reads it; the files have all
const STAND_IN = "stand_in_weights";

/** Labels with bars into the list with this id. */
export function showPredictions(id, predictions) {
  const rows = predictions.map(({ label, score }) => {
    const bar = element("span", { className: "bar" });
    bar.style.setProperty("--share", score);
    const number = element("span", { className: "number" }, percent(score));
    return element("li", {}, element("span", { className: "label" }, label), number, bar);
  });
  byId(id).replaceChildren(...rows);
}

/** The mean of the clips' scores by label: what the whole video's labels are so far, but for labels that no clip named. */
export function meanPredictions(clips, count) {
  const sums = new Map();
  for (const { predictions } of clips) {
    for (const { class_id, label, score } of predictions) {
      sums.set(class_id, { class_id, label, score: (sums.get(class_id)?.score ?? 0) + score / clips.length });
    }
  }
  return [...sums.values()].sort((a, b) => b.score - a.score).slice(0, count);
}

/** The list of segments. Earlier ones do not change while clips come, so only the last one and new ones are written. */
export class SegmentList {
  #shown = [];
  #marked = null; // the button that is marked

  constructor(onSeek) {
    this.onSeek = onSeek;
  }

  show(segments) {
    const list = byId("segments");
    const listed = segments.slice(0, MOST_SEGMENTS);
    const done = this.#shown.slice(0, -1);
    const isContinued = done.length < listed.length && done.every((each, index) => each.last === listed[index].last);
    const kept = isContinued ? done.length : 0;
    while (list.children.length > kept) list.lastChild.remove();
    list.append(...listed.slice(kept).map((segment) => this.#row(segment)));
    this.#shown = listed;
    const more = segments.length - listed.length;
    byId("segments-more").textContent = more ? `and ${more.toLocaleString("en")} more: the CSV and WebVTT files have all` : "";
    show(more > 0, byId("segments-more"));
  }

  #row(segment) {
    const button = element(
      "button",
      { type: "button", onclick: () => this.onSeek(segment) },
      element("span", { className: "when" }, `${clock(segment.start)} – ${clock(segment.end)}`),
      element("span", { className: "label" }, segment.label),
      element("span", { className: "number" }, percent(segment.score)),
    );
    return element("li", {}, button);
  }

  /** Mark the one that the player stands in. */
  mark(seconds) {
    const now = this.#shown.findIndex(({ start, end }) => start <= seconds && seconds < end);
    const button = byId("segments").children[now]?.firstChild ?? null;
    if (button === this.#marked) return;
    this.#marked?.removeAttribute("aria-current");
    button?.setAttribute("aria-current", "true");
    this.#marked = button;
  }
}

/** What is odd about the answer. */
export function showWarnings(warnings) {
  show(warnings.length > 0, byId("warnings-panel"));
  const rows = warnings.map(({ code, message }) => {
    const className = code === STAND_IN ? "warning grave" : "warning";
    return element("li", { className }, element("span", {}, ...withCode(message)), element("code", {}, code));
  });
  byId("warnings").replaceChildren(...rows);
}

/** A sentence whose `commands` are shown as such. */
function withCode(sentence) {
  return sentence.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

/** What the numbers rest on: `summary` of a stream. */
export function showFacts({ model, video, timings_ms: timings }) {
  const frames = video.num_frames;
  const rate = video.fps ? `${Number(video.fps.toFixed(3))} a second` : "rate unknown";
  const facts = [
    ["Video", `${video.container}, ${video.codec}, ${video.width} x ${video.height}`],
    ["Frames", `${frames.decoded} decoded, ${frames.used} used, ${rate}`],
    ["Length", video.duration_sec === null ? "unknown" : clock(video.duration_sec, 2)],
    ["Size", size(video.size_bytes)],
    ["Rotation", video.rotation ? `${video.rotation} degrees` : "none"],
    ["SHA-256", video.sha256],
    ["Model", `${model.name}, weights ${model.weights}`],
    ["Weights' SHA-256", model.weights_sha256],
    ["Preprocessing", model.preprocessing],
    ["Computed in", `${model.precision} by ${model.backend}`],
    ["Service", `version ${model.version}`],
    ...Object.entries(timings).map(([stage, ms]) => [`Time: ${stage}`, `${(ms / 1000).toFixed(2)} s`]),
  ];
  byId("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

/** What runs here, in a line: the answer of /info. */
export function showModel({ model, backend, precision }) {
  document.body.classList.toggle("unlabelled", !model.num_classes);
  const isStandIn = model.weights === "stand-in";
  const text = [model.name, model.weights_sha256.slice(0, 8), precision, backend].join(" · ");
  const chip = byId("model");
  const what = model.num_classes ? "labels" : "vectors";
  chip.textContent = isStandIn ? `stand-in weights: ${what} mean nothing · ${precision} · ${backend}` : text;
  chip.className = isStandIn ? "chip grave" : "chip";
  chip.title = `Weights' SHA-256: ${model.weights_sha256}`;
}

/** The panel "this moment": a clip or null, and the URL of what the network sees of it, where there is a picture. */
export function showMoment(clip, picture) {
  byId("moment-when").textContent = clip ? span(clip.start_sec, clip.end_sec) : "";
  show(Boolean(picture), byId("seen"));
  if (picture) byId("seen-picture").src = picture;
  showPredictions("moment", clip?.predictions ?? []);
}
