// How long a page of many examples takes to open: node bench.js [EXAMPLES] [PAGES], with REBOUND_PROGRAM and
// CHROMIUM set as run.sh does. Prints medians; a benchmark, not a test.
import { statSync } from "node:fs";
import { makeReport, makeRun, openPage } from "./browser.js";

const examples = process.argv[2] ?? "2000", pages = Number(process.argv[3] ?? 5);
const report = makeReport(makeRun("many", "--examples", examples), "many.html");
const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

const opened = [], usable = [], charts = [], turned = [];
for (let i = 0; i < pages; ++i) {
  const page = await openPage(report);
  const times = await page.evaluate(() => {
    const paint = performance.getEntriesByName("first-contentful-paint")[0]?.startTime;
    return { paint, loaded: performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart, charts: performance.getEntriesByName("charts-drawn")[0].startTime };
  });
  opened.push(times.paint);
  usable.push(times.loaded);
  charts.push(times.charts);
  turned.push(await page.evaluate(() => {
    const start = performance.now();
    document.querySelector("#examples .pages button:last-of-type").click();
    document.body.offsetHeight; // layout is part of it
    return performance.now() - start;
  }));
  await page.context().close();
}
console.log(`${examples} examples, ${(statSync(report).size / 1e6).toFixed(2)} MB: first paint ${median(opened).toFixed(0)} ms, ` +
  `table usable ${median(usable).toFixed(0)} ms, last chart ${median(charts).toFixed(0)} ms, next page of rows ${median(turned).toFixed(0)} ms`);
process.exit(0);
