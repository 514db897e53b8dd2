// What an opened example shows: only what the run stored, and a word where it did not.
"use strict";

(() => {
  const { element } = rebound;
  const template = (name) => JSON.parse(document.querySelector(`script[data-example-chart="${name}"]`).textContent);

  const table = (label, titles, lines) => element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table: " + label },
    element("table", {}, element("thead", {}, element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title)))),
      element("tbody", {}, ...lines.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)))))));

  // A name like encoder/logit_diff/per_prompt@20 may break after a slash.
  const rowName = (name) => element("span", { class: "row-name" },
    ...name.split("/").flatMap((part, k) => (k ? ["/", element("wbr"), part] : [part])));

  const prompt = (examples, i) => {
    const parts = [element("h4", {}, "Prompt")];
    if (!examples.text) return [...parts, element("p", {}, element("span", { class: "redacted" }, "redacted"), " Its text, tokens and answers are not in this file.")];
    if (examples.text[i]) parts.push(element("p", { class: "text" }, examples.text[i]));
    if (examples.correct[i]) parts.push(element("p", {}, `Should say “${examples.correct[i]}”, not “${examples.wrong[i]}”.`));
    if (examples.ids[i].length) parts.push(element("p", { class: "note" }, `${examples.ids[i].length} tokens: ${examples.ids[i].join(" ")}`));
    return parts;
  };

  const outcomes = (data, placesOf, i, show) => {
    const prompt = data.examples.prompt[i];
    const once = data.rows.map((row, r) => r).filter((r) => placesOf[r].get(prompt)?.length === 1 && !data.rows[r].many);
    const skipped = new Set(["prompt", "recovered", "variant"]);
    const isMeasured = (name) => once.some((r) => (data.rows[r].results[name]?.[placesOf[r].get(prompt)[0]] ?? null) !== null);
    const first = ["score", "re-check", "norm", "drift_pre_rel", "kl_to_base", "gap", "minimal_budget", "steps", "termination"];
    const all = [...new Set([...first, ...once.flatMap((r) => Object.keys(data.rows[r].results))])];
    const names = all.filter((name) => !skipped.has(name) && isMeasured(name));
    const line = (r) => {
      const { results, number, name } = data.rows[r], at = placesOf[r].get(prompt)[0];
      const back = results.recovered[at];
      return [String(number), rowName(name + (results.variant?.[at] ? ` (${results.variant[at]})` : "")),
        element("span", { class: back ? "yes" : "no" }, back ? "✓ recovered" : "✗ not"), ...names.map((n) => show(results[n]?.[at]))];
    };
    const before = `Without the defence ${show(data.examples.base[i])}, with it ${show(data.examples.defended[i])}` + (data.answers ? "." : " (scores: correct logit minus wrong logit).");
    const parts = [element("h4", {}, "Before and after"), element("p", {}, before)];
    if (!data.answers) parts.push(element("div", { class: "chart", "data-example-scores": i, role: "img", "aria-label": "Scores without the defence, with it, and under each attack" }));
    if (once.length) parts.push(table("results of this example", ["#", "row", "outcome", ...names.map((n) => n.replaceAll("_", " "))], once.map(line)));
    else parts.push(element("p", {}, "No row tried this example: only valid flips are attacked."));
    return parts;
  };

  const manyTries = (data, placesOf, i, show) => {
    const prompt = data.examples.prompt[i];
    const rows = data.rows.map((row, r) => r).filter((r) => data.rows[r].many && placesOf[r].has(prompt));
    if (!rows.length) return [];
    const line = (r) => {
      const { results, number, name } = data.rows[r], at = placesOf[r].get(prompt);
      const values = at.map((k) => results.minimal_budget ? results.minimal_budget[k] : results.score[k]).filter((v) => typeof v === "number").sort((a, b) => a - b);
      const range = values.length ? `${results.minimal_budget ? "minimal budget" : "score"} ${show(values[0])} to ${show(values.at(-1))}` : "–";
      return [String(number), rowName(name), `${at.filter((k) => results.recovered[k]).length} of ${at.length}`, range];
    };
    return [element("h4", {}, "Several tries"), table("tries of this example", ["#", "row", "won", "range"], rows.map(line))];
  };

  const moved = (data, i, show) => {
    const mine = data.moved.filter((of) => of.prompt === data.examples.prompt[i]);
    if (!mine.length) return [];
    const line = (of) => [rowName(of.row), of.features.map(([name, shift]) => `${name}: ${show(shift)}`).join("; ")];
    return [element("h4", {}, "Defended features that moved most"),
      element("p", { class: "note" }, "Shift of the pre-activation over all positions, largest first."),
      table("features that moved", ["row", "site · feature (or direction): shift"], mine.map(line))];
  };

  const steps = (data, i) => {
    const prompt = data.examples.prompt[i];
    const isTraced = data.steps.some((step) => step.prompt === prompt);
    const parts = [element("h4", {}, "Steps of the search")];
    if (isTraced) return [...parts, element("div", { class: "chart", "data-example-steps": prompt, role: "img", "aria-label": "Objective, drift and norm by step" })];
    const why = data.steps_left_out ? `Left out of this page with those of ${data.steps_left_out} examples for its size; --table steps has them.` : "Not recorded, or not in this page.";
    return [...parts, element("p", { class: "note" }, why)];
  };

  const positions = (data, i, show) => {
    const mine = data.positions.filter((of) => of.prompt === data.examples.prompt[i]);
    const route = data.routes[data.examples.prompt[i]];
    const parts = [element("h4", {}, "Where the perturbation sits")];
    if (mine.some((of) => of.norms.length > 1)) {
      parts.push(element("div", { class: "chart", "data-example-positions": data.examples.prompt[i], role: "img", "aria-label": "Norm of the perturbation by position" }));
    } else if (mine.length) {
      parts.push(element("p", {}, `All of it at the one perturbed position; norms by row: ${mine.map((of) => show(of.norms[0])).join(", ")}.`));
    }
    if (route?.sites.length) parts.push(table("norm by site", ["site", "norm"], route.sites.map((site) => [site.name, show(site.norm)])));
    if (route?.parts.length) {
      parts.push(table("parts of the perturbation", ["part", "norm", "Shapley"], route.parts.map((part) => [part.name, show(part.norm), show(part.shapley)])));
    }
    if (parts.length === 1) parts.push(element("p", { class: "note" }, "Not stored for this example, or not in this page."));
    return parts;
  };

  // The score without the defence, with it, and under every attack that was tried once.
  const scores = (data, i) => {
    const { examples } = data;
    const attacks = data.rows.flatMap((row) => {
      const at = row.role === "attack" && !row.many && !row.results.minimal_budget ? row.results.prompt.indexOf(examples.prompt[i]) : -1;
      return at < 0 ? [] : [{ what: "#" + row.number, kind: "attack", row: row.name, score: row.results.score[at] }];
    });
    return [...["without the defence", "with the defence"].map((kind, k) => ({ what: k ? "defended" : "base", kind, row: kind, score: examples[k ? "defended" : "base"][i] })), ...attacks];
  };

  rebound.exampleDetail = (data, placesOf, i, show) => element("div", {},
    data.examples.note[i] ? element("p", { class: "note" }, data.examples.note[i]) : null,
    ...prompt(data.examples, i), ...outcomes(data, placesOf, i, show), ...manyTries(data, placesOf, i, show),
    ...moved(data, i, show), ...positions(data, i, show), ...steps(data, i));

  // Charts need to know how wide their place is, so they are drawn once the detail is in the page.
  rebound.drawExample = (data, detail) => {
    const draw = (chart, name, values) => {
      const spec = template(name);
      spec.data.values = values;
      rebound.charts.draw(chart, spec);
      if (!chart.nextElementSibling?.matches(".export")) chart.after(rebound.charts.exports(chart, name));
    };
    for (const chart of detail.querySelectorAll("[data-example-scores]")) draw(chart, "scores", scores(data, Number(chart.dataset.exampleScores)));
    for (const chart of detail.querySelectorAll("[data-example-steps]")) {
      draw(chart, "steps", data.steps.filter((step) => step.prompt === Number(chart.dataset.exampleSteps)));
    }
    for (const chart of detail.querySelectorAll("[data-example-positions]")) {
      const mine = data.positions.filter((of) => of.prompt === Number(chart.dataset.examplePositions));
      draw(chart, "positions", mine.flatMap((of) => of.norms.map((norm, k) => ({ row: of.row, position: k + 1, norm }))));
    }
  };
})();
