import assert from "node:assert/strict";
import test from "node:test";

import { question } from "../../../service/web/page/analysis.mjs";
import { Speed, secondsLeft } from "../../../service/web/page/estimate.mjs";
import { fingerprint } from "../../../service/web/page/fingerprint.mjs";
import { LineReader } from "../../../service/web/page/lines.mjs";
import { problemOf, problemOfSilence } from "../../../service/web/page/problems.mjs";
import { KnownVideos, Video } from "../../../service/web/page/video.mjs";

test("lines are given once, and only whole ones", () => {
  const reader = new LineReader();
  assert.deepEqual(reader.take('{"a":1}\n{"b"'), [{ a: 1 }]);
  assert.deepEqual(reader.take('{"a":1}\n{"b"'), []);
  assert.deepEqual(reader.take('{"a":1}\n{"b":2}\n{"c":3}\n'), [{ b: 2 }, { c: 3 }]);
});

test("the speed is that of the latest arrivals", () => {
  const speed = new Speed();
  assert.equal(speed.perSecond(), 0);
  speed.add(1, 1000);
  assert.equal(speed.perSecond(), 0, "one arrival has no speed");
  speed.add(5, 3000);
  assert.equal(speed.perSecond(), 2);
  for (let index = 0; index < 300; index += 1) speed.add(6 + index, 3000 + 100 * (index + 1));
  assert.ok(Math.abs(speed.perSecond() - 10) < 1e-9);
  for (let index = 0; index < 8; index += 1) speed.add(400 + index, 100_000 + 5000 * index);
  assert.ok(Math.abs(speed.perSecond() - 0.2) < 1e-9, "a slow one is measured too");
});

test("the time left is measured, else by the service's own speed, else not known", () => {
  assert.equal(secondsLeft(10, 30, 2, 5), 10);
  assert.equal(secondsLeft(0, 30, 0, 5), 6);
  assert.equal(secondsLeft(0, 30, 0, 0), null);
});

test("the service's problems are told in its words, a proxy's in ours", () => {
  const text = JSON.stringify({ title: "Too much", detail: "Wait.", code: "overloaded", request_id: "r1", status: 429 });
  const ours = problemOf({ status: 429, type: "application/problem+json", text, retryAfter: "3" });
  const { title, detail, code, requestId, retryAfterS } = ours;
  assert.deepEqual([title, detail, code, requestId, retryAfterS], ["Too much", "Wait.", "overloaded", "r1", 3]);
  const nginx = problemOf({ status: 413, type: "text/html", text: "<html>413</html>" });
  assert.match(nginx.detail, /client_max_body_size/);
  assert.equal(problemOf({ status: 502, type: "text/html", text: "" }).title, "The service is down");
  assert.match(problemOf({ status: 418, type: "application/json", text: "{cut" }).title, /418/);
});

test("silence has three causes", () => {
  assert.equal(problemOfSilence({ reachable: false, hadAnswer: true }).code, "no_connection");
  assert.match(problemOfSilence({ reachable: true, hadAnswer: false }).detail, /proxy/);
  assert.match(problemOfSilence({ reachable: true, hadAnswer: true }).title, /broke off/);
});

test("a file is known by its name, size, time and samples", async () => {
  const content = new Uint8Array(300_000);
  const file = (bytes, name = "a.mp4", lastModified = 1) => new File([bytes], name, { lastModified });
  const key = await fingerprint(file(content));
  assert.equal(await fingerprint(file(content.slice())), key);
  const changed = content.slice();
  changed[150_010] = 1; // in the middle
  for (const other of [file(changed), file(content, "b.mp4"), file(content, "a.mp4", 2), file(content.slice(1))]) {
    assert.notEqual(await fingerprint(other), key);
  }
});

test("a video takes its lines and gives its answer", () => {
  const video = new Video({ name: "a.mp4" });
  video.take({ type: "video", num_clips: 2, video: { duration_sec: 5 }, warnings: [] });
  assert.deepEqual([video.numClips, video.duration], [2, 5]);
  video.take({ type: "clip", index: 0, start_sec: 0, end_sec: 1, predictions: [], progress: 0.5, picture: "AAAA" });
  assert.equal(video.pictureAt(0.5), "data:image/jpeg;base64,AAAA");
  video.take({ type: "summary", id: "x", video: { duration_sec: 4 }, warnings: [{ code: "rotated" }] });
  assert.deepEqual([video.numClips, video.duration, video.warnings.length], [1, 4, 1]);
  assert.deepEqual(video.answer().clips, [{ index: 0, start_sec: 0, end_sec: 1, predictions: [] }]);
  assert.equal(video.answer().type, undefined);
});

test("one pass gives labels and descriptor; a model without labels is asked for vectors alone", () => {
  const model = { num_classes: 487 };
  assert.equal(question(model, { withPictures: false }), "classify?include=clips,features&vectors=video");
  assert.equal(question(model, { withPictures: true }), "classify?include=pictures,features&vectors=video");
  assert.equal(question({ num_classes: 0 }, { withPictures: true }), "features?include=pictures&vectors=video");
  const video = new Video({ name: "a.mp4" });
  video.take({ type: "clip", index: 0, start_sec: 0, end_sec: 1, progress: 1 });
  assert.deepEqual(video.clips[0].predictions, []);
});

test("the oldest videos are forgotten", () => {
  const known = new KnownVideos();
  for (let index = 0; index < 20; index += 1) known.add(`key ${index}`, index);
  assert.equal(known.get("key 0"), undefined);
  assert.equal(known.get("key 19"), 19);
  assert.ok(known.all().length <= 12);
});
