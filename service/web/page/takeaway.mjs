// What can be taken away of a video that is done.

import { byId, save } from "./dom.mjs";
import { renamed, toCsv, toCurl, toVtt } from "./exports.mjs";
import { writeNpy } from "./npy.mjs";
import { segmentsOf } from "./segments.mjs";
import { key } from "./service.mjs";

const NPY = "application/x-npy";

/** Wire the buttons. `video()` is the one shown; `withFeatures(video)` resolves to whether its vectors are there. */
export function startTakeAway(video, withFeatures) {
  const on = (id, action) => byId(id).addEventListener("click", () => action(video()));
  const name = ({ file }, ending) => renamed(file.name, ending);
  on("take-descriptor", (each) => {
    const descriptor = Float32Array.from(each.summary.descriptor);
    save(name(each, ".descriptor.npy"), writeNpy([descriptor.length], descriptor), NPY);
  });
  on("take-clips", async (each) => {
    if (await withFeatures(each)) save(name(each, ".clips.npy"), each.features, NPY);
  });
  on("take-json", (each) => save(name(each, ".json"), JSON.stringify(each.answer(), null, 1), "application/json"));
  on("take-csv", (each) => save(name(each, ".csv"), toCsv(each.clips), "text/csv"));
  on("take-vtt", (each) => save(name(each, ".vtt"), toVtt(segmentsOf(each.clips)), "text/vtt"));
  on("take-curl", async ({ file, path }) => {
    const address = new URL(path.replace("include=pictures", "include=clips"), location.href).href;
    const command = toCurl(address, file.name, { keyNeeded: Boolean(key.get()) });
    byId("curl").textContent = command;
    byId("curl").hidden = false;
    // Without https a page may not write to the clipboard: then the command stands there to be copied by hand.
    const isCopied = await navigator.clipboard?.writeText(command).then(() => true, () => false);
    byId("announcement").textContent = isCopied ? "The command is copied." : "The command stands below the buttons.";
  });
}
