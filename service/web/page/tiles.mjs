// Where clips lie on the timeline. Clips overlap (16 frames, one every 8), so each stands for a tile: tiles meet in the middle
// between two clips, which is also where the service puts the borders of its segments.

/** A tile {start, end} in seconds for each clip {start_sec, end_sec}, in order. */
export function tilesOf(clips) {
  const border = (index) => (clips[index - 1].end_sec + clips[index].start_sec) / 2;
  return clips.map((clip, index) => ({
    start: index ? border(index) : clip.start_sec,
    end: index + 1 < clips.length ? border(index + 1) : clip.end_sec,
  }));
}

/** The index of the tile at this time: the first one before all tiles, the last one behind them, -1 where there are none. */
export function tileAt(tiles, seconds) {
  let [low, high] = [0, tiles.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (tiles[middle].start <= seconds) low = middle;
    else high = middle - 1;
  }
  return high < 0 ? -1 : low;
}

/** Where a player has to stand for a tile to be the one at its time. */
export function middleOf(tile) {
  return (tile.start + tile.end) / 2;
}

/** The `count` labels with the highest sum of scores over all clips, strongest first: {class_id, label}. */
export function strongest(clips, count) {
  const sums = new Map();
  for (const { predictions } of clips) {
    for (const { class_id, label, score } of predictions) {
      const entry = sums.get(class_id) ?? { class_id, label, sum: 0 };
      entry.sum += score;
      sums.set(class_id, entry);
    }
  }
  return [...sums.values()].sort((a, b) => b.sum - a.sum || a.class_id - b.class_id).slice(0, count);
}

/** A class's score in a clip; 0 where it is not among those that the service named. */
export function scoreOf(clip, classId) {
  return clip.predictions.find(({ class_id }) => class_id === classId)?.score ?? 0;
}

/** For each of `width` pixels the highest of the values of the tiles on it; -1 where there is none. At least a pixel a tile. */
export function pixelColumns(tiles, values, duration, width) {
  const columns = new Float32Array(width).fill(-1);
  tiles.forEach((tile, index) => {
    const first = Math.min(width - 1, Math.round((tile.start / duration) * width));
    const last = Math.max(first + 1, Math.min(width, Math.round((tile.end / duration) * width)));
    for (let x = first; x < last; x += 1) columns[x] = Math.max(columns[x], values[index]);
  });
  return columns;
}

/** Equal neighbours of an array as runs {start, end, value}: fewer rectangles to draw. */
export function runs(values) {
  const found = [];
  for (let index = 0; index < values.length; index += 1) {
    const last = found.at(-1);
    if (last && last.value === values[index]) last.end = index + 1;
    else found.push({ start: index, end: index + 1, value: values[index] });
  }
  return found;
}

/** How opaque a tile is. The root lets small probabilities be seen, and the floor lets a named label be told from no label. */
export function opacity(probability) {
  return probability > 0 ? 0.08 + 0.92 * Math.sqrt(Math.min(1, probability)) : 0;
}

const TICK_STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]; // seconds that people count in

/** Times for the axis: as close as `minPixels` allows. */
export function ticks(duration, width, minPixels = 64) {
  const step = TICK_STEPS.find((each) => (each / duration) * width >= minPixels) ?? duration;
  return Array.from({ length: Math.floor(duration / step + 1e-9) + 1 }, (_, index) => index * step);
}
