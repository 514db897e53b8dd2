// What the browser tests share: made runs, their reports, and a Chromium that has no network.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { after } from "node:test";
import axe from "axe-core";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.REBOUND_PROGRAM;  // or rebound_session in its place
if (!program || !process.env.CHROMIUM) throw new Error("REBOUND_PROGRAM and CHROMIUM are not set: run run.sh PROGRAM reports|explorer");

export const scratch = mkdtempSync(join(tmpdir(), "rebound-browser-"));

// The program itself, for what is sent signals: beside rebound_session.
export const itself = join(dirname(program), "rebound");
export const rebound = (...args) => execFileSync(program, [...args, "--quiet"], { maxBuffer: 1 << 28 });

// The run folder of make_run.py.
export const makeRun = (name, ...args) => {
  const folder = join(scratch, name);
  execFileSync("python3", [join(here, "make_run.py"), folder, ...args]);
  return folder;
};
export const makeReport = (run, name, ...args) => {
  const file = join(scratch, name);
  rebound("report", run, "--format", "html", "--out", file, ...args);
  return file;
};

// One Chromium a test file; root has no sandbox to put it in.
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
});
after(async () => {
  await browser.close();
  rmSync(scratch, { recursive: true, force: true });
});

export const newContext = (options) => browser.newContext(options);

// A page of the file, without network; `noise` collects errors of the console and of scripts, and
// every request that would have left.
export const openPage = async (file, { width = 1280, height = 800, theme = "light", scripts = true, charts = scripts } = {}) => {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: theme, javaScriptEnabled: scripts, acceptDownloads: true, offline: true,
  });
  const page = await context.newPage();
  page.noise = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) page.noise.push(message.text()); });
  page.on("pageerror", (error) => page.noise.push(String(error)));
  page.on("dialog", (dialog) => { page.noise.push("dialog: " + dialog.message()); dialog.dismiss(); });
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) page.noise.push("request: " + request.url());
  });
  await page.goto(pathToFileURL(file).href);
  if (charts) await page.waitForSelector("html[data-charts=drawn]");
  return page;
};

// The page in this theme, its charts drawn again.
export const followTheme = async (page, theme) => {
  await page.emulateMedia({ colorScheme: theme });
  await page.waitForFunction(() => {
    const ink = getComputedStyle(document.body).color;
    return [...document.querySelectorAll(".chart[data-drawn]")]
      .every((chart) => [...chart.querySelectorAll("svg text")].some((text) => getComputedStyle(text).fill === ink));
  });
};

// What axe-core finds serious, as lines; fails where it looked at nothing.
export const seriousFindings = async (page, leastRules = 20) => {
  await page.evaluate(axe.source);
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] }));
  assert.ok(found.passes.length > leastRules, "axe looked at something");
  const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  return serious.map((violation) => `${violation.id}: ${violation.nodes[0].html.slice(0, 160)} ${violation.nodes[0].failureSummary}`);
};

// How far the page scrolls sideways, and its smallest visible type.
export const legibility = (page) => page.evaluate(() => {
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

export const themes = ["light", "dark"];
export const widths = [1280, 390];

// Subtests of an open page: legible as it stands, and nothing serious in either theme, which changes
// under the page as under a reader.
export const readableByEveryone = async (t, page) => {
  await t.test("nothing to scroll sideways, no small type", async () => {
    const { wide, smallest, where } = await legibility(page);
    assert.equal(wide, 0);
    assert.ok(smallest >= 12, `${smallest} px: ${where}`);
  });
  for (const theme of themes) {
    await t.test(`axe-core finds nothing serious, ${theme}`, async () => {
      await followTheme(page, theme);
      assert.deepEqual(await seriousFindings(page), []);
    });
  }
};
