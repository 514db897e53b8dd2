// What the report's page and the explorer's share: elements, numbers, the choice of theme.
"use strict";
const rebound = {};

// Builds an element; children are elements or text, never markup.
rebound.element = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

rebound.number = (value, digits = 3) => {
  if (value === null || value === undefined) return "–";
  if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(digits)));
};

// The page runs scripts; its button goes through the themes.
rebound.startTheme = (onChange = () => {}) => {
  const root = document.documentElement, themes = ["system", "light", "dark"];
  root.classList.remove("no-script");
  const button = document.getElementById("theme");
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(root.dataset.theme || "system") + 1) % themes.length];
    if (next === "system") delete root.dataset.theme;
    else root.dataset.theme = next;
    button.textContent = "Theme: " + next;
    onChange();
  });
};
