// Two videos side by side: how alike their clips are, as a matrix. Rows are the first video's clips, columns the second's.

import { byId, element, oncePerFrame, show } from "./dom.mjs";
import { clock } from "./formats.mjs";
import { readNpy } from "./npy.mjs";
import { Player } from "./player.mjs";
import { bestPairs, cosinesOf, rangeOf, unitRows } from "./similarity.mjs";
import { middleOf, tileAt, tilesOf } from "./tiles.mjs";

const MOST_ROWS = 360; // rows and columns: half a second of work, and as many as a screen shows
const NUM_PAIRS = 5;
const FAR_CELLS = 10; // cells that Shift and an arrow go

/** The section #compare, once both videos' vectors are there. */
export class Comparison {
  #run = 0;
  #cell = { row: 0, column: 0 };

  constructor() {
    this.canvas = byId("matrix");
    this.players = ["a", "b"].map((each) => new Player(byId(`video-${each}`), byId(`picture-${each}`), () => this.#onTime()));
    this.#place = oncePerFrame(() => this.#placeCross());
    this.canvas.addEventListener("pointerdown", (event) => this.#onPointer(event));
    this.canvas.addEventListener("pointermove", (event) => event.buttons === 1 && this.#onPointer(event));
    this.canvas.addEventListener("keydown", (event) => this.#onKey(event));
    new ResizeObserver(() => this.#place()).observe(this.canvas);
  }

  #place;

  /** Compare two videos {file, clips, features, pictureAt}. */
  async show(a, b) {
    const run = (this.#run += 1);
    this.videos = [a, b];
    this.tiles = [tilesOf(a.clips), tilesOf(b.clips)];
    this.sides = [a, b].map(({ features }) => unitRows(readNpy(features), MOST_ROWS));
    show(true, byId("comparison"));
    byId("name-a").textContent = a.file.name;
    byId("name-b").textContent = b.file.name;
    this.matrix = await this.#computed(run);
    if (run !== this.#run) return;
    this.#draw();
    this.#showPairs(a === b);
    await Promise.all([a, b].map((video, index) => this.players[index].load(video.file, (seconds) => video.pictureAt(seconds))));
    this.#seek(this.#pairs[0] ?? { row: 0, column: 0 });
  }

  #pairs = [];

  /** All cosines, row by row; the page goes on in between. */
  async #computed(run) {
    const [a, b] = this.sides;
    const matrix = new Float32Array(a.rows * b.rows);
    let pausedMs = performance.now();
    for (let row = 0; row < a.rows && run === this.#run; row += 1) {
      matrix.set(cosinesOf(a, row, b), row * b.rows);
      if (performance.now() - pausedMs > 30) {
        await new Promise((resolve) => setTimeout(resolve));
        pausedMs = performance.now();
      }
    }
    return matrix;
  }

  #draw() {
    const [a, b] = this.sides;
    const { low, high } = rangeOf(this.matrix);
    this.canvas.width = b.rows;
    this.canvas.height = a.rows;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(b.rows, a.rows);
    this.matrix.forEach((cosine, index) => image.data.set(colour(high > low ? (cosine - low) / (high - low) : 1), index * 4));
    context.putImageData(image, 0, 0);
    byId("scale-low").textContent = low.toFixed(3);
    byId("scale-high").textContent = high.toFixed(3);
  }

  #showPairs(isItself) {
    const [a, b] = this.sides;
    this.#pairs = bestPairs(this.matrix, a.rows, b.rows, NUM_PAIRS, { skipsDiagonal: isItself });
    const rows = this.#pairs.map((pair) => {
      const [one, other] = this.#times(pair).map((seconds) => clock(seconds));
      const times = element("span", { className: "when" }, `${one} and ${other}`);
      const cosine = element("span", { className: "number" }, pair.cosine.toFixed(3));
      return element("li", {}, element("button", { type: "button", onclick: () => this.#seek(pair) }, times, cosine));
    });
    byId("pairs").replaceChildren(...rows);
    show(rows.length > 0, byId("pairs-panel"));
  }

  /** Seconds in both videos of a cell's middle. */
  #times({ row, column }) {
    return [row, column].map((place, side) => {
      const { first, last } = this.sides[side].groups[place];
      return middleOf({ start: this.tiles[side][first].start, end: this.tiles[side][last].end });
    });
  }

  #seek(cell) {
    this.#cell = cell;
    this.#times(cell).forEach((seconds, side) => this.players[side].seek(seconds));
  }

  /** A player has moved, by itself or by the reader: the cross follows. */
  #onTime() {
    if (!this.matrix) return;
    const places = this.players.map((player, side) => {
      const clip = tileAt(this.tiles[side], player.seconds);
      return this.sides[side].groups.findIndex(({ last }) => clip <= last);
    });
    this.#cell = { row: Math.max(0, places[0]), column: Math.max(0, places[1]) };
    this.#place();
  }

  #placeCross() {
    if (!this.matrix) return;
    const [a, b] = this.sides;
    const { row, column } = this.#cell;
    const [x, y] = [((column + 0.5) / b.rows) * 100, ((row + 0.5) / a.rows) * 100];
    byId("cross-x").style.left = `${x}%`;
    byId("cross-y").style.top = `${y}%`;
    const [one, other] = this.#times(this.#cell).map((seconds) => clock(seconds));
    const cosine = this.matrix[row * b.rows + column];
    byId("cell").textContent = `${one} of the first and ${other} of the second: cosine ${cosine.toFixed(3)}`;
  }

  #onPointer(event) {
    if (!this.matrix) return;
    const [a, b] = this.sides;
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const place = (offset, length, number) => Math.max(0, Math.min(number - 1, Math.floor((offset / length) * number)));
    this.#seek({ row: place(event.clientY - top, height, a.rows), column: place(event.clientX - left, width, b.rows) });
  }

  #onKey(event) {
    const step = event.shiftKey ? FAR_CELLS : 1;
    const move = { ArrowLeft: [0, -step], ArrowRight: [0, step], ArrowUp: [-step, 0], ArrowDown: [step, 0] }[event.key];
    if (!move || !this.matrix) return;
    event.preventDefault();
    const within = (place, number) => Math.max(0, Math.min(number - 1, place));
    const { row, column } = this.#cell;
    this.#seek({ row: within(row + move[0], this.sides[0].rows), column: within(column + move[1], this.sides[1].rows) });
  }

  close() {
    this.#run += 1;
    this.matrix = null;
    show(false, byId("comparison"));
    this.players.forEach((player) => player.close());
  }
}

/** Light to dark with growing likeness, and of one hue after another, so that it is read in grey too: viridis, in five steps. */
const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

function colour(share) {
  const place = Math.max(0, Math.min(1, share)) * (VIRIDIS.length - 1);
  const index = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const [low, high] = [VIRIDIS[index], VIRIDIS[index + 1]];
  return [...low.map((value, channel) => value + (high[channel] - value) * (place - index)), 255];
}
