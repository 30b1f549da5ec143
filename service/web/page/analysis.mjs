// A video on its way through the service: sent, waiting for its turn, clip by clip, done.

import { Speed, secondsLeft } from "./estimate.mjs";
import { count, roughly, size } from "./formats.mjs";
import { patiently } from "./patience.mjs";
import { features, stream } from "./service.mjs";
import { showStatus } from "./status.mjs";

/** Path and query that give all that is shown, in one pass: labels where the model has any, and always the video's descriptor.
 *
 * Vectors of the clips are left out: 22 kB a clip, of which most readers want none.
 */
export function question({ num_classes: numClasses }, { withPictures }) {
  const clips = withPictures ? "pictures" : "clips";
  return numClasses ? `classify?include=${clips},features&vectors=video` : `features?include=${clips}&vectors=video`;
}

/** Ask the service `path` (see `question`) about a Video. `usual` is its own speed in clips a second, 0 for unknown; `onChange`
 * is called at each line.
 *
 * Throws a Problem, or an AbortError.
 */
export async function analyse(video, path, { usual, signal, onChange }) {
  await patiently(() => {
    video.reset();
    onChange();
    const startedMs = performance.now();
    const [upload, clips] = [new Speed(), new Speed()];
    const onUpload = (sent) => {
      upload.add(sent, performance.now());
      if (!video.opened) showUpload(sent, video.file.size, upload.perSecond());
    };
    const onLine = (line) => {
      video.take(line);
      if (line.type === "clip") clips.add(video.clips.length, performance.now());
      if (line.type !== "summary") showClips(video, clips.perSecond(), usual);
      video.tookS = (performance.now() - startedMs) / 1000;
      onChange();
    };
    showUpload(0, video.file.size, 0);
    return stream(video.file, path, { signal, onUpload, onLine });
  }, signal);
}

function showUpload(sent, total, bytesPerS) {
  if (sent >= total) {
    showStatus("waiting", "Sent. Waiting for its turn", { canStop: true });
    return;
  }
  const left = secondsLeft(sent, total, bytesPerS, 0);
  const parts = [`Sending: ${size(sent)} of ${size(total)}`];
  if (left !== null) parts.push(`${size(Math.round(bytesPerS))}/s`, `${roughly(left)} left`);
  showStatus("sending", parts.join(", "), { done: sent, total, canStop: true });
}

function showClips({ clips, numClips }, measured, usual) {
  const left = secondsLeft(clips.length, numClips, measured, usual);
  const parts = [`Clip ${clips.length.toLocaleString("en")} of ${numClips.toLocaleString("en")}`];
  if (measured) parts.push(`${measured.toFixed(1)} clips/s`);
  if (left !== null && clips.length < numClips) parts.push(`about ${roughly(left)} left`);
  showStatus("working", parts.join(", "), { done: clips.length, total: numClips, canStop: true });
}

/** Have the vectors of a Video's clips, which cost the network a pass of their own, once. Throws a Problem, or an AbortError. */
export async function ensureFeatures(video, { usual, signal }) {
  if (video.features) return;
  const about = usual ? `, about ${roughly(video.clips.length / usual)}` : "";
  showStatus("vectors", `Vectors of ${video.file.name}: ${count(video.clips.length, "clip")}${about}`, { canStop: true });
  video.features = await patiently(() => features(video.file, signal), signal);
}

/** What is shown of a video that is done. */
export function showDone({ clips, tookS }, isKnown) {
  const told = isKnown ? "known from before: nothing was computed again" : `in ${roughly(tookS)}`;
  showStatus("done", `${count(clips.length, "clip")}${isKnown ? ", " : " "}${told}`);
}
