// The explorer for everyone: axe-core, two widths, two themes.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import axe from "axe-core";
import { themes, widths } from "./browser.js";
import { benchFlags, makeRun, open, openBench, runsFolder, serve } from "./explorer.js";

const folder = runsFolder("runs");
makeRun("runs/made");
rmSync(join(makeRun("runs/a-run-with-a-long-name-that-has-no-place-to-break-and-no-summary"), "summary.json"));
const server = await serve(folder, ...benchFlags());

const views = {
  runs: async (options) => {
    const page = await open(server.url, options);
    await page.locator("li[data-run=made] button[aria-expanded]").click();
    await page.waitForSelector("li[data-run=made] table");
    return page;
  },
  bench: async (options) => {
    const page = await openBench(server.url, options);
    await page.locator("#features tbody tr").first().getByRole("button", { name: /^Clamp/ }).click();
    await page.locator("#tokens button").nth(3).click();
    await page.locator("#new-tokens").fill("5");
    await page.locator("#generate").click();
    await page.waitForFunction(() => /Greedy/.test(document.getElementById("generate-line").textContent));
    return page;
  },
};

for (const [name, view] of Object.entries(views)) {
  for (const width of widths) {
    for (const theme of themes) {
      test(`axe-core finds nothing serious: ${name}, ${theme}, ${width} px`, async () => {
        const page = await view({ theme, width });
        await page.evaluate(axe.source);
        const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
        const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
        assert.deepEqual(serious.map((violation) => `${violation.id}: ${violation.nodes[0].html.slice(0, 160)} ${violation.nodes[0].failureSummary}`), []);
        assert.ok(found.passes.length > 20, "axe looked at something");
        assert.deepEqual(page.noise, []);
      });
    }

    test(`legible at ${width} px: ${name}`, async () => {
      const page = await view({ width });
      const sizes = await page.evaluate(() => {
        const root = document.documentElement;
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        let smallest = 99, where = "";
        for (let node = walker.nextNode(); node; node = walker.nextNode()) {
          const element = node.parentElement;
          if (!node.textContent.trim() || !element.getClientRects().length) continue;
          const size = parseFloat(getComputedStyle(element).fontSize);
          if (size < smallest) [smallest, where] = [size, element.outerHTML.slice(0, 120)];
        }
        return { wide: root.scrollWidth - root.clientWidth, smallest, where };
      });
      assert.equal(sizes.wide, 0);
      assert.ok(sizes.smallest >= 12, `${sizes.smallest} px: ${sizes.where}`);
    });
  }
}

test("the theme button goes from the system's to light to dark", async () => {
  const page = await open(server.url, { theme: "dark" });
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(await paper(), "rgb(20, 23, 27)");
  await page.locator("#theme").click();
  assert.equal(await paper(), "rgb(255, 255, 255)");
  await page.locator("#theme").click();
  assert.equal(await paper(), "rgb(20, 23, 27)");
});
