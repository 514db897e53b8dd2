// What the views of the explorer share: requests, shares, which view is shown.
const explorer = {};

explorer.byId = (id) => document.getElementById(id);

// Changes the text only where it is another: screen readers and selections keep their place.
explorer.setText = (element, text) => { if (element.textContent !== text) element.textContent = text; };

// A refusal is an Error with the server's own line and its status.
explorer.request = async (path, body, signal) => {
  const options = body === undefined ? { signal } : {
    method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw Object.assign(new Error("The server does not answer: rebound serve has ended."), { status: 0 });
  }
  if (response.ok) return response;
  throw Object.assign(new Error((await response.text()).trim()), { status: response.status });
};
explorer.json = async (path, body) => (await explorer.request(path, body)).json();

explorer.pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// The bench does one job at a time: this page's wait for one another, and ask again where another
// page has it. `use` gets the response and ends when all of it is read.
explorer.benchJob = (() => {
  let last = Promise.resolve();
  const ask = async (what, body, signal) => {
    for (;;) {
      try {
        return await explorer.request("api/bench/" + what, body, signal);
      } catch (error) {
        if (error.status !== 429 || signal?.aborted) throw error;
        await explorer.pause(250);
      }
    }
  };
  return (what, body, use = (response) => response.json(), signal = undefined) => {
    const job = last.then(() => ask(what, body, signal)).then(use);
    last = job.catch(() => {});
    return job;
  };
})();

// Calls `work` with the latest arguments, one call after another; those in between are dropped.
explorer.latest = (work) => {
  let wanted = null, isBusy = false;
  return async (...args) => {
    wanted = args;
    if (isBusy) return;
    isBusy = true;
    while (wanted) {
      const now = wanted;
      wanted = null;
      await work(...now);
    }
    isBusy = false;
  };
};

explorer.percent = (share) => share >= 0.0995 ? (100 * share).toFixed(0) + " %" : share >= 0.0005 ? (100 * share).toFixed(1) + " %" : "< 0.1 %";
// Line breaks, tabs and lone spaces would not be seen.
explorer.visible = (text) => (text.trim() ? text : text.replaceAll(" ", "␣")).replaceAll("\n", "⏎").replaceAll("\t", "⇥");

(() => {
  rebound.startTheme();

  const views = ["runs", "bench"];
  explorer.onView = [];
  const show = () => {
    const name = location.hash.slice(1);
    if (!views.includes(name) && location.hash) return; // an anchor inside a view
    explorer.view = name || views[0];
    for (const view of views) {
      explorer.byId(view + "-view").hidden = view !== explorer.view;
      const link = document.querySelector(`nav a[href="#${view}"]`);
      if (view === explorer.view) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = (explorer.view === "runs" ? "Runs" : "Bench") + " – rebound explorer";
    for (const call of explorer.onView) call(explorer.view);
  };
  addEventListener("hashchange", show);
  addEventListener("DOMContentLoaded", show);

  const lost = explorer.byId("lost");
  explorer.setLost = (message) => {
    lost.hidden = !message;
    explorer.setText(lost, message);
  };
})();
