// What can be taken away as text: WebVTT for players, CSV for spreadsheets, and the command that asks the same again.

import { clock } from "./formats.mjs";

/** Segments as WebVTT: a cue for each, which players show as a subtitle. */
export function toVtt(segments) {
  const cues = segments.map(
    ({ start, end, label, score }) => `${stamp(start)} --> ${stamp(end)}\n${escaped(label)} (${Math.round(score * 100)} %)\n`,
  );
  return ["WEBVTT\n", ...cues].join("\n");
}

function stamp(seconds) {
  const text = clock(seconds, 3);
  return text.length > "59:59.999".length ? text.padStart("00:00:00.000".length, "0") : text.padStart("00:00.000".length, "0");
}

/** In a cue, "<" opens a tag, "&" a character's name, and "-->" would be read as times. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Clips as CSV (RFC 4180), a row for each clip and label. */
export function toCsv(clips) {
  const head = ["clip", "start_sec", "end_sec", "rank", "class_id", "label", "score"];
  const rows = clips.flatMap(({ index, start_sec, end_sec, predictions }) =>
    predictions.map(({ class_id, label, score }, rank) => [index, start_sec, end_sec, rank + 1, class_id, label, score]),
  );
  return [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** A spreadsheet takes text that begins so for a formula, and a label is whatever the model's owner wrote. */
const FORMULA = /^[=+\-@\t\r]/;

function cell(value) {
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The same question for a shell. `address` has its query. */
export function toCurl(address, fileName, { keyNeeded = false } = {}) {
  const key = keyNeeded ? ' -H "Authorization: Bearer $C3D_KEY"' : "";
  const headers = `-H 'Accept: application/x-ndjson' -H 'Content-Type: application/octet-stream'${key}`;
  return `curl -N ${headers} --data-binary ${quoted(`@${fileName}`)} ${quoted(address)}`;
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A file's name with another ending, safe to save under. */
export function renamed(fileName, ending) {
  const stem = fileName.replace(/\.[^.]*$/, "") || "video";
  return `${stem}${ending}`;
}
