// Small helpers for the document. Text is always set as text: a file's name or a label is never read as HTML.

export const byId = (id) => document.getElementById(id);

/** A new element with these properties and children, which may be text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("aria-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Show or hide elements. */
export function show(isShown, ...elements) {
  for (const each of elements) each.hidden = !isShown;
}

/** Have the browser save bytes or text under a name. */
export function save(name, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the download may begin later
}

/** A function that has `draw` run before the next frame: once, however often it is called, and `restMs` after the last time. */
export function oncePerFrame(draw, restMs = 0) {
  let isDue = false;
  let lastMs = -Infinity;
  return () => {
    if (isDue) return;
    isDue = true;
    const run = () => {
      isDue = false;
      lastMs = performance.now();
      draw();
    };
    setTimeout(() => requestAnimationFrame(run), Math.max(0, lastMs + restMs - performance.now()));
  };
}

/** A canvas's context, its pixels those of the screen; {context, width, height} in CSS pixels. It is empty. */
export function fitted(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = window.devicePixelRatio;
  const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
  // A new size empties the canvas, and has the browser lay out the page again: only where it is new.
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.globalAlpha = 1;
  return { context, width: Math.round(width), height: Math.round(height) };
}
