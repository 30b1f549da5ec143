import assert from "node:assert/strict";
import test from "node:test";

import {
  middleOf, opacity, pixelColumns, runs, scoreOf, strongest, ticks, tileAt, tilesOf,
} from "../../../service/web/page/tiles.mjs";

const clips = [0, 0.32, 0.64].map((start, index) => ({
  start_sec: start,
  end_sec: start + 0.64,
  predictions: [
    { class_id: index % 2, label: `label ${index % 2}`, score: 0.5 },
    { class_id: 7, label: "seven", score: 0.3 },
  ],
}));

const rounded = (tiles) => tiles.map(({ start, end }) => [Number(start.toFixed(3)), Number(end.toFixed(3))]);

test("tiles meet in the middle between clips and cover them all", () => {
  assert.deepEqual(rounded(tilesOf(clips)), [[0, 0.48], [0.48, 0.8], [0.8, 1.28]]);
  assert.deepEqual(rounded(tilesOf([{ start_sec: 0, end_sec: 1 }, { start_sec: 3, end_sec: 4 }])), [[0, 2], [2, 4]]);
  assert.deepEqual(tilesOf([]), []);
});

test("every time has its tile, and the middle of a tile is in it", () => {
  const tiles = tilesOf(clips);
  assert.deepEqual([-1, 0, 0.47, 0.49, 0.81, 99].map((seconds) => tileAt(tiles, seconds)), [0, 0, 0, 1, 2, 2]);
  assert.equal(tileAt([], 0), -1);
  tiles.forEach((tile, index) => assert.equal(tileAt(tiles, middleOf(tile)), index));
});

test("the strongest labels are those with the highest sum, the lower class first where they tie", () => {
  assert.deepEqual(strongest(clips, 3).map(({ class_id }) => class_id), [0, 7, 1]);
  assert.deepEqual(strongest([], 3), []);
  assert.deepEqual([scoreOf(clips[0], 7), scoreOf(clips[0], 1)], [0.3, 0]);
});

test("a pixel shows the highest of its tiles, and no tile vanishes", () => {
  const tiles = Array.from({ length: 1000 }, (_, index) => ({ start: index, end: index + 1 }));
  const values = tiles.map((_, index) => (index === 500 ? 0.9 : 0.1));
  const columns = pixelColumns(tiles, values, 1000, 10);
  assert.equal(columns.length, 10);
  assert.equal(Math.max(...columns), Math.fround(0.9));
  assert.deepEqual([...pixelColumns([{ start: 0, end: 0.001 }], [0.5], 10, 4)], [0.5, -1, -1, -1]);
  assert.deepEqual([...pixelColumns([{ start: 9.9, end: 10.5 }], [0.5], 10, 4)], [-1, -1, -1, 0.5]);
});

test("equal neighbours are one rectangle", () => {
  assert.deepEqual(runs([1, 1, 2]), [{ start: 0, end: 2, value: 1 }, { start: 2, end: 3, value: 2 }]);
  assert.deepEqual(runs([]), []);
});

test("a small probability can be seen, and none cannot", () => {
  assert.deepEqual([-1, 0].map(opacity), [0, 0]);
  assert.ok(opacity(0.001) > 0.1);
  assert.equal(opacity(1), 1);
});

test("ticks are as close as they can be read", () => {
  assert.deepEqual(ticks(10, 640), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(ticks(1200, 400), [0, 300, 600, 900, 1200]);
  assert.ok(ticks(0.3, 600).length >= 1);
});
