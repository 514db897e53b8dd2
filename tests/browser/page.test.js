// The page as a whole: first screen, charts, themes, exports, words, copying, printing.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeReport, makeRun, openPage, rebound, scratch, themes } from "./browser.js";

const run = makeRun("made");
const report = makeReport(run, "made.html");

test("verdict, its reason, and what was and was not tested stand on the first screen", async () => {
  const page = await openPage(report);
  for (const part of [".verdict", ".tiles", ".scope"]) {
    const box = await page.locator(part).boundingBox();
    assert.ok(box.y + box.height <= 800, `${part} ends at ${box.y + box.height}`);
  }
  assert.match(await page.locator(".verdict").innerText(), /non-specific[\s\S]*brings the behaviour back/);
  assert.match(await page.locator(".scope").innerText(), /Tested[\s\S]*Not tested/);
});

for (const theme of themes) {
  test(`every chart is drawn without a word on the console, ${theme}`, async () => {
    const page = await openPage(report, { theme });
    const charts = await page.locator("figure .chart").count();
    assert.equal(charts, 7);
    assert.equal(await page.locator("figure .chart[data-drawn] svg").count(), charts);
    for (let i = 0; i < charts; ++i) {
      const marks = await page.locator("figure .chart").nth(i).locator("svg g.mark-symbol path, svg g.mark-line path, svg g.mark-rect path").count();
      assert.ok(marks > 0, `chart ${i} has marks`);
    }
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(paper, theme === "dark" ? "rgb(20, 23, 27)" : "rgb(255, 255, 255)");
    assert.deepEqual(page.noise, []);
  });
}

test("a chart's text has the colour of the theme, and follows when it changes", async () => {
  const page = await openPage(report);
  const fill = () => page.locator("#drift svg text").first().evaluate((text) => getComputedStyle(text).fill);
  assert.equal(await fill(), "rgb(27, 31, 36)");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.waitForFunction(() => getComputedStyle(document.querySelector("#drift svg text")).fill === "rgb(230, 233, 237)");
  await page.locator("#theme").click();
  assert.equal(await page.locator("#theme").innerText(), "Theme: light");
  await page.waitForFunction(() => getComputedStyle(document.querySelector("#drift svg text")).fill === "rgb(27, 31, 36)");
  assert.deepEqual(page.noise, []);
});

test("a chart saves as PNG, SVG and CSV", async () => {
  const page = await openPage(report);
  const saved = async (kind) => {
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: `Save drift as ${kind}` }).click();
    const file = await download;
    assert.equal(file.suggestedFilename(), "drift." + kind.toLowerCase());
    return readFileSync(await file.path());
  };
  const png = await saved("PNG");
  assert.equal(png.subarray(1, 4).toString(), "PNG");
  assert.ok(png.readUInt32BE(16) > 600, "twice as many pixels as on the screen");
  assert.match((await saved("SVG")).toString(), /^<svg[\s\S]*relative drift/);
  const csv = (await saved("CSV")).toString().trim().split("\n");
  assert.match(csv[0], /drift.*rate/);
  assert.equal(csv.length, 1 + 2, "two rows drift");
  assert.deepEqual(page.noise, []);
});

test("words are explained on hover and on focus, and Escape takes that away", async () => {
  const page = await openPage(report);
  const word = page.locator("#recovery a.term", { hasText: "drift pre" }).first();
  await word.hover();
  assert.match(await page.locator("#tip").innerText(), /pre-activations/);
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#tip").isHidden());
  await page.mouse.move(1, 1);
  await word.focus();
  assert.ok(await page.locator("#tip").isVisible());
  assert.equal(await word.getAttribute("aria-describedby"), "tip");
  await page.keyboard.press("Enter");
  assert.match(page.url(), /#term-drift$/);
});

test("commands and spec are copied, or selected where the clipboard is shut", async () => {
  const page = await openPage(report);
  const button = page.locator("button[data-copy=commands]");
  await button.click();
  await page.waitForFunction(() => /Copied|Selected/.test(document.querySelector("button[data-copy=commands]").textContent));
  const text = (await button.innerText()) === "Copied" ? null : await page.evaluate(() => String(getSelection()));
  if (text !== null) assert.match(text, /rebound audit spec.json --out runs\/again/);
  assert.deepEqual(page.noise, []);
});

test("printing opens everything and drops what only a screen needs", async () => {
  const page = await openPage(report);
  await page.emulateMedia({ media: "print" });
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  assert.equal(await page.locator("details:not([open])").count(), 0);
  assert.equal(await page.locator("#examples tbody tr.row").count(), 60);
  for (const part of ["nav", ".tools", ".export"]) assert.ok(await page.locator(part).first().isHidden(), part);
  assert.ok((await page.pdf()).length > 20000);
});

test("a page of a real audit, made by the audit itself", async () => {
  const folder = join(scratch, "toy"), spec = join(scratch, "toy.json");
  writeFileSync(spec, JSON.stringify({
    behaviour: { kind: "toy-leaky" }, controls: { random_draws: 2, inject_targets: 1, shared_budgets: [8] },
    rows: [{ constraint: "encoder_decoder", budget: 8, steps: 10 }, { constraint: "none", budget: 8, steps: 5 }],
  }));
  rebound("audit", spec, "--out", folder, "--trace");
  for (const file of [folder + "/report.html", makeReport(folder, "toy.html")]) {
    const page = await openPage(file);
    assert.match(await page.locator(".verdict").innerText(), /non-specific/);
    assert.deepEqual(page.noise, []);
  }
});
