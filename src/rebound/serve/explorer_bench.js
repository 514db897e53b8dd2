// Clamps with sliders, the next token with and without them, both continuations, and an audit.
(() => {
  const { element, number } = rebound, { byId, percent, reading, setText, visible } = explorer;
  const clamps = []; // {sae, feature, kind, value, when}
  const asked = () => ({ ...reading.asked(), clamps });
  const nothing = () => element("p", { class: "note" }, "None: base and clamped are the same.");

  const signed = (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
  const meter = (share, kind) => {
    const bar = element("span", {});
    bar.style.width = `${100 * share}%`;
    return element("span", { class: "meter " + kind, "aria-hidden": "true" }, bar);
  };

  const drawNext = explorer.latest(async () => {
    let found;
    try {
      found = await explorer.benchJob("next", asked());
    } catch (error) {
      setText(byId("next-line"), error.message);
      return;
    }
    setText(byId("next-line"), clamps.length ? `${clamps.length} clamp${clamps.length === 1 ? "" : "s"}: KL(base‖clamped) ${number(found.kl_nats)} nats` : "No clamps: both are the same.");
    byId("next").tBodies[0].replaceChildren(...found.tokens.map((token) => {
      const cell = (text) => element("td", { class: "n" }, text);
      return element("tr", { "data-token": token.id }, element("td", {}, element("span", { class: "token" }, visible(token.text))),
        element("td", {}, meter(token.base_p, "base")), cell(percent(token.base_p)),
        element("td", {}, meter(token.clamped_p, "clamped")), cell(percent(token.clamped_p)),
        cell(token.base_logit.toFixed(2)), cell(token.clamped_logit.toFixed(2)), cell(signed(Number((token.clamped_logit - token.base_logit).toFixed(2)))));
    }));
    byId("next").dataset.drawn = String(Number(byId("next").dataset.drawn ?? 0) + 1);
  });
  reading.onRead.push(() => drawNext());

  // The span of a slider: factors around 0, values by how strongly the feature fires here.
  const spanOf = (clamp) => {
    const most = clamp.kind === "scale" ? 5 : Math.max(5, Math.ceil(2 * reading.peakOf(clamp.sae, clamp.feature)));
    return { min: -most, max: most, step: clamp.kind === "scale" ? 0.05 : most > 50 ? 1 : 0.1 };
  };

  const makeClamp = (clamp) => {
    const name = `feature ${clamp.feature}`;
    const slider = element("input", { type: "range", "aria-label": `Value of ${name}, slider` });
    const field = element("input", { type: "number", step: "any", "aria-label": `Value of ${name}` });
    const kind = element("select", {}, ...[["scale", "times"], ["set", "set to"], ["add", "plus"]].map(([value, text]) => element("option", { value }, text)));
    const always = element("input", { type: "checkbox" });
    const put = (value) => { // the slider holds what fits in its span
      clamp.value = value;
      slider.value = String(value);
      if (field.valueAsNumber !== value) field.value = String(value);
      drawNext();
    };
    const fit = () => { Object.assign(slider, spanOf(clamp)); slider.value = String(clamp.value); };
    kind.value = clamp.kind;
    always.checked = clamp.when === "always";
    field.value = String(clamp.value);
    fit();
    slider.addEventListener("input", () => put(slider.valueAsNumber));
    field.addEventListener("input", () => { if (Number.isFinite(field.valueAsNumber)) put(field.valueAsNumber); });
    kind.addEventListener("change", () => {
      clamp.kind = kind.value;
      clamp.value = 0;
      fit();
      put(0);
    });
    always.addEventListener("change", () => { clamp.when = always.checked ? "always" : "active_only"; drawNext(); });
    const remove = element("button", { type: "button", "aria-label": "Remove the clamp of " + name, onclick: () => {
      clamps.splice(clamps.indexOf(clamp), 1);
      box.remove();
      if (!clamps.length) byId("clamps").replaceChildren(nothing());
      byId("feature-number").focus();
      drawNext();
    } }, "Remove");
    const box = element("fieldset", { class: "clamp", "data-clamp": clamp.feature }, element("legend", {}, name, " · " + (reading.saeAt(clamp.sae)?.site ?? "")),
      element("label", {}, "activation", kind), element("label", { class: "slide" }, "value", slider), element("label", {}, "value", field),
      element("label", { class: "check" }, always, " also where it is off"), remove);
    return box;
  };

  const addClamp = (sae, feature) => {
    const known = clamps.findIndex((clamp) => clamp.sae === sae && clamp.feature === feature);
    if (known >= 0) {
      byId("clamps").children[known].querySelector("input[type=range]").focus();
      return;
    }
    const clamp = { sae, feature, kind: "scale", value: 0, when: "active_only" };
    if (!clamps.length) byId("clamps").replaceChildren();
    clamps.push(clamp);
    const box = makeClamp(clamp);
    byId("clamps").append(box);
    box.querySelector("input[type=range]").focus();
    drawNext();
  };
  reading.setAddClamp(addClamp);

  byId("any-feature").addEventListener("submit", (event) => {
    event.preventDefault();
    const feature = byId("feature-number").valueAsNumber, most = reading.saeAt(reading.sae())?.d_sae ?? 0;
    if (feature < most) addClamp(reading.sae(), feature);
    else setText(byId("next-line"), `any feature: got ${feature}, expected 0..${most - 1}`);
  });
  byId("remove-clamps").addEventListener("click", () => {
    clamps.length = 0;
    byId("clamps").replaceChildren(nothing());
    drawNext();
  });

  // A line of JSON a step; the first step where the two differ, and all after it, are marked.
  let running = null;
  const lines = async function* (response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const part of parts) if (part) yield JSON.parse(part);
    }
  };
  const generate = async () => {
    const sides = { base: byId("text-base"), clamped: byId("text-clamped") }, line = byId("generate-line");
    for (const side of Object.values(sides)) side.replaceChildren();
    let steps = 0, hasParted = false;
    const take = (step) => {
      if (step.error) throw new Error(step.error);
      if (step.done) {
        setText(line, `Greedy, ${steps} step${steps === 1 ? "" : "s"}: ` + (hasParted ? `the same for ${step.equal_tokens} token${step.equal_tokens === 1 ? "" : "s"}, then marked.` : "the same to the end."));
        return;
      }
      ++steps;
      hasParted ||= step.base !== step.clamped;
      for (const [name, side] of Object.entries(sides)) {
        if (step[name]) side.append(element("span", { class: hasParted ? "differs" : null }, step[name]));
      }
    };
    const takeAll = async (response) => { for await (const step of lines(response)) take(step); };
    setText(line, "Generating …");
    try {
      await explorer.benchJob("generate", { ...asked(), max_new_tokens: byId("new-tokens").valueAsNumber }, takeAll, running.signal);
    } catch (error) {
      setText(line, error.name === "AbortError" ? `Stopped after ${steps} steps.` : error.message);
    }
  };
  byId("generate-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (running) return;
    running = new AbortController();
    byId("generate").disabled = true;
    byId("stop").disabled = false;
    await generate();
    running = null;
    byId("generate").disabled = false;
    byId("stop").disabled = true;
  });
  byId("stop").addEventListener("click", () => running?.abort());

  const fitForm = () => { 
    const isRefusal = byId("behaviour").value.startsWith("refusal"), takesNumber = isRefusal || byId("behaviour").value === "ioi";
    byId("preset-label").hidden = !isRefusal;
    byId("prompts-label").hidden = !takesNumber;
    byId("audit-prompts").disabled = !takesNumber;
  };
  byId("behaviour").addEventListener("change", fitForm);
  byId("audit-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const line = byId("audit-line");
    setText(line, "Starting …");
    const request = { behaviour: byId("behaviour").value, preset: byId("preset").value, defence: byId("defence").value, name: byId("audit-name").value };
    if (request.defence === "clamps") request.clamps = clamps;
    if (!byId("audit-prompts").disabled && byId("audit-prompts").value) request.prompts = byId("audit-prompts").valueAsNumber;
    try {
      const { name } = await explorer.json("api/audits", request);
      line.replaceChildren("Started ", element("a", { href: "#runs" }, name), ".");
    } catch (error) {
      setText(line, error.message);
    }
  });

  // What the bench has; a model that cannot be loaded is told here, too.
  const drawStatus = async () => {
    if (explorer.view !== "bench") return;
    try {
      const bench = await explorer.json("api/bench");
      explorer.modelState = bench.state;
      if (!byId("behaviour").options.length) byId("behaviour").replaceChildren(...bench.behaviours.map((name) => element("option", {}, name)));
      byId("new-tokens").max = String(bench.limits.new_tokens);
      byId("is-chat").disabled = bench.state === "ready" && !bench.has_chat;
      setText(byId("bench-model"), bench.state === "ready" ? [bench.model, ...bench.saes.map((sae) => `${sae.name} at ${sae.site}`)].join(" · ")
        : bench.state === "failed" ? "The model could not be loaded: " + bench.note : "The model is loaded when the first prompt is read.");
      fitForm();
      explorer.setLost("");
    } catch (error) {
      explorer.setLost(error.message);
    }
    document.documentElement.dataset.bench = "drawn";
  };
  explorer.onView.push(drawStatus);
  reading.onRead.push(drawStatus);
})();
