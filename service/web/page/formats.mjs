// Numbers as people read them.

const MEGABYTE = 1e6; // as file managers count

/** Seconds as a clock: 0:05.8, 12:00.0, 1:02:03.4. `digits` behind the point. */
export function clock(seconds, digits = 1) {
  const unit = 10 ** digits;
  const rounded = Math.round(Math.max(0, seconds) * unit) / unit; // first, so that 59.96 becomes 1:00.0 and not 0:60.0
  const whole = Math.floor(rounded);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = (rounded - whole + (whole % 60)).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** A part of a video: 0:05.8 to 0:06.4. */
export function span(start, end) {
  return `${clock(start)} to ${clock(end)}`;
}

/** Bytes: 512 bytes, 30 kB, 0.5 MB, 12 MB, 1.2 GB. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  if (bytes < MEGABYTE / 10) return `${Math.round(bytes / 1000)} kB`;
  const [number, unit] = bytes < 1000 * MEGABYTE ? [bytes / MEGABYTE, "MB"] : [bytes / (1000 * MEGABYTE), "GB"];
  return `${number.toFixed(number < 10 ? 1 : 0)} ${unit}`;
}

/** A probability: 69 %, 3.7 %, under 0.1 %. */
export function percent(probability) {
  const value = probability * 100;
  if (value > 0 && value < 0.05) return "under 0.1 %";
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** How long something takes, as roughly as anybody knows it: 8 s, 2 min 10 s, 1 h 5 min. */
export function roughly(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 600) return `${Math.floor(whole / 60)} min ${whole % 60} s`.replace(" 0 s", "");
  const minutes = Math.round(whole / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`.replace(" 0 min", "");
}

/** One clip, 3 clips, 3,749 clips. */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
