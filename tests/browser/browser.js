// What the browser tests share: made runs, their reports, and a Chromium that has no network.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { after } from "node:test";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.REBOUND_PROGRAM;
if (!program || !process.env.CHROMIUM) throw new Error("REBOUND_PROGRAM and CHROMIUM are not set: run run.sh PROGRAM reports|explorer");

export const scratch = mkdtempSync(join(tmpdir(), "rebound-browser-"));

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

export const themes = ["light", "dark"];
export const widths = [1280, 390];
