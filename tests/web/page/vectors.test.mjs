import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import test from "node:test";

import { readNpy, writeNpy } from "../../../service/web/page/npy.mjs";
import { bestPairs, cosinesOf, rangeOf, unitRows } from "../../../service/web/page/similarity.mjs";

const array = (rows) => ({ shape: [rows.length, rows[0].length], data: Float32Array.from(rows.flat()) });

test("an npy file is read as it was written", () => {
  for (const shape of [[3], [2, 3], [0, 4]]) {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, index) => index / 7);
    const back = readNpy(writeNpy(shape, data));
    assert.deepEqual(back.shape, shape);
    assert.deepEqual(back.data, data);
  }
});

test("NumPy reads it too, and its own files are read", { skip: !process.env.PYTHON && "no Python with NumPy" }, () => {
  const read = "a = np.load(io.BytesIO(sys.stdin.buffer.read()))";
  const program = `import sys, io, numpy as np; ${read}; np.save(sys.stdout.buffer, a * 2)`;
  const input = Buffer.from(writeNpy([2, 2], Float32Array.of(1, 2, 3, 4)));
  const output = execFileSync(process.env.PYTHON, ["-c", program], { input });
  const { shape, data } = readNpy(new Uint8Array(output).buffer);
  assert.deepEqual([shape, [...data]], [[2, 2], [2, 4, 6, 8]]);
});

test("what is no whole float32 npy file is refused", () => {
  assert.throws(() => readNpy(new TextEncoder().encode("<html>nothing of ours</html>").buffer), /not an npy file/);
  assert.throws(() => readNpy(writeNpy([4], new Float32Array(4)).slice(0, -1)), /cut off/);
});

test("cosines do not know how long vectors are", () => {
  const rows = unitRows(array([[2, 0], [0, 3], [5, 5]]), 10);
  assert.deepEqual([...cosinesOf(rows, 0, rows)].map((each) => Number(each.toFixed(4))), [1, 0, 0.7071]);
});

test("of many clips neighbours share a row, and every clip has one", () => {
  const { rows, groups } = unitRows(array(Array.from({ length: 10 }, () => [1, 0])), 4);
  assert.equal(rows, 4);
  assert.deepEqual(groups.map(({ first, last }) => [first, last]), [[0, 1], [2, 4], [5, 6], [7, 9]]);
});

test("pairs are the best ones, and not one place five times", () => {
  const size = 40;
  const matrix = new Float32Array(size * size);
  matrix[5 * size + 30] = 0.9;
  matrix[6 * size + 31] = 0.89;
  matrix[20 * size + 2] = 0.8;
  const [first, second] = bestPairs(matrix, size, size, 2);
  assert.deepEqual([first.row, first.column], [5, 30]);
  assert.deepEqual([second.row, second.column], [20, 2]);
});

test("a video compared with itself is not told that each clip is like itself", () => {
  const size = 40;
  const matrix = new Float32Array(size * size);
  for (let index = 0; index < size; index += 1) matrix[index * size + index] = 1;
  matrix[3 * size + 33] = matrix[33 * size + 3] = 0.7;
  const pairs = bestPairs(matrix, size, size, 2, { skipsDiagonal: true });
  assert.deepEqual([pairs[0].row, pairs[0].column], [3, 33]);
  assert.ok(pairs.length < 2 || pairs[1].cosine < 0.7, "and not the same pair again, mirrored");
});

test("the range is that of the values", () => {
  assert.deepEqual(rangeOf(Float32Array.of(0.5, 0.25, 1)), { low: 0.25, high: 1 });
});
