// What, when: neighbouring clips whose most probable label is the same.

import { tilesOf } from "./tiles.mjs";

/** Segments {label, class_id, start, end, score, peak, first, last} in order: the service's own, but while clips still come.
 *
 * `score` is the mean of the label's probabilities, `peak` the highest; `first` and `last` are indices of clips.
 */
export function segmentsOf(clips, tiles = tilesOf(clips)) {
  const segments = [];
  clips.forEach(({ predictions: [best] }, index) => {
    if (!best) return;
    const open = segments.at(-1);
    if (open && open.class_id === best.class_id && open.last === index - 1) {
      open.scores.push(best.score);
      open.last = index;
      open.end = tiles[index].end;
    } else {
      const { label, class_id } = best;
      segments.push({ label, class_id, ...tiles[index], first: index, last: index, scores: [best.score] });
    }
  });
  return segments.map(({ scores, ...segment }) => ({
    ...segment,
    score: scores.reduce((sum, score) => sum + score, 0) / scores.length,
    peak: scores.reduce((best, score) => Math.max(best, score), 0),
  }));
}
