// One video and all that is known of it. While the page is open a known video costs the network nothing.

import { tileAt, tilesOf } from "./tiles.mjs";

const MOST_KNOWN = 12; // a film of 20 minutes takes some MB

/** What has come of one video's stream so far. */
export class Video {
  constructor(file) {
    this.file = file;
    this.features = null; // npy of the clips' fc6, once asked for
    this.path = ""; // what was asked of the service, with its query
    this.reset();
  }

  /** Begin again: nothing has come. */
  reset() {
    Object.assign(this, { opened: null, clips: [], pictures: [], summary: null, tookS: 0, tiles: [] });
  }

  /** Take a line of the stream. */
  take(line) {
    if (line.type === "video") this.opened = line;
    else if (line.type === "summary") this.summary = line;
    else if (line.type === "clip") {
      const { type: _, progress: __, picture, ...clip } = line;
      this.clips.push({ predictions: [], ...clip }); // none, where the model has no labels
      if (picture) this.pictures[this.clips.length - 1] = `data:image/jpeg;base64,${picture}`;
    }
  }

  /** The URL of the network's picture at this time; null where there is none. */
  pictureAt(seconds) {
    if (this.tiles.length !== this.clips.length) this.tiles = tilesOf(this.clips);
    return this.pictures[tileAt(this.tiles, seconds)] ?? null;
  }

  /** How many clips are expected, how long the video is, and what is odd: by the latest line that says so. */
  get numClips() {
    return this.summary ? this.clips.length : (this.opened?.num_clips ?? 0);
  }

  get duration() {
    return (this.summary ?? this.opened)?.video.duration_sec ?? 0;
  }

  get warnings() {
    return (this.summary ?? this.opened)?.warnings ?? [];
  }

  /** The answer as one JSON object, as `path` gives it without a stream, but for the pictures. */
  answer() {
    const { type: _, ...summary } = this.summary;
    return { ...summary, clips: this.clips };
  }
}

/** Videos by key, the latest last. The oldest are forgotten. */
export class KnownVideos {
  #videos = new Map();

  get(key) {
    return this.#videos.get(key);
  }

  add(key, video) {
    this.#videos.delete(key);
    this.#videos.set(key, video);
    if (this.#videos.size > MOST_KNOWN) this.#videos.delete(this.#videos.keys().next().value);
  }

  all() {
    return [...this.#videos.values()];
  }
}
