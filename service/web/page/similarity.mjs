// Two videos compared, clip by clip: the cosine of their fc6 vectors.

/** Rows of an array {shape, data}, each of length 1, at most `most` of them: neighbouring clips share a row where there are more.
 *
 * {rows, columns, data, groups}; `groups` has the {first, last} clip of each row.
 */
export function unitRows({ shape: [clips, columns], data }, most) {
  const rows = Math.min(clips, most);
  const groups = Array.from({ length: rows }, (_, row) => ({
    first: Math.floor((row * clips) / rows),
    last: Math.floor(((row + 1) * clips) / rows) - 1,
  }));
  const unit = new Float32Array(rows * columns);
  groups.forEach(({ first, last }, row) => {
    const target = unit.subarray(row * columns, (row + 1) * columns);
    for (let clip = first; clip <= last; clip += 1) {
      for (let column = 0; column < columns; column += 1) target[column] += data[clip * columns + column];
    }
    const norm = Math.sqrt(target.reduce((sum, each) => sum + each * each, 0)) || 1;
    for (let column = 0; column < columns; column += 1) target[column] /= norm;
  });
  return { rows, columns, data: unit, groups };
}

/** The cosines of one of a's rows with all of b's. Float32Array. */
export function cosinesOf(a, row, b) {
  const found = new Float32Array(b.rows);
  const mine = a.data.subarray(row * a.columns, (row + 1) * a.columns);
  for (let other = 0; other < b.rows; other += 1) {
    const begin = other * b.columns;
    let sum = 0;
    for (let column = 0; column < a.columns; column += 1) sum += mine[column] * b.data[begin + column];
    found[other] = sum;
  }
  return found;
}

/** The most similar pairs {row, column, cosine}, best first. A pair close to a better one is left out, as it shows the same.
 *
 * `skipsDiagonal`: of a video compared with itself, where every clip is most like itself and its neighbours.
 */
export function bestPairs(matrix, rows, columns, count, { skipsDiagonal = false } = {}) {
  const apart = Math.max(2, Math.round(Math.max(rows, columns) / 20));
  const candidates = Array.from({ length: rows }, (_, row) => bestOfRow(matrix, row, columns, skipsDiagonal ? apart : 0));
  const isNear = (each, row, column) => Math.abs(each.row - row) < apart && Math.abs(each.column - column) < apart;
  const chosen = [];
  for (const pair of candidates.filter(Boolean).sort((a, b) => b.cosine - a.cosine)) {
    const isKnown = chosen.some((each) => isNear(each, pair.row, pair.column));
    const isMirrored = skipsDiagonal && chosen.some((each) => isNear(each, pair.column, pair.row));
    if (!isKnown && !isMirrored) chosen.push(pair);
    if (chosen.length === count) break;
  }
  return chosen;
}

function bestOfRow(matrix, row, columns, away) {
  let best = null;
  for (let column = 0; column < columns; column += 1) {
    const cosine = matrix[row * columns + column];
    if (Math.abs(column - row) >= away && cosine > (best?.cosine ?? -2)) best = { row, column, cosine };
  }
  return best;
}

/** The lowest and highest of the matrix: colours are spread between them, since fc6 vectors are never negative. */
export function rangeOf(matrix) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of matrix) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { low, high };
}
