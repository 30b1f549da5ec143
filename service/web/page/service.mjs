// Everything that is asked of the service. Addresses are relative: a proxy may have put it below a path prefix.

import { LineReader } from "./lines.mjs";
import { Problem, problemOf, problemOfFields, problemOfSilence } from "./problems.mjs";

const RAW = "application/octet-stream";
const KEY = "c3d-key"; // in sessionStorage: gone with the tab

/** The key that requests carry; "" for none. */
export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
};

function headersFor(accept, type) {
  const headers = { Accept: accept };
  if (type) headers["Content-Type"] = type;
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  return headers;
}

/** The JSON at a path. Throws a Problem. */
export async function read(path, signal) {
  let answer;
  try {
    answer = await fetch(path, { headers: headersFor("application/json"), signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw problemOfSilence({ reachable: false });
  }
  if (!answer.ok) throw await problemIn(answer);
  return answer.json();
}

async function problemIn(answer) {
  return problemOf({
    status: answer.status,
    type: answer.headers.get("Content-Type") ?? "",
    text: await answer.text(),
    requestId: answer.headers.get("X-Request-Id") ?? "",
    retryAfter: answer.headers.get("Retry-After") ?? "",
  });
}

/** Send the file to a path with its query, and hand over each line of the stream as it comes. Throws a Problem, or an AbortError.
 *
 * By XMLHttpRequest: fetch does not tell how much of an upload is done. `onUpload` gets the bytes sent.
 */
export function stream(file, path, { signal, onUpload, onLine }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const reader = new LineReader();
    let last = null;
    const takeLines = () => {
      if (request.status !== 200) return;
      for (const line of reader.take(request.responseText)) {
        last = line;
        if (line.type !== "error") onLine(line);
      }
    };
    const fail = async () => reject(await silence(file, signal, last !== null));
    request.upload.onprogress = ({ loaded }) => onUpload(loaded);
    request.upload.onload = () => onUpload(file.size);
    request.onprogress = takeLines;
    request.onerror = fail;
    request.onload = () => {
      takeLines();
      if (request.status !== 200) reject(problemInRequest(request));
      else if (last?.type === "error") reject(problemOfFields(last.error));
      else if (last?.type === "summary") resolve();
      else fail();
    };
    request.onabort = () => reject(new DOMException("The reader stopped it.", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.open("POST", path);
    for (const [name, value] of Object.entries(headersFor("application/x-ndjson", RAW))) request.setRequestHeader(name, value);
    request.send(file);
  });
}

function problemInRequest(request) {
  return problemOf({
    status: request.status,
    type: request.getResponseHeader("Content-Type") ?? "",
    text: request.responseText,
    requestId: request.getResponseHeader("X-Request-Id") ?? "",
    retryAfter: request.getResponseHeader("Retry-After") ?? "",
  });
}

/** The fc6 vectors of a video's clips, as an npy file in an ArrayBuffer. Throws a Problem, or an AbortError. */
export async function features(file, signal) {
  let answer;
  try {
    const headers = headersFor("application/x-npy", RAW);
    answer = await fetch("features?include=clips", { method: "POST", body: file, headers, signal });
    if (answer.ok) return await answer.arrayBuffer();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw await silence(file, signal, Boolean(answer?.ok));
  }
  throw await problemIn(answer);
}

/** Why a request ended without an answer: the file, the service, or something in between. */
async function silence(file, signal, hadAnswer) {
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return new Problem({
      title: "The file cannot be read any more",
      detail: "It was changed, moved or deleted after it was chosen. Choose it again.",
      code: "file_changed",
    });
  }
  let reachable = true;
  try {
    await read("livez", signal);
  } catch (error) {
    reachable = error instanceof Problem && error.status > 0 && error.code !== "http_502";
  }
  return problemOfSilence({ reachable, hadAnswer });
}
