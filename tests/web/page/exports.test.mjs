import assert from "node:assert/strict";
import test from "node:test";

import { renamed, toCsv, toCurl, toVtt } from "../../../service/web/page/exports.mjs";

test("WebVTT: whole stamps, and labels that are no tags", () => {
  const text = toVtt([
    { start: 0, end: 2.5, label: "track & field", score: 0.694 },
    { start: 3599.9996, end: 3723.4, label: "<b> --> x", score: 1 },
  ]);
  assert.equal(
    text,
    "WEBVTT\n\n00:00.000 --> 00:02.500\ntrack &amp; field (69 %)\n\n01:00:00.000 --> 01:02:03.400\n&lt;b&gt; --&gt; x (100 %)\n",
  );
});

test("CSV: a row for each clip and label, and no formula", () => {
  const predictions = [{ class_id: 3, label: 'a "b", c', score: 0.5 }, { class_id: 4, label: "=1+1", score: 0.25 }];
  assert.equal(
    toCsv([{ index: 0, start_sec: 0, end_sec: 0.64, predictions }]),
    'clip,start_sec,end_sec,rank,class_id,label,score\r\n0,0,0.64,1,3,"a ""b"", c",0.5\r\n0,0,0.64,2,4,\'=1+1,0.25\r\n',
  );
});

test("curl: what a shell reads as it stands here", () => {
  const command = toCurl("http://host/c3d/classify?include=clips", "it's.mp4", { keyNeeded: true });
  assert.ok(command.endsWith(`--data-binary '@it'\\''s.mp4' 'http://host/c3d/classify?include=clips'`));
  assert.ok(command.includes('"Authorization: Bearer $C3D_KEY"'));
  assert.ok(!toCurl("http://host/classify", "a.mp4").includes("Authorization"));
});

test("a name gets another ending", () => {
  assert.deepEqual(["a.b.mp4", "clip", ".mp4"].map((name) => renamed(name, ".csv")), ["a.b.csv", "clip.csv", "video.csv"]);
});
