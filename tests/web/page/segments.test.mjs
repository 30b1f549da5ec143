import assert from "node:assert/strict";
import test from "node:test";

import { segmentsOf } from "../../../service/web/page/segments.mjs";

const clip = (index, class_id, score) => ({
  start_sec: index * 0.32,
  end_sec: index * 0.32 + 0.64,
  predictions: class_id === null ? [] : [{ class_id, label: `label ${class_id}`, score }],
});

test("neighbours of one label are a segment", () => {
  const found = segmentsOf([clip(0, 1, 0.5), clip(1, 1, 0.9), clip(2, 2, 0.4), clip(3, 1, 0.3)]);
  assert.deepEqual(found.map(({ class_id, first, last }) => [class_id, first, last]), [[1, 0, 1], [2, 2, 2], [1, 3, 3]]);
  assert.equal(found[0].start, 0);
  assert.ok(Math.abs(found[0].end - 0.8) < 1e-9);
  assert.ok(Math.abs(found[0].score - 0.7) < 1e-9);
  assert.equal(found[0].peak, 0.9);
  for (let index = 1; index < found.length; index += 1) assert.equal(found[index].start, found[index - 1].end);
});

test("a clip without a label parts its neighbours", () => {
  assert.deepEqual(segmentsOf([clip(0, 1, 0.5), clip(1, null), clip(2, 1, 0.5)]).map(({ first }) => first), [0, 2]);
  assert.deepEqual(segmentsOf([]), []);
});
