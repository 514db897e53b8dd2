// The page of rebound compare: two runs and three, two widths, two themes, without a script in it.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeRun, openPage, rebound, scratch, seriousFindings, themes, widths } from "./browser.js";

const runs = [makeRun("weak"), makeRun("strong", "--examples", "40"), makeRun("third", "--examples", "30")];
const hostile = [makeRun("hostile-run", "--hostile"), makeRun("hostile-too", "--hostile", "--examples", "20")];
// A spec that differs in a long value.
const spec = JSON.parse(readFileSync(join(runs[1], "spec.json"), "utf8"));
spec.rows = Array.from({ length: 12 }, (_, i) => ({ constraint: "forward_projection", objective: "answer", budget: i }));
writeFileSync(join(runs[1], "spec.json"), JSON.stringify(spec));
const compare = (name, ...folders) => {
  const file = join(scratch, name);
  rebound("compare", ...folders, "--format", "html", "--out", file);
  return file;
};
const pair = compare("pair.html", runs[0], runs[1]);
const three = compare("three.html", ...runs);
const open = (file, options = {}) => openPage(file, { charts: false, ...options });

test("names, verdicts, paired rows and what was asked differently are there", async () => {
  const page = await open(pair);
  assert.equal(await page.locator("h1").innerText(), "Runs compared");
  assert.match(await page.locator(".what").innerText(), /weak · strong/);
  const titles = await page.locator("section h2").allInnerTexts();
  assert.deepEqual(titles.slice(0, 2), ["Verdicts", "Same row, same examples"]);
  assert.equal(await page.locator("section").nth(0).locator("tbody tr").count(), 2);
  const paired = page.locator("section").nth(1);
  assert.ok(await paired.locator("tbody tr").count() > 3);
  assert.match(await paired.innerText(), /McNemar/);
  assert.deepEqual(page.noise, []);
});

test("three runs are compared with the first", async () => {
  const page = await open(three);
  assert.equal(await page.locator("section").nth(0).locator("tbody tr").count(), 3);
  assert.match(await page.locator("section").nth(1).innerText(), /strong: [\s\S]*third: /);
  assert.deepEqual(page.noise, []);
});

test("every run is in view beside what was asked differently, however long", async () => {
  const page = await open(three);
  const table = page.locator(".differences table").first();
  assert.deepEqual(await table.locator("th").allInnerTexts(), ["key", "weak", "strong", "third"]);
  const last = await table.locator("th").last().boundingBox();
  assert.ok(last.x + last.width <= 1280, `the last run ends at ${last.x + last.width}`);
  assert.match(await table.innerText(), /rows/);
});

test("names that are markup stay text", async () => {
  const page = await open(compare("hostile.html", ...hostile));
  assert.equal(await page.locator("img").count(), 0);
  assert.match(await page.locator("section").nth(1).innerText(), /<img src=x/);
  assert.deepEqual(page.noise, []);
});

test("it holds no script, asks for nothing and shows no text of a prompt", async () => {
  const html = readFileSync(three, "utf8");
  assert.doesNotMatch(html, /<script|SECRET|SECRETfolder/);
  assert.match(html, /Content-Security-Policy" content="default-src 'none'/);
  const page = await open(three);
  const wasRun = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.wasRun = true";
    document.body.append(script);
    return Boolean(window.wasRun);
  });
  assert.equal(wasRun, false);
});

for (const file of [pair, three]) {
  for (const width of widths) {
    test(`legible at ${width} px: nothing to scroll sideways but tables, no small type, ${file === pair ? 2 : 3} runs`, async () => {
      const page = await open(file, { width });
      const found = await page.evaluate(() => {
        const root = document.documentElement;
        const cells = [...document.querySelectorAll("td, th, p, dd, h1, h2")];
        return {
          wide: root.scrollWidth - root.clientWidth,
          smallest: Math.min(...cells.map((cell) => parseFloat(getComputedStyle(cell).fontSize))),
          // A column that leaves one or two letters a line is not legible.
          thin: cells.filter((cell) => cell.tagName === "TD" && cell.textContent.length > 12 && cell.clientWidth < 60).length,
        };
      });
      assert.deepEqual(found, { wide: 0, smallest: found.smallest, thin: 0 });
      assert.ok(found.smallest >= 12, String(found.smallest));
    });
  }
}

for (const theme of themes) {
  test(`axe-core finds nothing serious, ${theme}`, async () => {
    const page = await open(three, { theme, width: 390 });
    assert.deepEqual(await seriousFindings(page, 10), []);
  });

  test(`the page follows the theme, ${theme}`, async () => {
    const page = await open(pair, { theme });
    const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(paper, theme === "dark" ? "rgb(20, 23, 27)" : "rgb(255, 255, 255)");
  });
}
