// Readable by everyone: axe-core, two widths, two themes, without JavaScript.
import assert from "node:assert/strict";
import { test } from "node:test";
import axe from "axe-core";
import { makeReport, makeRun, openPage, themes, widths } from "./browser.js";

const run = makeRun("made");
const report = makeReport(run, "made.html");

const openAll = (page) => page.evaluate(() => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  document.querySelector("#examples tbody button[data-example]").click();
});

for (const theme of themes) {
  for (const width of widths) {
    test(`axe-core finds nothing serious, ${theme}, ${width} px`, async () => {
      const page = await openPage(report, { theme, width });
      await openAll(page);
      await page.evaluate(axe.source);
      const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
      const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
      assert.deepEqual(serious.map((violation) => `${violation.id}: ${violation.nodes[0].html.slice(0, 160)}`), []);
      assert.ok(found.passes.length > 20, "axe looked at something");
    });
  }
}

for (const width of widths) {
  test(`legible at ${width} px: nothing to scroll sideways, no small type`, async () => {
    const page = await openPage(report, { width });
    await openAll(page);
    const sizes = await page.evaluate(() => {
      const root = document.documentElement;
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      let smallest = 99, where = "";
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (!node.textContent.trim() || !element.getClientRects().length || element.closest("script, style, noscript")) continue;
        const size = parseFloat(getComputedStyle(element).fontSize);
        if (size < smallest) [smallest, where] = [size, element.outerHTML.slice(0, 120)];
      }
      return { wide: root.scrollWidth - root.clientWidth, smallest, where };
    });
    assert.equal(sizes.wide, 0);
    assert.ok(sizes.smallest >= 12, `${sizes.smallest} px: ${sizes.where}`);
  });

  test(`no chart is wider than its place at ${width} px`, async () => {
    const page = await openPage(report, { width });
    const over = await page.evaluate(() => [...document.querySelectorAll("figure .chart")]
      .filter((chart) => chart.querySelector("svg").getBoundingClientRect().width > chart.clientWidth + 1 || chart.scrollWidth > chart.clientWidth + 1)
      .map((chart) => chart.id));
    assert.deepEqual(over, []);
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
