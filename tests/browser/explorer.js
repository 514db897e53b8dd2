// What the tests of the explorer share: a server on a folder of made runs, and pages that reach nothing else.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { after } from "node:test";
import { itself, newContext, makeRun, scratch } from "./browser.js";

const here = dirname(fileURLToPath(import.meta.url));

export const runsFolder = (name) => {
  const folder = join(scratch, name);
  mkdirSync(folder);
  return folder;
};
export { makeRun };

// The tiny model and SAEs of make_bench.py, once a process.
let bench = null;
export const benchFlags = () => {
  if (!bench) {
    bench = join(scratch, "bench");
    execFileSync("python3", [join(here, "make_bench.py"), bench]);
  }
  return ["--model", join(bench, "model"), "--sae", join(bench, "sae-1"), "--sae", join(bench, "sae-2")];
};

// {url, port, stop}: stop presses Ctrl-C and gives the exit code.
export const serve = async (folder, ...flags) => {
  const child = spawn(itself, ["serve", folder, "--json", ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((done) => child.on("exit", (code, signal) => done(signal ?? code)));
  let errors = "";
  child.stderr.on("data", (text) => { errors += text; });
  const line = await new Promise((done, fail) => {
    let text = "";
    child.stdout.on("data", (more) => { text += more; if (text.includes("\n")) done(text); });
    child.on("exit", (code) => fail(new Error(`rebound serve ended with ${code}: ${errors}`)));
  });
  const stop = async (signal = "SIGINT") => { child.kill(signal); return ended; };
  after(() => stop("SIGKILL"));
  return { ...JSON.parse(line), stop };
};

// `noise` collects errors of the console and of scripts, and requests to any other address.
export const open = async (url, { width = 1280, height = 900, theme = "light", hash = "" } = {}) => {
  const context = await newContext({ viewport: { width, height }, colorScheme: theme });
  const page = await context.newPage();
  page.noise = [];
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) page.noise.push(message.text()); });
  page.on("pageerror", (error) => page.noise.push(String(error)));
  page.on("request", (request) => { if (!request.url().startsWith(url) && !request.url().startsWith("data:")) page.noise.push("request: " + request.url()); });
  await page.goto(url + hash);
  await page.waitForSelector(hash === "#bench" ? "html[data-bench=drawn]" : "html[data-runs=drawn]");
  return page;
};

// The bench with a prompt read.
export const openBench = async (url, options = {}) => {
  const page = await open(url, { ...options, hash: "#bench" });
  await page.locator("#prompt").fill(options.prompt ?? "then Mary and John went to the shop");
  await page.locator("#prompt").press("Control+Enter");
  await page.waitForSelector("#next[data-drawn]");
  return page;
};
