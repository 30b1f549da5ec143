// Labels over time under the playing video: rows of tiles, a playhead, and what mouse and keyboard do there.

import { byId, element, fitted, oncePerFrame, show } from "./dom.mjs";
import { clock, percent, span } from "./formats.mjs";
import { middleOf, opacity, pixelColumns, runs, scoreOf, strongest, ticks, tileAt, tilesOf } from "./tiles.mjs";

const NUM_LABELS = 6;
const NUM_IN_TIP = 3;
const FAR = 10; // clips that Shift and an arrow go

/** The slider #timeline. `onSeek(seconds)` and `onToggle()` are called by what the reader does. */
export class Timeline {
  #clips = [];
  #tiles = [];
  #seconds = 0;
  #duration = 0;
  #axis = { left: 0, width: 0 }; // where it lies in the timeline: measured when all is drawn, not at each frame of the player

  constructor({ onSeek, onToggle }) {
    Object.assign(this, { onSeek, onToggle, root: byId("timeline"), rows: [] });
    this.draw = oncePerFrame(() => this.#draw());
    this.root.addEventListener("keydown", (event) => this.#onKey(event));
    this.root.addEventListener("pointerdown", (event) => this.#onPointer(event, true));
    this.root.addEventListener("pointermove", (event) => this.#onPointer(event, event.buttons === 1));
    this.root.addEventListener("pointerleave", () => show(false, byId("tip")));
    new ResizeObserver(this.draw).observe(this.root);
  }

  get tiles() {
    return this.#tiles;
  }

  /** The clips so far, and the seconds of the whole video as far as they are known. */
  setClips(clips, duration) {
    this.#clips = clips;
    this.#tiles = tilesOf(clips);
    this.#duration = Math.max(duration, this.#tiles.at(-1)?.end ?? 0);
    this.draw();
  }

  /** Where the player stands. */
  setTime(seconds) {
    this.#seconds = seconds;
    this.#placePlayhead();
    this.#describe();
  }

  #draw() {
    const labels = strongest(this.#clips, NUM_LABELS);
    while (this.rows.length < labels.length) this.rows.push(this.#newRow());
    this.rows.forEach((row, index) => {
      show(index < labels.length, row.name, row.canvas);
      if (index < labels.length) this.#drawRow(row, labels[index]);
    });
    this.#drawDamage();
    this.#drawAxis();
    this.#placePlayhead();
    this.#describe();
  }

  #newRow() {
    const row = { name: element("span", { className: "lane-name" }), canvas: element("canvas", { className: "lane" }) };
    byId("lanes").append(row.name, row.canvas);
    return row;
  }

  #drawRow({ name, canvas }, { class_id, label }) {
    if (name.textContent !== label) name.textContent = name.title = label;
    const { context, width, height } = fitted(canvas);
    context.fillStyle = getComputedStyle(canvas).color;
    const values = this.#clips.map((clip) => scoreOf(clip, class_id));
    for (const { start, end, value } of runs(pixelColumns(this.#tiles, values, this.#duration, width))) {
      context.globalAlpha = opacity(value);
      context.fillRect(start, 0, end - start, height);
    }
  }

  /** A red line below damaged clips. */
  #drawDamage() {
    const canvas = byId("damage");
    const damaged = this.#clips.map((clip) => (clip.num_damaged_frames > 0 ? 1 : 0));
    show(damaged.includes(1), canvas);
    if (canvas.hidden) return;
    const { context, width, height } = fitted(canvas);
    context.fillStyle = getComputedStyle(canvas).color;
    for (const { start, end, value } of runs(pixelColumns(this.#tiles, damaged, this.#duration, width))) {
      if (value > 0) context.fillRect(start, 0, end - start, height);
    }
  }

  #drawAxis() {
    const canvas = byId("axis");
    const { context, width } = fitted(canvas);
    this.#axis = { left: canvas.offsetLeft, width };
    if (!this.#duration) return;
    const style = getComputedStyle(canvas);
    context.fillStyle = style.color;
    context.font = `${style.fontSize} ${style.fontFamily}`;
    context.textBaseline = "top";
    const times = ticks(this.#duration, width);
    const digits = times.some((time) => time % 1) ? 1 : 0;
    let free = 0; // where the next text may begin
    for (const time of times) {
      const x = Math.round((time / this.#duration) * width);
      const text = clock(time, digits);
      const textWidth = context.measureText(text).width;
      const textX = Math.min(x, width - textWidth);
      context.fillRect(Math.min(x, width - 1), 0, 1, 4);
      if (textX < free) continue;
      context.fillText(text, textX, 6);
      free = textX + textWidth + 8;
    }
  }

  #placePlayhead() {
    show(this.#clips.length > 0, byId("playhead"));
    const share = this.#duration ? Math.min(1, this.#seconds / this.#duration) : 0;
    const x = this.#axis.left + share * this.#axis.width;
    byId("playhead").style.transform = `translateX(${x.toFixed(1)}px)`;
  }

  /** What a screen reader says. */
  #describe() {
    const index = tileAt(this.#tiles, this.#seconds);
    this.root.setAttribute("aria-valuemax", Math.max(0, this.#clips.length - 1));
    this.root.setAttribute("aria-valuenow", Math.max(0, index));
    this.root.setAttribute("aria-valuetext", index < 0 ? "no clip yet" : this.#textOf(index));
  }

  #textOf(index) {
    const { start_sec, end_sec, num_damaged_frames, predictions: [best] } = this.#clips[index];
    const damage = num_damaged_frames ? ", damaged" : "";
    return `clip ${index}, ${span(start_sec, end_sec)}: ${best ? `${best.label}, ${percent(best.score)}` : "no label"}${damage}`;
  }

  #seekToClip(index) {
    const within = Math.max(0, Math.min(this.#tiles.length - 1, index));
    if (this.#tiles.length) this.onSeek(middleOf(this.#tiles[within]));
  }

  #onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const step = event.shiftKey ? FAR : 1;
    const now = tileAt(this.#tiles, this.#seconds);
    const goes = {
      ArrowLeft: () => this.#seekToClip(now - step),
      ArrowDown: () => this.#seekToClip(now - step),
      ArrowRight: () => this.#seekToClip(now + step),
      ArrowUp: () => this.#seekToClip(now + step),
      PageDown: () => this.#seekToClip(now - FAR),
      PageUp: () => this.#seekToClip(now + FAR),
      Home: () => this.#seekToClip(0),
      End: () => this.#seekToClip(Infinity),
      " ": () => this.onToggle(),
    }[event.key];
    if (!goes) return;
    event.preventDefault();
    goes();
  }

  #onPointer(event, seeks) {
    const { left, width } = byId("axis").getBoundingClientRect();
    const share = (event.clientX - left) / width;
    const isInside = share >= 0 && share <= 1 && this.#tiles.length > 0;
    show(isInside && event.pointerType === "mouse", byId("tip"));
    if (!isInside) return;
    const seconds = share * this.#duration;
    if (seeks) {
      if (event.type === "pointerdown") this.root.setPointerCapture(event.pointerId);
      this.onSeek(seconds);
    }
    this.#showTip(seconds, event.clientX - this.root.getBoundingClientRect().left);
  }

  #showTip(seconds, x) {
    const tip = byId("tip");
    const clip = this.#clips[tileAt(this.#tiles, seconds)];
    const best = clip.predictions.slice(0, NUM_IN_TIP);
    const lines = best.map(({ label, score }) => element("li", {}, `${label} ${percent(score)}`));
    tip.replaceChildren(element("strong", {}, clock(seconds)), element("ul", {}, ...lines));
    const most = this.root.clientWidth - tip.offsetWidth;
    tip.style.transform = `translateX(${Math.max(0, Math.min(most, x + 12))}px)`;
  }
}
