// The page: a video is chosen, sent, and shown as the network understands it.

import { analyse, ensureFeatures, question, showDone } from "./analysis.mjs";
import { Comparison } from "./compare.mjs";
import { byId, element, oncePerFrame, show } from "./dom.mjs";
import { fingerprint } from "./fingerprint.mjs";
import { roughly, size } from "./formats.mjs";
import { meanPredictions, SegmentList, showFacts, showModel, showMoment, showPredictions, showWarnings } from "./panels.mjs";
import { patiently } from "./patience.mjs";
import { Player } from "./player.mjs";
import { checkSize, Problem } from "./problems.mjs";
import { segmentsOf } from "./segments.mjs";
import { read } from "./service.mjs";
import { hideProblem, showProblem, showStatus } from "./status.mjs";
import { Strip } from "./strip.mjs";
import { startTakeAway } from "./takeaway.mjs";
import { startTheme } from "./theme.mjs";
import { Timeline } from "./timeline.mjs";
import { middleOf, tileAt } from "./tiles.mjs";
import { KnownVideos, Video } from "./video.mjs";

const TOP_K = 5; // as the service has it unasked
const LONG_S = 900; // a longer video that the browser plays itself gets no pictures of the network's: they are 4 kB a clip
const REST_MS = 200; // between two drawings of all: clips can come faster than anybody looks

const known = new KnownVideos();
const player = new Player(byId("video"), byId("picture"), onTime);
const strip = new Strip(byId("strip"));
const timeline = new Timeline({ onSeek: (seconds) => player.seek(seconds), onToggle: () => player.toggle() });
const segmentList = new SegmentList((segment) => player.seek(middleOf(timeline.tiles[segment.first])));
const comparison = new Comparison();
const redraw = oncePerFrame(draw, REST_MS);

let info = null; // the answer of /info
let current = null; // the Video that is shown
let shownClip = null; // the clip of the panel "this moment"
let work = new AbortController(); // of what goes on now

/** End what goes on, and begin something else: its signal. */
function begin() {
  work.abort();
  work = new AbortController();
  hideProblem();
  show(false, byId("key-form"));
  return work.signal;
}

/** Open files one after the other. */
async function openAll(files) {
  const signal = begin();
  for (const file of files) {
    if (!signal.aborted) await open(file, signal);
  }
}

/** Show a file, and what the network sees in it: from memory where the page knows it. */
async function open(file, signal) {
  try {
    const isPlayable = await present(new Video(file));
    showStatus("asking", "Asking the service", { canStop: true });
    await askInfo(signal);
    const name = [await fingerprint(file), info.model.weights_sha256, info.precision].join("|");
    const before = known.get(name);
    signal.throwIfAborted();
    if (before) {
      showKnown(before);
      return;
    }
    checkSize(file, info.limits.max_upload_bytes);
    const withPictures = !isPlayable || player.duration <= LONG_S;
    current.path = question(info.model, { withPictures });
    await analyse(current, current.path, { usual: info.clips_per_s, signal, onChange: redraw });
    known.add(name, current);
    draw(); // at once: who is told that it is done shall see it
    showDone(current, false);
    listKnown();
  } catch (error) {
    fail(error, signal, () => openAll([file]));
  }
}

async function askInfo(signal) {
  info = await patiently(() => read("info", signal), signal);
  showModel(info);
  const { max_upload_bytes: bytes, max_video_s: seconds } = info.limits;
  byId("limits").textContent = `Up to ${size(bytes)} and ${roughly(seconds)}, in nearly any format.`;
}

/** Say what went wrong. A work that was ended has nothing to say. */
function fail(error, signal, again) {
  if (signal.aborted) return;
  const isTold = error instanceof Problem;
  if (!isTold) console.error(error);
  const detail = "The page has a fault. The browser's console has the cause. Load the page again.";
  showProblem(isTold ? error : { title: "This page failed", detail, code: "page_failed" }, { "Try again": again });
  showStatus("stopped", current?.clips.length ? "Not done: what has come stays" : "Not done");
  show(player.playable || current?.clips.length > 0, byId("view")); // else there is nothing to look at
  redraw();
}

/** Put a video on the page. Resolves to whether the browser can play it. */
async function present(video) {
  comparison.close();
  current = video;
  shownClip = null;
  document.body.classList.add("has-video");
  byId("file-name").textContent = video.file.name;
  byId("file-size").textContent = size(video.file.size);
  document.title = `${video.file.name} - C3D`;
  show(true, byId("view"));
  show(false, byId("curl"));
  strip.clear();
  redraw();
  const isPlayable = await player.load(video.file, (seconds) => video.pictureAt(seconds));
  if (video === current && isPlayable) strip.ofVideo(video.file);
  redraw();
  return isPlayable;
}

/** Show a video that the page knows. */
function showKnown(video) {
  present(video);
  draw();
  showDone(video, true);
  listKnown();
}

function listKnown() {
  const videos = known.all();
  const buttons = videos.map((video) => {
    const button = element("button", { type: "button", onclick: () => begin() && showKnown(video) }, video.file.name);
    if (video === current) button.setAttribute("aria-current", "true");
    return element("li", {}, button);
  });
  byId("known").replaceChildren(...buttons);
  show(videos.length > 1, byId("known-panel"));
  const options = videos.map((video, index) => {
    const text = video === current ? `${video.file.name} (itself: what repeats)` : video.file.name;
    return element("option", { value: String(index), selected: video !== current }, text);
  });
  byId("other").replaceChildren(...options);
}

/** Everything of the current video that depends on its clips. */
function draw() {
  if (!current) return;
  const { clips, summary } = current;
  timeline.setClips(clips, current.duration || player.duration);
  show(!player.playable && current.pictures.length === 0, byId("no-player"));
  show(!player.playable && current.pictures.length > 0, byId("stand-in-player"));
  if (!player.playable) strip.ofPictures((seconds) => current.pictureAt(seconds), current.duration);
  segmentList.show(segmentsOf(clips, timeline.tiles));
  byId("whole-state").textContent = summary ? "" : "so far";
  showPredictions("whole", summary?.predictions ?? meanPredictions(clips, TOP_K));
  showWarnings(current.warnings);
  show(clips.length > 0 || document.body.dataset.state !== "stopped", byId("results"));
  show(clips.length === 0, byId("moment-none"), byId("whole-none"));
  show(clips.length > 0, byId("segments-panel"), byId("timeline-hint"));
  show(Boolean(summary), byId("take-panel"), byId("facts-panel"), byId("compare-panel"));
  if (summary) showFacts(summary);
  player.refresh();
}

function onTime(seconds) {
  if (!current) return;
  timeline.setTime(seconds);
  segmentList.mark(seconds);
  const index = tileAt(timeline.tiles, seconds);
  const clip = current.clips[index] ?? null;
  if (clip === shownClip) return;
  shownClip = clip;
  showMoment(clip, current.pictures[index]);
}

/** Have the vectors of these videos; whether that went well. */
async function withFeatures(...videos) {
  const signal = begin();
  try {
    await askInfo(signal);
    for (const video of videos) await ensureFeatures(video, { usual: info.clips_per_s, signal });
    showDone(current, false);
    return true;
  } catch (error) {
    fail(error, signal, () => withFeatures(...videos));
    return false;
  }
}

async function compare(event) {
  event.preventDefault();
  const other = known.all()[Number(byId("other").value)];
  const one = current;
  if (!(await withFeatures(one, other))) return;
  await comparison.show(one, other);
  byId("comparison").scrollIntoView({ block: "start" });
}

function startChoosing() {
  const input = byId("file");
  input.onchange = () => {
    openAll([...input.files]);
    input.value = ""; // so that the same file can be chosen again
  };
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  window.addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  window.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  window.addEventListener("drop", (event) => {
    document.body.classList.remove("dragging");
    if (!isFiles(event)) return;
    event.preventDefault();
    openAll([...event.dataTransfer.files]);
  });
  window.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) openAll([...event.clipboardData.files]);
  });
}

async function start() {
  startTheme(redraw);
  startChoosing();
  startTakeAway(() => current, withFeatures);
  byId("compare-form").onsubmit = compare;
  byId("stop").onclick = () => {
    work.abort();
    hideProblem();
    showStatus("stopped", current?.clips.length ? "Stopped: what has come stays" : "Stopped", { canStart: true });
  };
  byId("start").onclick = () => openAll([current.file]);
  const { signal } = work;
  try {
    await askInfo(signal);
  } catch (error) {
    if (!signal.aborted) showProblem(error, { "Try again": () => location.reload() });
  }
}

start();
