// Draws Vega-Lite specs in the page's own colours, without eval, and saves them as PNG, SVG or CSV.
rebound.save = (name, blob) => {
  const url = URL.createObjectURL(blob);
  const link = rebound.element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
};

rebound.csv = (lines) => {
  const columns = [...new Set(lines.flatMap((line) => Object.keys(line)))];
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  };
  return [columns, ...lines.map((line) => columns.map((name) => line[name]))]
    .map((cells) => cells.map(cell).join(",") + "\n").join("");
};

rebound.charts = (() => {
  const drawn = new Map(); // place -> {spec, view}

  const config = () => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const ink = colour("--ink"), soft = colour("--soft"), paper = colour("--paper");
    const text = { labelColor: ink, titleColor: ink, labelFontSize: 13, titleFontSize: 13, titleFontWeight: "normal" };
    return {
      background: paper, font: "system-ui, sans-serif", view: { stroke: null }, aria: false,
      axis: { ...text, gridColor: colour("--grid"), domainColor: soft, tickColor: soft },
      legend: { ...text, labelLimit: 260, symbolBaseFillColor: soft, symbolBaseStrokeColor: soft },
      text: { color: ink }, rule: { color: ink }, area: { color: colour("--c0") },
      range: { category: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => colour("--c" + i)) },
    };
  };

  // Concatenated panels cannot take the width of their place by themselves; narrow places have no
  // room for two columns of a legend.
  const fitted = (spec, width) => {
    const copy = structuredClone(spec);
    const visit = (node, isPart) => {
      if (Array.isArray(node)) return node.forEach((item) => visit(item, isPart));
      if (!node || typeof node !== "object") return;
      if (isPart && node.width === "container") node.width = Math.max(120, width - 90);
      if (node.legend && node.legend.columns && width < 520) node.legend.columns = 1;
      if (node.axis && node.axis.labelLimit && width < 520) node.axis.labelLimit = Math.round(width * 0.32);
      for (const [key, child] of Object.entries(node)) {
        if (key !== "data") visit(child, isPart || key === "vconcat");
      }
    };
    visit(copy, false);
    return copy;
  };

  const tooltip = (handler, event, item, value) => {
    if (!value) return rebound.tip.hide();
    const lines = typeof value === "object" ? Object.entries(value).filter(([, of]) => of !== "" && of !== "undefined") : [["", value]];
    rebound.tip.show(lines.map(([key, of]) => (key ? key + ": " : "") + of).join("\n"), event.clientX, event.clientY);
  };

  // Charts as high as their rows cannot also be fitted in height, and need not be.
  const logger = {
    level() { return logger; }, info() { return logger; }, debug() { return logger; },
    warn(text) { if (!/fit-y/.test(text)) console.warn(text); return logger; },
    error(text) { console.error(text); return logger; },
  };

  const draw = async (place, spec) => {
    const before = drawn.get(place);
    if (before) before.view.finalize();
    place.replaceChildren();
    const compiled = vegaLite.compile(fitted(spec, place.clientWidth), { config: config(), logger }).spec;
    const view = new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: vega.expressionInterpreter, renderer: "svg", container: place, hover: true, tooltip, logLevel: vega.Error,
    });
    drawn.set(place, { spec, view });
    await view.runAsync();
    // The place itself is the image, with its description; what is inside has no roles of its own.
    for (const part of place.querySelectorAll("[role]")) part.removeAttribute("role");
    place.firstElementChild?.setAttribute("aria-hidden", "true");
    place.dataset.drawn = "yes";
    return view;
  };

  const exports = (place, name) => {
    const view = () => drawn.get(place).view;
    const button = (kind, action) =>
      rebound.element("button", { type: "button", "aria-label": `Save ${name} as ${kind}`, onclick: action }, kind);
    return rebound.element("div", { class: "export" }, "Save as ",
      button("PNG", async () => (await view().toCanvas(2)).toBlob((blob) => rebound.save(name + ".png", blob))),
      button("SVG", async () => rebound.save(name + ".svg", new Blob([await view().toSVG()], { type: "image/svg+xml" }))),
      button("CSV", () => rebound.save(name + ".csv", new Blob([rebound.csv(drawn.get(place).spec.data.values)], { type: "text/csv" }))));
  };

  // One after another, so that the page answers meanwhile.
  const drawAll = async () => {
    for (const source of document.querySelectorAll("script[data-chart]")) {
      const place = document.getElementById(source.dataset.chart);
      await new Promise((next) => setTimeout(next));
      await draw(place, JSON.parse(source.textContent));
      const figure = place.closest("figure");
      if (!figure.querySelector(".export")) figure.append(exports(place, place.id));
    }
    document.documentElement.dataset.charts = "drawn";
    performance.mark("charts-drawn");
  };

  const redraw = async () => {
    for (const [place, { spec, view }] of [...drawn]) {
      if (place.isConnected) await draw(place, spec);
      else { view.finalize(); drawn.delete(place); }
    }
  };

  return { draw, drawAll, redraw, exports };
})();
