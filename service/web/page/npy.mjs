// NumPy's npy files, as far as descriptors need them: little-endian float32 in C order.

const MAGIC = "\x93NUMPY";
const ALIGNMENT = 64; // of the data in the file, as NumPy writes it

/** {shape, data} of an npy file in an ArrayBuffer. Throws where it is not float32 in C order. */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  const magic = buffer.byteLength > 10 ? String.fromCharCode(...new Uint8Array(buffer, 0, 6)) : "";
  if (magic !== MAGIC) throw new Error("This is not an npy file.");
  const isFirstVersion = view.getUint8(6) === 1;
  const [length, begin] = isFirstVersion ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = new TextDecoder().decode(new Uint8Array(buffer, begin, length));
  if (!header.includes("'<f4'") || header.includes("'fortran_order': True")) throw new Error("The npy file is not float32.");
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").map((part) => part.trim()).filter(Boolean).map(Number);
  const number = shape.reduce((product, each) => product * each, 1);
  if (buffer.byteLength - begin - length < number * 4) throw new Error("The npy file is cut off.");
  const copied = (begin + length) % 4 ? buffer.slice(begin + length) : buffer; // a Float32Array has to begin at a multiple of 4
  return { shape, data: new Float32Array(copied, copied === buffer ? begin + length : 0, number) };
}

/** An npy file (ArrayBuffer) of a Float32Array. */
export function writeNpy(shape, data) {
  const tuple = `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;
  const dictionary = `{'descr': '<f4', 'fortran_order': False, 'shape': ${tuple}, }`;
  const total = Math.ceil((10 + dictionary.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = `${dictionary.padEnd(total - 11)}\n`;
  const buffer = new ArrayBuffer(total + data.length * 4);
  const bytes = new Uint8Array(buffer);
  bytes.set([...MAGIC].map((each) => each.charCodeAt(0)), 0);
  bytes.set([1, 0], 6);
  new DataView(buffer).setUint16(8, header.length, true);
  bytes.set(new TextEncoder().encode(header), 10);
  new Float32Array(buffer, total).set(data);
  return buffer;
}
