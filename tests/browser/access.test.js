// Readable by everyone: axe-core, two widths, two themes, without JavaScript.
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeReport, makeRun, openPage, readableByEveryone, widths } from "./browser.js";

const run = makeRun("made");
const report = makeReport(run, "made.html");

const openAll = (page) => page.evaluate(() => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  document.querySelector("#examples tbody button[data-example]").click();
});

for (const width of widths) {
  test(`for everyone at ${width} px`, async (t) => {
    const page = await openPage(report, { width });
    await t.test("no chart is wider than its place", async () => {
      const over = await page.evaluate(() => [...document.querySelectorAll("figure .chart")]
        .filter((chart) => chart.querySelector("svg").getBoundingClientRect().width > chart.clientWidth + 1 || chart.scrollWidth > chart.clientWidth + 1)
        .map((chart) => chart.id));
      assert.deepEqual(over, []);
    });
    await openAll(page);
    await readableByEveryone(t, page);
  });
}

test("without JavaScript verdict, tables, examples and glossary are all there", async () => {
  const page = await openPage(report, { scripts: false });
  assert.ok(await page.locator(".verdict").isVisible());
  assert.equal(await page.locator("#examples table tbody tr").count(), 60);
  assert.ok(await page.locator("#recovery table svg").first().isVisible(), "intervals are drawn in the table");
  assert.match(await page.locator("#drift").innerText(), /the figures are in the tables/);
  assert.ok(await page.locator("#glossary dt").first().isVisible());
  assert.equal(await page.locator("button:visible").count(), 0, "no button that does nothing");
});
