// Light, dark, or as the system has it. The page of the API reads the same choice.

import { byId } from "./dom.mjs";

const THEME = "c3d-theme"; // in localStorage
const isDarkSystem = matchMedia("(prefers-color-scheme: dark)");

export function startTheme(onChange) {
  const chosen = localStorage.getItem(THEME);
  if (chosen) document.documentElement.dataset.theme = chosen;
  const button = byId("theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (isDarkSystem.matches ? "dark" : "light")) === "dark";
  const label = () => button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  button.onclick = () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    localStorage.setItem(THEME, document.documentElement.dataset.theme);
    label();
    onChange();
  };
  isDarkSystem.onchange = () => {
    label();
    onChange();
  };
  label();
}
