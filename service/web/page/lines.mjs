// A stream of JSON lines that grows.

/** Takes the text so far, again and again, and gives the objects of the lines that are new. */
export class LineReader {
  #read = 0;

  /** The objects of all whole lines that were not given yet. */
  take(text) {
    const end = text.lastIndexOf("\n") + 1;
    if (end <= this.#read) return [];
    const fresh = text.slice(this.#read, end);
    this.#read = end;
    return fresh.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  }
}
