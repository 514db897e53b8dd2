// The table of examples and what a row opens to.
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeReport, makeRun, openPage } from "./browser.js";

const run = makeRun("made", "--examples", "250");
const report = makeReport(run, "made.html");
const answers = makeReport(makeRun("answers", "--answers"), "answers.html");

const rows = (page) => page.locator("#examples tbody tr.row");
const first = async (page) => (await rows(page).first().locator("button").innerText()).replace(/^\S+ /, "");
const status = (page) => page.locator("#examples [role=status]").innerText();

test("a hundred rows a page, and the next ones behind a button", async () => {
  const page = await openPage(report);
  assert.equal(await rows(page).count(), 100);
  assert.equal(await status(page), "1–100 of 250");
  const buttons = page.locator("#examples .pages button");
  assert.ok(await buttons.first().isDisabled());
  await buttons.last().click();
  await buttons.last().click();
  assert.equal(await status(page), "201–250 of 250");
  assert.ok(await buttons.last().isDisabled());
});

test("search and filter narrow the table, and say how far", async () => {
  const page = await openPage(report);
  await page.locator("#example-search").fill("ITEM-024");
  assert.equal(await rows(page).count(), 10);
  assert.equal(await status(page), "1–10 of 10 (250 in all)");
  await page.locator("#examples select").selectOption("valid");
  assert.equal(await rows(page).count(), 5);
  await page.locator("#example-search").fill("no such example");
  assert.equal(await status(page), "none of 250");
  await page.locator("#example-search").fill("");
  const back = await page.locator("#examples select").selectOption("back").then(() => status(page));
  const held = await page.locator("#examples select").selectOption("held").then(() => status(page));
  const number = (text) => Number(/of (\d+)/.exec(text)[1]);
  assert.equal(number(back) + number(held), 125, "every flip is one or the other");
});

test("a column sorts up, then down, numbers as numbers, what is missing last", async () => {
  const page = await openPage(report);
  const header = () => page.locator("#examples thead th", { hasText: "defended score" });
  const column = () => page.locator("#examples tbody tr.row td:nth-child(5)").allInnerTexts();
  await header().locator("button").click();
  assert.equal(await header().getAttribute("aria-sort"), "ascending");
  const up = (await column()).map(Number);
  assert.deepEqual(up, [...up].sort((a, b) => a - b));
  await header().locator("button").click();
  assert.equal(await header().getAttribute("aria-sort"), "descending");
  const down = (await column()).map(Number);
  assert.deepEqual(down, [...down].sort((a, b) => b - a));
  await page.locator("#examples thead th", { hasText: "#1" }).first().locator("button").click();
  assert.match((await page.locator("#examples tbody tr.row td:nth-child(6)").allInnerTexts()).join(""), /^✗+✓+$/);
});

test("everything goes by keyboard", async () => {
  const page = await openPage(report);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "example-search");
  await page.keyboard.type("item-00");
  await rows(page).first().locator("button").focus();
  const focused = () => page.evaluate(() => document.activeElement.dataset.example);
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  assert.equal(await focused(), "2");
  await page.keyboard.press("Enter");
  assert.equal(await page.locator("tr.detail").count(), 1);
  assert.equal(await focused(), "2", "focus stays on the row");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("tr.detail").count(), 0);
  await page.keyboard.press("End");
  assert.equal(await focused(), "99");
  await page.locator("#example-search").fill("");
  await rows(page).first().locator("button").focus();
  await page.keyboard.press("PageDown");
  assert.equal(await status(page), "101–200 of 250");
  assert.equal(await focused(), "100");
});

test("an opened example shows scores, tries, positions, steps, and that its text is redacted", async () => {
  const page = await openPage(report);
  await rows(page).first().locator("button").click();
  const detail = page.locator("tr.detail");
  const text = await detail.innerText();
  assert.match(text, /redacted/);
  assert.match(text, /Without the defence [\d.]+, with it -[\d.]+/);
  assert.match(text, /\d of 4/, "random draws");
  assert.match(text, /\d of 2/, "injections");
  assert.match(text, /minimal_budget\/per_prompt@20\t✓ recovered\t–\t/, "a search for the smallest norm has no score of its own");
  assert.doesNotMatch(text, /SECRET/);
  assert.equal(await detail.locator(".chart[data-drawn] svg").count(), 3, "scores, positions and steps");
  await rows(page).nth(1).locator("button").click();
  assert.match(await page.locator("tr.detail").last().innerText(), /No row tried this example/);
  assert.deepEqual(page.noise, []);
});

test("an audit of answers shows verdicts in place of scores", async () => {
  const page = await openPage(answers);
  assert.match(await page.locator("#examples thead").innerText(), /defended/);
  await rows(page).first().locator("button").click();
  assert.match(await page.locator("tr.detail").innerText(), /Without the defence on topic, with it refused/);
  assert.equal(await first(page), "item-0000");
  assert.deepEqual(page.noise, []);
});
