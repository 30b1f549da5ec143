// What went wrong, in words. The service answers with problem details (RFC 9457); a proxy in front answers with pages of its own.

import { size } from "./formats.mjs";

/** Something that the reader should be told: a title, what to do about it, and what to quote to the service's operator. */
export class Problem extends Error {
  constructor({ title, detail = "", code = "", requestId = "", status = 0, retryAfterS = 0 }) {
    super(title);
    Object.assign(this, { title, detail, code, requestId, status, retryAfterS });
  }
}

/** Codes of ours, for what the service cannot say itself. */
export const STOPPED = "no_connection";
export const BROKEN = "connection_broke";

const RAISE = "Its operator can raise the limit (nginx: client_max_body_size).";
const OF_PROXIES = {
  413: {
    title: "Too large for the proxy in front",
    detail: `A proxy between here and the service takes no upload of this size; the service itself would. ${RAISE}`,
  },
  502: { title: "The service is down", detail: "A proxy answers in its place. Try again in a while." },
  503: { title: "The service is not there", detail: "A proxy answers in its place. Try again in a while." },
  504: { title: "The proxy gave up waiting", detail: "The service did not answer it in time. Try again in a while." },
};

/** The Problem that an answer tells of. */
export function problemOf({ status, type = "", text = "", requestId = "", retryAfter = "" }) {
  const content = type.includes("json") ? parsed(text) : null;
  if (content?.code) return problemOfFields(content, Number(retryAfter) || 0);
  const known = OF_PROXIES[status] ?? {
    title: `Answer ${status}`,
    detail: "Something between here and the service answered, and not in its words. Is this the service's own address?",
  };
  return new Problem({ ...known, code: `http_${status}`, requestId, status });
}

/** The same of fields that were read already, as in the last line of a stream. */
export function problemOfFields({ title, detail, code, request_id, status }, retryAfterS = 0) {
  return new Problem({ title, detail, code, requestId: request_id, status, retryAfterS });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // cut off: what is told then is the status
  }
}

/** What is told where no answer came: `reachable` says whether the service answers a small question at the same time. */
export function problemOfSilence({ reachable, hadAnswer }) {
  if (!reachable) {
    return new Problem({
      title: "No connection to the service",
      detail: "It does not answer: it has stopped, or the network in between has. Try again in a while.",
      code: STOPPED,
    });
  }
  if (hadAnswer) {
    return new Problem({
      title: "The answer broke off",
      detail: "The service answers, but this stream ended early: it was restarted, or a proxy cut the connection. Try again.",
      code: BROKEN,
    });
  }
  return new Problem({
    title: "The upload broke off",
    detail: `The service answers, but this upload did not get through. Perhaps a proxy takes no file so large. ${RAISE}`,
    code: BROKEN,
  });
}

/** Throws a Problem where the service would refuse the file for its size, before it is sent. */
export function checkSize(file, mostBytes) {
  if (file.size > mostBytes) {
    const detail = `It has ${size(file.size)}, and the service takes ${size(mostBytes)}. Cut it, or compress it more.`;
    throw new Problem({ title: "The file is too large", detail, code: "body_too_large" });
  }
}
