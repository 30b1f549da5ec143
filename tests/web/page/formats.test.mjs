import assert from "node:assert/strict";
import test from "node:test";

import { clock, count, percent, roughly, size, span } from "../../../service/web/page/formats.mjs";

test("a clock rounds before it splits", () => {
  assert.equal(clock(0), "0:00.0");
  assert.equal(clock(5.84), "0:05.8");
  assert.equal(clock(59.96), "1:00.0");
  assert.equal(clock(3599.96), "1:00:00.0");
  assert.equal(clock(3723.4), "1:02:03.4");
  assert.equal(clock(75, 0), "1:15");
  assert.equal(clock(-0.01), "0:00.0");
  assert.equal(span(5.8, 6.44), "0:05.8 to 0:06.4");
});

test("sizes are as file managers have them", () => {
  assert.deepEqual([0, 999, 30_000, 520_000, 12_400_000, 536_870_912, 1_234_000_000].map(size), [
    "0 bytes", "999 bytes", "30 kB", "0.5 MB", "12 MB", "537 MB", "1.2 GB",
  ]);
});

test("percent: two digits that say something", () => {
  assert.deepEqual([0, 0.0001, 0.037, 0.0994, 0.0996, 0.69, 1].map(percent), [
    "0.0 %", "under 0.1 %", "3.7 %", "9.9 %", "10 %", "69 %", "100 %",
  ]);
});

test("durations are as rough as they are known", () => {
  assert.deepEqual([0.2, 35.4, 60, 130, 599, 601, 3600, 3900].map(roughly), [
    "1 s", "35 s", "1 min", "2 min 10 s", "9 min 59 s", "10 min", "1 h", "1 h 5 min",
  ]);
});

test("nouns are counted", () => {
  assert.deepEqual([count(0, "clip"), count(1, "clip"), count(3749, "clip")], ["0 clips", "1 clip", "3,749 clips"]);
});
