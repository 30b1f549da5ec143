// Whether two files are the same video, without reading all of a large one.

const SAMPLE_BYTES = 65536;

/** A key of a file: its name, size and time, and a hash of its begin, middle and end. */
export async function fingerprint(file) {
  const starts = [0, Math.floor(file.size / 2), Math.max(0, file.size - SAMPLE_BYTES)];
  let hash = 0;
  for (const start of starts) {
    const bytes = await file.slice(start, start + SAMPLE_BYTES).arrayBuffer();
    hash = fnv1a(new Uint8Array(bytes), hash || undefined);
  }
  return [file.name, file.size, file.lastModified, hash.toString(16)].join("|");
}

/** FNV-1a, 32 bits. The browser's own SHA-256 is there for https and localhost only, and nobody gains by deceiving himself. */
export function fnv1a(bytes, hash = 0x811c9dc5) {
  let value = hash;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}
