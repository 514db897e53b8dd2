// The list of runs: asked for again every second while one goes on, less often otherwise.
(() => {
  const { element, number } = rebound, { byId, percent, setText } = explorer;
  const list = byId("runs-list");
  const shown = new Map(); // name -> its parts
  const busyMilliseconds = 1000, idleMilliseconds = 5000;

  const ago = (seconds) => {
    const s = Math.max(0, Math.round(Date.now() / 1000 - seconds));
    const [n, unit] = s < 60 ? [s, "second"] : s < 3600 ? [Math.floor(s / 60), "minute"] : s < 86400 ? [Math.floor(s / 3600), "hour"] : [Math.floor(s / 86400), "day"];
    return `${n} ${unit}${n === 1 ? "" : "s"} ago`;
  };
  const states = { running: "running", finished: "finished", stopped: "stopped", damaged: "damaged", failed: "failed", starting: "starting" };

  const facts = (run) => [run.behaviour, run.model, run.sae,
    run.n_prompts === null ? null : `${run.n_valid} of ${run.n_prompts} prompts flip`,
    run.changed ? "changed " + ago(run.changed) : null].filter((fact) => fact).join(" · ");
  const going = (run) => {
    if (run.state === "finished" || run.state === "damaged" || run.state === "failed") return null;
    if (!run.progress) return run.state === "stopped" ? "stopped before its rows began" : run.n_prompts === null ? "loading, choosing the defence" : "scoring prompts";
    const { done, total } = run.progress;
    if (total === 0) return "no prompt flips: nothing to attack";
    return `${done} of ${total} parts` + (total > 0 ? ` (${Math.floor(100 * done / total)} %)` : "");
  };
  const noteOf = (run) => run.note ?? (run.state === "stopped" ? `Go on with: rebound audit --resume ${run.name}` : "");

  const rowsTable = (details) => {
    const cell = (text, name) => element("td", { class: name }, text);
    const lines = details.rows.map((row) => element("tr", {}, cell(row.row, "name"),
      cell(details.batches === null ? String(row.batches) : `${row.batches} of ${details.batches}`, "n"),
      cell(`${row.recovered} of ${row.tries}`, "n"), cell(row.tries ? percent(row.recovered / row.tries) : "–", "n")));
    const head = element("tr", {}, ...[["row", ""], ["batches", "n"], ["recovered", "n"], ["share", "n"]].map(([name, kind]) => element("th", { scope: "col", class: kind }, name)));
    const table = element("table", {}, element("caption", {}, "What is stored so far, row by row; tries of draws and targets count each"), element("thead", {}, head), element("tbody", {}, ...lines));
    return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rows of " + details.name }, table);
  };

  // Drawn again only when it changed, so that a reader's place in it stays.
  const loadRows = async (parts) => {
    let details;
    try {
      details = await explorer.json("api/runs/" + encodeURIComponent(parts.name));
    } catch (error) {
      setText(parts.rows, error.message);
      return;
    }
    const key = JSON.stringify([details.rows, details.batches]);
    if (parts.rowsKey === key) return;
    parts.rowsKey = key;
    parts.rows.replaceChildren(details.rows.length ? rowsTable(details) : element("p", { class: "note" }, "No row has a finished batch yet."));
  };

  const makeParts = (name) => {
    const parts = { name };
    parts.state = element("span", { class: "tag" });
    parts.facts = element("p", { class: "what" });
    parts.verdict = element("strong", {});
    parts.bar = element("progress", { "aria-label": "Progress of " + name });
    parts.count = element("span", {});
    parts.going = element("div", { class: "going" }, parts.bar, parts.count);
    parts.note = element("p", { class: "note" });
    parts.report = element("a", { href: `runs/${encodeURIComponent(name)}/report`, target: "_blank", rel: "noopener", "aria-label": "Open report of " + name }, "Open report");
    parts.stop = element("button", { type: "button", "aria-label": "Stop " + name, onclick: async () => {
      parts.stop.disabled = true;
      await explorer.json(`api/audits/${encodeURIComponent(name)}/stop`, {}).catch((error) => setText(parts.note, error.message));
    } }, "Stop");
    parts.rows = element("div", { class: "rows", hidden: true });
    parts.toggle = element("button", { type: "button", "aria-expanded": "false", "aria-label": "Rows of " + name, onclick: async () => {
      const isOpen = parts.rows.hidden;
      parts.rows.hidden = !isOpen;
      parts.toggle.setAttribute("aria-expanded", String(isOpen));
      if (isOpen) await loadRows(parts);
    } }, "Rows");
    parts.item = element("li", { "data-run": name },
      element("div", {}, element("div", { class: "head" }, element("h2", {}, name), parts.state, parts.verdict), parts.facts, parts.going, parts.note),
      element("div", { class: "buttons" }, parts.report, parts.toggle, parts.stop), parts.rows);
    return parts;
  };

  const update = (parts, run) => {
    setText(parts.state, states[run.state] ?? run.state);
    parts.state.className = "tag " + run.state;
    setText(parts.verdict, run.verdict ?? "");
    setText(parts.facts, facts(run));
    const text = going(run);
    parts.going.hidden = text === null;
    setText(parts.count, text ?? "");
    if (run.progress) {
      parts.bar.max = Math.max(1, run.progress.total);
      parts.bar.value = run.progress.done;
    } else if (run.state === "stopped") {
      parts.bar.value = 0;
    } else {
      parts.bar.removeAttribute("value"); // not known how far
    }
    setText(parts.note, noteOf(run));
    parts.report.hidden = run.state !== "finished";
    parts.toggle.hidden = run.hasNoFolder === true;
    parts.stop.hidden = !run.isOurs || run.state !== "running";
    if (!parts.rows.hidden) loadRows(parts);
  };

  // Audits started here stand in the list before they have a folder, and after they failed.
  const merged = ({ runs, jobs }) => {
    const all = runs.map((run) => ({ ...run }));
    for (const job of jobs) {
      const run = all.find((one) => one.name === job.name);
      if (run) {
        run.isOurs = true;
        if (job.state === "running" && run.state === "stopped") run.state = "running";
        if (job.state === "failed" && run.state !== "finished") Object.assign(run, { state: "failed", note: job.note });
      } else if (job.state !== "ended") {
        all.unshift({ name: job.name, state: job.state === "running" ? "starting" : job.state, note: job.note, behaviour: null, model: null,
          sae: null, verdict: null, n_prompts: null, n_valid: null, progress: null, changed: 0, hasNoFolder: true, isOurs: true });
      }
    }
    return all;
  };

  const draw = (runs) => {
    const names = new Set(runs.map((run) => run.name));
    for (const [name, parts] of shown) {
      if (names.has(name)) continue;
      parts.item.remove();
      shown.delete(name);
    }
    runs.forEach((run, i) => {
      if (!shown.has(run.name)) shown.set(run.name, makeParts(run.name));
      const parts = shown.get(run.name);
      update(parts, run);
      const holdsFocus = parts.item.contains(document.activeElement);
      if (list.children[i] !== parts.item && !(holdsFocus && parts.item.isConnected)) list.insertBefore(parts.item, list.children[i] ?? null);
    });
    const running = runs.filter((run) => run.state === "running" || run.state === "starting").length;
    setText(byId("runs-status"), runs.length === 0 ? "No runs in this folder yet. The bench starts one, and so does: rebound audit ioi --out FOLDER/NAME"
      : `${number(runs.length, 6)} run${runs.length === 1 ? "" : "s"}` + (running ? `, ${running} running` : ""));
    return running > 0;
  };

  let timer = null;
  const poll = explorer.latest(async () => {
    clearTimeout(timer);
    if (document.hidden || explorer.view !== "runs") return;
    let isBusy = false;
    try {
      isBusy = draw(merged(await explorer.json("api/runs")));
      explorer.setLost("");
    } catch (error) {
      explorer.setLost(error.message);
    }
    document.documentElement.dataset.runs = "drawn";
    timer = setTimeout(poll, isBusy ? busyMilliseconds : idleMilliseconds);
  });
  document.addEventListener("visibilitychange", poll);
  explorer.onView.push(poll);
})();
