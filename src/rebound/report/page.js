// The rest of the page: words explained where they stand, the theme, copying, printing.
"use strict";

rebound.tip = (() => {
  const tip = rebound.element("div", { id: "tip", role: "tooltip", hidden: true });
  document.body.append(tip);
  let owner = null;
  const hide = () => {
    tip.hidden = true;
    if (owner) owner.removeAttribute("aria-describedby");
    owner = null;
  };
  const show = (text, x, y) => {
    tip.textContent = text;
    tip.style.whiteSpace = "pre-line";
    tip.hidden = false;
    const left = Math.min(x + 12, document.documentElement.clientWidth - tip.offsetWidth - 8);
    const below = y + 18 + tip.offsetHeight < innerHeight;
    tip.style.left = Math.max(8, left) + scrollX + "px";
    tip.style.top = (below ? y + 18 : Math.max(4, y - tip.offsetHeight - 10)) + scrollY + "px";
  };
  const explain = (link) => {
    const term = document.getElementById(link.getAttribute("href").slice(1));
    if (!term || link.closest(".glossary")) return;
    const box = link.getBoundingClientRect();
    show(term.nextElementSibling.textContent, box.left - 12, box.bottom - 12);
    owner = link;
    link.setAttribute("aria-describedby", "tip");
  };
  // Stays while the pointer is on the word or on the explanation; Escape takes it away.
  document.addEventListener("pointerover", (event) => {
    const link = event.target.closest?.("a.term");
    if (link) explain(link);
    else if (owner && owner !== document.activeElement && !event.target.closest?.("#tip")) hide();
  });
  document.addEventListener("focusin", (event) => {
    const link = event.target.closest?.("a.term");
    if (link) explain(link);
    else hide();
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  return { show, hide };
})();

(() => {
  rebound.startTheme(() => rebound.charts.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => rebound.charts.redraw());

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false;
    }
  };
  for (const copy of document.querySelectorAll("button[data-copy]")) {
    const name = copy.textContent;
    copy.addEventListener("click", async () => {
      const source = document.getElementById(copy.dataset.copy);
      const done = await copied(source.textContent);
      if (!done) getSelection().selectAllChildren(source); // no right to the clipboard: Ctrl-C does it
      copy.textContent = done ? "Copied" : "Selected: press Ctrl-C";
      setTimeout(() => { copy.textContent = name; }, 2500);
    });
  }

  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
    rebound.examples?.showAll(true);
  });
  addEventListener("afterprint", () => rebound.examples?.showAll(false));

  requestAnimationFrame(() => setTimeout(rebound.charts.drawAll));
})();
