// Draws the charts of the page with its own colours, again whenever light turns dark.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const config = () => {
    const [ink, soft, grid] = ["--ink", "--soft", "--grid"].map(colour);
    const axis = { labelColor: soft, titleColor: ink, gridColor: grid, domainColor: soft, tickColor: soft,
                   titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 13 };
    return {
      background: null, font: "system-ui, sans-serif", view: { stroke: null }, axis,
      legend: { labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal",
                symbolFillColor: soft, labelLimit: 220 },
      range: { category: [0, 1, 2, 3, 4, 5, 6, 7].map((i) => colour("--c" + i)) },
    };
  };
  const draw = () => {
    for (const source of document.querySelectorAll("script[data-chart]")) {
      const place = document.getElementById(source.dataset.chart);
      const spec = JSON.parse(source.textContent);
      const runtime = vega.parse(vegaLite.compile(spec, { config: config() }).spec);
      new vega.View(runtime, { renderer: "svg", container: place, hover: true }).runAsync();
    }
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });
})();
