// The video as the browser plays it; where it cannot (.avi, many codecs), the pictures that the network sees stand in.

/** Plays one file at a time in a <video>, or stands still at a time in an <img>. */
export class Player {
  #url = "";
  #seconds = 0;
  #pictureAt = () => null;

  /** `onTime` is called whenever the time or the kind of the player changes. */
  constructor(video, image, onTime) {
    Object.assign(this, { video, image, onTime, playable: false });
    for (const event of ["timeupdate", "seeking", "seeked", "play"]) video.addEventListener(event, () => this.refresh());
    const follow = () => {
      this.refresh();
      if (!video.paused) requestAnimationFrame(follow); // timeupdate comes four times a second, which makes a playhead jump
    };
    video.addEventListener("playing", follow);
  }

  /** Show a file, and say whether the browser can play it. `pictureAt(seconds)` gives the URL of a picture, or null. */
  async load(file, pictureAt) {
    this.close();
    const url = (this.#url = URL.createObjectURL(file));
    this.#pictureAt = pictureAt;
    const playable = await canPlay(this.video, url);
    if (url !== this.#url) return false; // another file was chosen meanwhile
    this.playable = playable;
    this.video.hidden = !playable;
    if (!playable) this.video.removeAttribute("src");
    this.refresh();
    return playable;
  }

  /** Let go of the file. */
  close() {
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load();
    URL.revokeObjectURL(this.#url);
    Object.assign(this, { playable: false });
    this.#url = "";
    this.#seconds = 0;
  }

  get seconds() {
    return this.playable ? this.video.currentTime : this.#seconds;
  }

  /** Seconds of the video; 0 where the browser does not know. */
  get duration() {
    return this.playable && Number.isFinite(this.video.duration) ? this.video.duration : 0;
  }

  seek(seconds) {
    if (this.playable) this.video.currentTime = seconds;
    else this.#seconds = seconds;
    this.refresh();
  }

  /** Play or stand still. */
  toggle() {
    if (!this.playable) return;
    if (this.video.paused) this.video.play();
    else this.video.pause();
  }

  /** The time has changed, or a picture has come. */
  refresh() {
    const picture = this.playable ? null : this.#pictureAt(this.seconds);
    this.image.hidden = !picture;
    if (picture && this.image.src !== picture) this.image.src = picture;
    this.onTime(this.seconds);
  }
}

const LOADING_MS = 10_000; // a file on this machine opens in a moment, or never

/** Whether the browser shows pictures of what is at this URL. The sound alone is not enough. */
export function canPlay(video, url) {
  return new Promise((resolve) => {
    const settle = () => resolve(video.videoWidth > 0);
    video.addEventListener("loadedmetadata", settle, { once: true });
    video.addEventListener("error", settle, { once: true });
    setTimeout(settle, LOADING_MS);
    video.src = url;
  });
}
