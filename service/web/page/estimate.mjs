// How long it will still take. Honest: measured where something was measured, the service's own speed before that, else nothing.

// What the speed is taken from: long enough that one slow batch does not throw it, short enough to follow a service that fills.
const WINDOW_MS = 15_000;
const LEAST = 8; // arrivals, where they come more slowly than that

/** The speed of things that come one after another. Times are in milliseconds, as performance.now() has them. */
export class Speed {
  #arrivals = [];

  /** So many have come in all by now. */
  add(total, nowMs) {
    if (this.#arrivals.at(-1)?.total === total) return;
    this.#arrivals.push({ total, nowMs });
    const isOld = ({ nowMs: cameMs }) => nowMs - cameMs > WINDOW_MS;
    while (this.#arrivals.length > LEAST && isOld(this.#arrivals[0])) this.#arrivals.shift();
  }

  /** Things a second; 0 before two have come. */
  perSecond() {
    const [first, last] = [this.#arrivals[0], this.#arrivals.at(-1)];
    if (!first || last.nowMs <= first.nowMs) return 0;
    return ((last.total - first.total) * 1000) / (last.nowMs - first.nowMs);
  }
}

/** Seconds left, or null where nobody can know. `measured` and `usual` are clips a second, 0 for unknown. */
export function secondsLeft(done, total, measured, usual) {
  const speed = measured || usual;
  return speed && total >= done ? (total - done) / speed : null;
}
