// Light, dark, or as the system has it. The pages share the choice.

import { byId } from "./dom.mjs";

const THEME = "c3d-theme"; // in localStorage
const darkSystem = matchMedia("(prefers-color-scheme: dark)");

/** Whether the page is dark now. */
export function isDark() {
  return (document.documentElement.dataset.theme ?? (darkSystem.matches ? "dark" : "light")) === "dark";
}

/** Take the choice made before, and have the button #theme change it. `onChange` is called whenever the colours change. */
export function startTheme(onChange) {
  const root = document.documentElement;
  const chosen = localStorage.getItem(THEME);
  if (chosen) root.dataset.theme = chosen;
  const dress = () => {
    byId("theme").setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
    onChange();
  };
  byId("theme").onclick = () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem(THEME, root.dataset.theme);
    dress();
  };
  darkSystem.onchange = dress;
  dress();
}
