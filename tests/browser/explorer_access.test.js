// The explorer for everyone: axe-core, two widths, two themes.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readableByEveryone, widths } from "./browser.js";
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
    test(`for everyone: ${name} at ${width} px`, async (t) => {
      const page = await view({ width });
      await readableByEveryone(t, page);
      assert.deepEqual(page.noise, []);
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
