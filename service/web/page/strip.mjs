// The strip of pictures above the timeline. A second, hidden video is seeked for them, so that the player does not move.

import { fitted } from "./dom.mjs";
import { canPlay } from "./player.mjs";

const SEEK_TIMEOUT_MS = 3000; // a broken part of a file may never be found

/** Draws one video's strip at a time. */
export class Strip {
  #run = 0;
  #again = () => {};
  #width = 0;

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => {
      if (canvas.clientWidth !== this.#width) this.#again();
    }).observe(canvas);
  }

  /** A new drawing, which ends the one before; the same again where the strip's width changes. */
  #begin(again) {
    this.#again = again;
    this.#width = this.canvas.clientWidth;
    return (this.#run += 1);
  }

  /** Frames of a file, evenly spaced, as they are found. */
  async ofVideo(file) {
    const run = this.#begin(() => this.ofVideo(file));
    const video = document.createElement("video");
    video.muted = true;
    video.preload = "auto";
    const url = URL.createObjectURL(file);
    try {
      if (!(await canPlay(video, url))) return;
      const { context, width, height } = fitted(this.canvas);
      const number = Math.max(1, Math.round(width / ((height * video.videoWidth) / video.videoHeight)));
      for (let index = 0; index < number && run === this.#run; index += 1) {
        await seeked(video, ((index + 0.5) / number) * video.duration);
        if (run !== this.#run) return;
        drawCovering(context, video, [video.videoWidth, video.videoHeight], cellOf(index, number, width, height));
      }
    } finally {
      video.removeAttribute("src");
      video.load();
      URL.revokeObjectURL(url);
    }
  }

  /** The pictures that the network sees, square, as far as they have come. `pictureAt(seconds)` gives a URL or null. */
  async ofPictures(pictureAt, duration) {
    const run = this.#begin(() => this.ofPictures(pictureAt, duration));
    const { context, width, height } = fitted(this.canvas);
    const number = Math.max(1, Math.round(width / height));
    for (let index = 0; index < number && run === this.#run; index += 1) {
      const url = pictureAt(((index + 0.5) / number) * duration);
      if (!url) continue;
      const image = new Image();
      image.src = url;
      await image.decode();
      if (run === this.#run) drawCovering(context, image, [image.width, image.height], cellOf(index, number, width, height));
    }
  }

  clear() {
    this.#begin(() => {});
    fitted(this.canvas);
  }
}

function cellOf(index, number, width, height) {
  const x = Math.round((index * width) / number);
  return { x, y: 0, width: Math.round(((index + 1) * width) / number) - x, height };
}

/** The whole cell is covered; what is too much of the picture is cut off. */
function drawCovering(context, source, [width, height], cell) {
  const scale = Math.max(cell.width / width, cell.height / height);
  const [shownWidth, shownHeight] = [cell.width / scale, cell.height / scale];
  const [x, y] = [(width - shownWidth) / 2, (height - shownHeight) / 2];
  context.drawImage(source, x, y, shownWidth, shownHeight, cell.x, cell.y, cell.width, cell.height);
}

function seeked(video, seconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, SEEK_TIMEOUT_MS);
    video.onseeked = () => {
      clearTimeout(timer);
      resolve();
    };
    video.currentTime = seconds;
  });
}
