// The explorer's list of runs, reports opened from it, and who is let in.
import assert from "node:assert/strict";
import { request as rawRequest } from "node:http";
import { rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeRun, open, runsFolder, serve } from "./explorer.js";

const folder = runsFolder("runs");
makeRun("runs/made");
makeRun("runs/name & <b>markup<b> %2e");
rmSync(join(makeRun("runs/half"), "summary.json"));
makeRun("outside");
symlinkSync(join(folder, "..", "outside"), join(folder, "linked"));
const server = await serve(folder);

const item = (page, name) => page.locator("#runs-list > li").filter({ has: page.getByRole("heading", { name, exact: true }) });

// As a program would ask: any path as it stands, any header.
const ask = (path, { method = "GET", headers = {}, body } = {}) => new Promise((done, fail) => {
  const asked = rawRequest({ host: "127.0.0.1", port: server.port, path, method, headers, agent: false }, (answer) => {
    let text = "";
    answer.on("data", (more) => { text += more; });
    answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, text }));
  });
  asked.on("error", fail);
  asked.end(body);
});
const token = new URL(server.url).pathname.slice(0, -1);

test("runs are listed with state, figures and verdict, without a word on the console", async () => {
  const page = await open(server.url);
  assert.equal(await page.locator("#runs-list > li").count(), 3, "no link is followed");
  assert.match(await page.locator("#runs-status").innerText(), /^3 runs$/);
  assert.match(await item(page, "made").innerText(), /finished[\s\S]*non-specific[\s\S]*of 60 prompts flip/);
  assert.match(await item(page, "half").innerText(), /stopped[\s\S]*rebound audit --resume half/);
  assert.equal(await page.locator("#runs-list b").count(), 0, "markup in a name stays text");
  assert.deepEqual(page.noise, []);
});

test("a report opens from the list, redacted, with its charts drawn", async () => {
  const page = await open(server.url);
  for (const name of ["made", "name & <b>markup<b> %2e"]) {
    const [report] = await Promise.all([page.context().waitForEvent("page"), item(page, name).getByRole("link").click()]);
    const noise = [];
    report.on("console", (message) => { if (message.type() === "error") noise.push(message.text()); });
    await report.waitForSelector("html[data-charts=drawn]");
    assert.match(await report.locator(".badge").innerText(), /^Redacted/);
    assert.doesNotMatch(await report.content(), /SECRET prompt/);
    assert.ok(await report.locator("figure .chart[data-drawn] svg").count() >= 5);
    assert.deepEqual(noise, []);
  }
  assert.ok(await item(page, "half").getByRole("link").isHidden(), "no report of an unfinished run");
});

test("--show-text shows texts in reports", async () => {
  const shown = await serve(folder, "--show-text");
  const answer = await (await fetch(shown.url + "runs/made/report")).text();
  assert.match(answer, /SECRET prompt/);
  assert.equal(await shown.stop(), 0);
});

test("rows of a run unfold, by keyboard too", async () => {
  const page = await open(server.url);
  const toggle = item(page, "made").getByRole("button", { name: "Rows of made" });
  await toggle.focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("li[data-run=made] table");
  assert.equal(await toggle.getAttribute("aria-expanded"), "true");
  assert.match(await item(page, "made").locator("table").innerText(), /encoder_decoder/);
  await page.keyboard.press("Enter");
  assert.ok(await item(page, "made").locator("table").isHidden());
  assert.deepEqual(page.noise, []);
});

test("without the token, or with another, nothing is served", async () => {
  for (const path of ["/", "/api/runs", "/runs/made/report", "/explorer.js", "/favicon.ico", "/" + "0".repeat(64) + "/api/runs", token + "0/", token.slice(0, -1) + "/"]) {
    const { status, text, headers } = await ask(path);
    assert.equal(status, 403, path);
    assert.doesNotMatch(text, /made|<html/, path);
    assert.equal(headers["access-control-allow-origin"], undefined);
  }
});

test("foreign hosts, origins and methods are refused", async () => {
  const path = token + "/api/runs";
  assert.equal((await ask(path)).status, 200);
  assert.equal((await ask(path, { headers: { Host: "evil.example" } })).status, 403);
  assert.equal((await ask(path, { headers: { Host: `evil.example:${server.port}` } })).status, 403);
  for (const method of ["OPTIONS", "PUT", "DELETE", "PATCH"]) assert.equal((await ask(path, { method })).status, 405, method);
  const post = (headers, body = '{"behaviour": "nonsense"}') =>
    ask(token + "/api/audits", { method: "POST", body, headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body), ...headers } });
  assert.equal((await post({})).status, 400, "let in, and told what is wrong");
  assert.equal((await post({ Origin: "http://evil.example" })).status, 403);
  assert.equal((await post({ "Sec-Fetch-Site": "same-site" })).status, 403);
  assert.equal((await post({ "Content-Type": "text/plain" })).status, 415);
  assert.equal((await post({}, JSON.stringify("x".repeat(70000)))).status, 413);
});

test("path tricks end at 404", async () => {
  for (const rest of ["/runs/..%2foutside/report", "/runs/../outside/report", "/runs/%2e%2e/report", "/runs/linked/report", "/api/runs/linked", "/runs/made%00/report",
    "/runs/made/run.sqlite", "/runs/made/..%2fmade/report", "/api/runs/..", "/.serve/made.json", "/runs//report", "/..%2f..%2fetc/passwd"]) {
    assert.equal((await ask(token + rest)).status, 404, rest);
  }
});

test("policies are strict and nothing is kept by the browser", async () => {
  const page = (await ask(token + "/")).headers, report = (await ask(token + "/runs/made/report")).headers;
  assert.match(page["content-security-policy"], /default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/);
  assert.doesNotMatch(page["content-security-policy"], /unsafe/);
  assert.match(report["content-security-policy"], /sandbox/);
  for (const headers of [page, report]) {
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["set-cookie"], undefined);
  }
});

test("the page's policy lets no other script in", async () => {
  const page = await open(server.url);
  const wasRun = await page.evaluate(async () => {
    const script = document.createElement("script");
    try { script.textContent = "window.wasRun = true"; document.body.append(script); } catch { /* trusted types */ }
    let hasImage = false;
    try { document.body.innerHTML += "<img src=x>"; hasImage = true; } catch { /* trusted types */ }
    return Boolean(window.wasRun) || hasImage;
  });
  assert.equal(wasRun, false);
});

test("Ctrl-C ends it, and the page says so", async () => {
  const other = await serve(runsFolder("empty"));
  const page = await open(other.url);
  assert.match(await page.locator("#runs-status").innerText(), /No runs in this folder yet/);
  assert.equal(await other.stop(), 0);
  await page.evaluate(() => { document.dispatchEvent(new Event("visibilitychange")); });
  await page.waitForSelector("#lost:not([hidden])");
  assert.match(await page.locator("#lost").innerText(), /rebound serve has ended/);
});
