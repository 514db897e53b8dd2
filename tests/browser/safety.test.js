// What must not be in a page, and must not leave it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { makeReport, makeRun, openPage } from "./browser.js";

const run = makeRun("made");
const report = makeReport(run, "made.html");
const hostile = makeRun("hostile", "--hostile");

test("redacted unless texts are asked for, and visibly so", async () => {
  assert.doesNotMatch(readFileSync(report, "utf8"), /SECRET/);
  const page = await openPage(report);
  assert.match(await page.locator(".badge").innerText(), /^Redacted/);
  const shown = await openPage(makeReport(run, "shown.html", "--show-text"));
  assert.match(await shown.locator(".badge").innerText(), /^Texts shown/);
  await shown.locator("#examples tbody button[data-example]").first().click();
  assert.match(await shown.locator("tr.detail").innerText(), /SECRET prompt number 0/);
  assert.doesNotMatch(await shown.content(), /SECRETfolder/);
});

test("nothing is asked of the network", async () => {
  const page = await openPage(report);
  await page.locator("#examples tbody button[data-example]").first().click();
  assert.deepEqual(page.noise, []);
});

test("the policy lets no other script, no eval and no image in", async () => {
  const page = await openPage(report);
  const outcome = await page.evaluate(async () => {
    const script = document.createElement("script");
    script.textContent = "window.wasRun = true";
    document.body.append(script);
    // In a timer: what the test itself runs may use eval whatever the policy says.
    const evaluated = await new Promise((done) => setTimeout(() => {
      try { done(Boolean((0, eval)("1"))); } catch { done(false); }
    }));
    let fetched = true;
    try { await fetch("https://example.org/"); } catch { fetched = false; }
    return { wasRun: Boolean(window.wasRun), evaluated, fetched };
  });
  assert.deepEqual(outcome, { wasRun: false, evaluated: false, fetched: false });
  assert.ok(page.noise.some((text) => /Content Security Policy/.test(text)), page.noise.join("\n"));
});

for (const args of [[], ["--show-text"]]) {
  test(`names that are markup stay text ${args.join(" ")}`, async () => {
    const page = await openPage(makeReport(hostile, "hostile.html", ...args));
    assert.equal(await page.locator("img").count(), 0);
    await page.locator("#examples tbody button[data-example]").first().click();
    await page.locator("#recovery a.term").first().hover();
    assert.equal(await page.locator("img").count(), 0);
    assert.match(await page.locator("h1").innerText(), /<img src=x/);
    assert.deepEqual(page.noise, []);
  });
}
