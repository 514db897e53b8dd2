// The explorer's bench on a tiny model: what fires, clamps, next token, generation, an audit started from it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { benchFlags, open, openBench, runsFolder, serve } from "./explorer.js";

const folder = runsFolder("bench-runs");
const server = await serve(folder, ...benchFlags());

const clampedColumn = (page) => page.locator("#next tbody tr").evaluateAll((rows) => rows.map((row) => [row.dataset.token, ...[...row.cells].slice(5).map((cell) => cell.innerText)]));
const drawn = (page) => page.locator("#next").evaluate((table) => Number(table.dataset.drawn));
const afterNext = async (page, action) => {
  const before = await drawn(page);
  await action();
  await page.waitForFunction((n) => Number(document.getElementById("next").dataset.drawn) > n, before);
};

test("a prompt is read: its tokens, and the features that fire on them", async () => {
  const page = await openBench(server.url);
  const prompt = "then Mary and John went to the shop";
  assert.equal(await page.locator("#tokens button").count(), prompt.length, "one token a character");
  assert.match(await page.locator("#bench-model").innerText(), /^model · sae-1 at blocks\.1\.hook_resid_pre · sae-2/);
  assert.ok(await page.locator("#features tbody tr").count() > 5);
  assert.equal(await page.locator("#tokens .sink").count(), 1, "the first token");
  assert.match(await page.locator("#sae-line").innerText(), /48 features.*variance unexplained/);
  assert.deepEqual(page.noise, []);
});

test("a feature colours the tokens on which it fires, a token lists what fires there", async () => {
  const page = await openBench(server.url);
  const second = page.locator("#features tbody tr").nth(1);
  const peak = Number((await second.locator("td").nth(2).innerText()).trim());
  await second.getByRole("button", { name: /^\d+$/ }).click();
  const values = await page.locator("#tokens .value").allInnerTexts();
  assert.equal(Math.max(...values.filter(Boolean).map(Number)) >= peak, true);
  const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const colours = await page.locator("#tokens button").evaluateAll((buttons) => buttons.map((button) => getComputedStyle(button).backgroundColor));
  assert.ok(new Set(colours).size > 2, `several strengths, not only ${paper}`);
  await page.locator("#tokens button").nth(5).click();
  assert.match(await page.locator("#features-title").innerText(), /^Strongest at token 5/);
  assert.equal(await page.locator("#tokens button").nth(5).getAttribute("aria-pressed"), "true");
  await page.locator("#whole-prompt").click();
  assert.match(await page.locator("#features-title").innerText(), /on the prompt/);
  assert.deepEqual(page.noise, []);
});

test("sliders change the clamped logits and leave the base alone", async () => {
  const page = await openBench(server.url);
  assert.match(await page.locator("#next-line").innerText(), /No clamps/);
  for (const [, base, clamped] of await clampedColumn(page)) assert.equal(base, clamped);
  await afterNext(page, () => page.locator("#features tbody tr").first().getByRole("button", { name: /^Clamp/ }).click());
  const slider = page.locator(".clamp input[type=range]");
  assert.ok(await slider.evaluate((element) => element === document.activeElement), "focus is on the new slider");
  await page.waitForFunction(() => /1 clamp: KL/.test(document.getElementById("next-line").textContent));
  const off = await clampedColumn(page);
  await afterNext(page, async () => { for (let i = 0; i < 10; ++i) await page.keyboard.press("ArrowLeft"); });
  await page.waitForTimeout(300);
  const negative = await clampedColumn(page);
  const byToken = Object.fromEntries(off.map(([token, base, clamped]) => [token, { base, clamped }]));
  const both = negative.filter(([token]) => byToken[token]);
  assert.ok(both.length > 3);
  assert.ok(both.some(([token, , clamped]) => clamped !== byToken[token].clamped), "the slider moved the clamped logits");
  for (const [token, base] of both) assert.equal(base, byToken[token].base);
  assert.equal(await page.locator(".clamp input[type=number]").inputValue(), "-0.5");
  await afterNext(page, () => page.getByRole("button", { name: /Remove the clamp/ }).click());
  assert.match(await page.locator("#next-line").innerText(), /No clamps/);
  assert.deepEqual(page.noise, []);
});

test("both continuations are written, and where they part is marked", async () => {
  const page = await openBench(server.url);
  await page.locator("#new-tokens").fill("12");
  await page.locator("#generate").click();
  await page.waitForFunction(() => /the same to the end/.test(document.getElementById("generate-line").textContent));
  const base = await page.locator("#text-base").innerText();
  assert.equal(await page.locator("#text-clamped").innerText(), base);
  for (const feature of [0, 1, 2, 3, 4, 5, 6, 7]) {
    await page.locator("#feature-number").fill(String(feature));
    await afterNext(page, () => page.getByRole("button", { name: "Add clamp" }).click());
  }
  for (const kind of await page.locator(".clamp select").all()) await kind.selectOption("set");
  for (const field of await page.locator(".clamp input[type=number]").all()) await field.fill("40");
  for (const box of await page.locator(".clamp input[type=checkbox]").all()) await box.check();
  await page.locator("#generate").click();
  await page.waitForFunction(() => /then marked/.test(document.getElementById("generate-line").textContent));
  assert.equal(await page.locator("#text-base").innerText(), base);
  assert.notEqual(await page.locator("#text-clamped").innerText(), base);
  assert.ok(await page.locator("#text-clamped .differs").count() > 0);
  assert.deepEqual(page.noise, []);
});

test("a long generation can be stopped, and the bench works again", async () => {
  const page = await openBench(server.url);
  await page.locator("#new-tokens").fill("200");
  // Stopped by the page itself at the first token: a fast machine has written all 200 before a click from here arrives.
  await page.evaluate(() => {
    const stop = new MutationObserver(() => {
      stop.disconnect();
      document.getElementById("stop").click();
    });
    stop.observe(document.getElementById("text-base"), { childList: true, subtree: true });
    document.getElementById("generate").click();
  });
  await page.waitForFunction(() => /Stopped after|the same to the end/.test(document.getElementById("generate-line").textContent));
  await afterNext(page, () => page.locator("#features tbody tr").first().getByRole("button", { name: /^Clamp/ }).click());
});

test("tokens go by arrow keys, one stop of the Tab key", async () => {
  const page = await openBench(server.url);
  assert.equal(await page.locator("#tokens button[tabindex='0']").count(), 1);
  await page.locator("#tokens button").first().focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  assert.match(await page.locator("#features-title").innerText(), /token 2/);
  await page.keyboard.press("End");
  assert.equal(await page.evaluate(() => document.activeElement.title), "token 34");
});

test("chat messages go through the template, mistakes are one line", async () => {
  const page = await openBench(server.url);
  await page.locator("#is-chat").check();
  await page.locator("#prompt").press("Control+Enter");
  await page.waitForFunction(() => document.querySelectorAll("#tokens button").length > 50);
  await page.locator("#prompt").fill("x".repeat(300));
  await page.locator("#prompt").press("Control+Enter");
  await page.waitForFunction(() => /got \d+ tokens, expected 1\.\.256/.test(document.getElementById("bench-status").textContent));
  await page.locator("#feature-number").fill("48");
  await page.getByRole("button", { name: "Add clamp" }).click();
  assert.match(await page.locator("#next-line").innerText(), /got 48, expected 0\.\.47/);
});

test("an audit is started, shows up while it runs, and its report opens", async () => {
  const page = await open(server.url, { hash: "#bench" });
  await page.locator("#behaviour").selectOption("toy-leaky");
  await page.locator("#audit-name").fill("from-the-bench");
  await page.locator("#audit-form button").click();
  await page.locator("#audit-line a").click();
  const entry = page.locator("li[data-run='from-the-bench']");
  await entry.waitFor();
  await page.waitForFunction(() => document.querySelector("li[data-run='from-the-bench'] .tag.finished"), null, { timeout: 120000 });
  assert.match(await entry.innerText(), /handle/);
  const [report] = await Promise.all([page.context().waitForEvent("page"), entry.getByRole("link").click()]);
  await report.waitForSelector("html[data-charts=drawn]");
  assert.match(await report.locator(".verdict").innerText(), /handle/);
  assert.deepEqual(page.noise, []);
});

test("clamps set here are the defence of an audit started here, and its report says so", async () => {
  const page = await openBench(server.url);
  for (const place of [0, 1]) {
    await afterNext(page, () => page.locator("#features tbody tr").nth(place).getByRole("button", { name: /^Clamp/ }).click());
    await page.locator(".clamp select").nth(place).selectOption("set");
    await page.locator(".clamp input[type=number]").nth(place).fill(String(-4 - place));
  }
  const features = await page.locator(".clamp").evaluateAll((boxes) => boxes.map((box) => Number(box.dataset.clamp)));
  await page.locator("#behaviour").selectOption("toy-leaky");
  assert.ok(await page.locator("#audit-prompts").isHidden(), "a toy brings its prompts");
  await page.locator("#behaviour").selectOption("refusal-benign");
  await page.locator("#audit-prompts").fill("2");
  await page.locator("#defence").selectOption("clamps");
  await page.locator("#audit-name").fill("clamped");
  await page.locator("#audit-form button").click();
  await page.locator("#audit-line a").click();
  await page.waitForFunction(() => document.querySelector("li[data-run='clamped'] .tag.finished"), null, { timeout: 120000 });
  const spec = JSON.parse(readFileSync(join(folder, "clamped/spec.json"), "utf8"));
  const [edit] = spec.defence.edits;
  assert.deepEqual([edit.features, edit.edit.value, edit.edit.kind], [features, [-4, -5], "set"]);
  assert.equal(spec.behaviour.n_test, 2);
  const entry = page.locator("li[data-run='clamped']");
  assert.match(await entry.innerText(), /of 2 prompts flip/);
  const [report] = await Promise.all([page.context().waitForEvent("page"), entry.getByRole("link").click()]);
  await report.waitForSelector("html[data-charts=drawn]");
  assert.match(await report.locator("#defence").innerText(), new RegExp(`features ${features[0]}, ${features[1]} set to -4, -5 where active`));
  assert.deepEqual(page.noise, []);
});

test("clamps that an audit cannot take are told at once", async () => {
  const page = await openBench(server.url);
  await page.locator("#behaviour").selectOption("toy-sealed");
  await page.locator("#defence").selectOption("clamps");
  await page.locator("#audit-form button").click();
  await page.waitForFunction(() => /clamps: got none/.test(document.getElementById("audit-line").textContent));
});

test("a missing model is a clear line, and the runs still work", async () => {
  const other = await serve(runsFolder("no-model"), "--model", "/no/such/model.gguf");
  const page = await open(other.url, { hash: "#bench" });
  await page.locator("#prompt").fill("a b");
  await page.getByRole("button", { name: "Read prompt" }).click();
  await page.waitForFunction(() => /\/no\/such\/model\.gguf/.test(document.getElementById("bench-status").textContent));
  await page.locator("nav a[href='#runs']").click();
  assert.ok(await page.locator("#runs-view").isVisible());
  assert.equal(await other.stop(), 0);
});

test("a running audit ends with the server", async () => {
  const folder = runsFolder("ending");
  const other = await serve(folder);
  const started = await fetch(other.url + "api/audits", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"behaviour": "toy-leaky", "name": "cut"}' });
  assert.equal(started.status, 200);
  assert.equal(await other.stop(), 0);
});
