// The prompt as the model reads it: its tokens, and which features fire at which of them.
explorer.reading = (() => {
  const { element, number } = rebound, { byId, setText, visible } = explorer;
  const status = byId("bench-status"), strip = byId("tokens");
  const state = { asked: null, result: null, sae: 0, feature: null, token: null };
  const onRead = [];
  let addClamp = () => {};

  const asked = () => ({ prompt: byId("prompt").value, chat: byId("is-chat").checked });
  const saes = () => state.result?.saes ?? [];
  const sae = () => saes()[state.sae];

  // Where a feature fires; of one that is not listed only what the tokens' own lists tell.
  const valuesOf = (place, feature) => {
    const of = saes()[place];
    if (!of || feature === null) return null;
    return of.features.find((one) => one.feature === feature)?.values ??
      of.tops.map((tops) => tops.find((one) => one.feature === feature)?.value ?? 0);
  };
  const peakOf = (place, feature) => Math.max(0, ...(valuesOf(place, feature) ?? [0]));
  const tokenText = (i) => visible(state.result.tokens[i].text);

  const drawTokens = () => {
    const values = valuesOf(state.sae, state.feature);
    const peak = Math.max(1e-9, ...(values ?? [0]));
    [...strip.children].forEach((button, i) => {
      const value = values ? values[i] : 0, isOn = value > 0;
      button.style.setProperty("--heat", isOn ? String(Math.min(1, value / peak)) : "0");
      setText(button.querySelector(".value"), isOn ? number(value) : "");
      button.setAttribute("aria-pressed", String(state.token === i));
    });
  };

  // One stop of the Tab key for all tokens; arrows move among them.
  const focusToken = (i) => {
    const buttons = [...strip.children];
    const to = Math.max(0, Math.min(buttons.length - 1, i));
    buttons.forEach((button, k) => { button.tabIndex = k === to ? 0 : -1; });
    buttons[to].focus();
  };
  strip.addEventListener("keydown", (event) => {
    const at = [...strip.children].indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: strip.children.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    focusToken(to);
  });

  const makeTokens = () => {
    strip.replaceChildren(...state.result.tokens.map((token, i) => element("button", {
      type: "button", title: "token " + i, class: token.counts ? null : "sink", tabindex: i === 0 ? "0" : "-1",
      onclick: () => { state.token = state.token === i ? null : i; draw(); },
    }, element("span", {}, visible(token.text)), element("span", { class: "value" }))));
  };

  const featureLine = ({ feature, value, at }, most) => {
    const meter = element("span", {});
    meter.style.width = `${Math.max(2, 100 * value / most)}%`;
    return element("tr", { "data-feature": feature },
      element("td", {}, element("button", {
        type: "button", "aria-pressed": String(state.feature === feature),
        onclick: () => { state.feature = state.feature === feature ? null : feature; draw(); byId("features").querySelector(`[data-feature="${feature}"] button`)?.focus(); },
      }, String(feature))),
      element("td", {}, element("span", { class: "meter", "aria-hidden": "true" }, meter)), element("td", { class: "n" }, number(value)),
      element("td", {}, element("span", { class: "token" }, tokenText(at))),
      element("td", {}, element("button", { type: "button", "aria-label": "Clamp feature " + feature, onclick: () => addClamp(state.sae, feature) }, "Clamp")));
  };

  const drawFeatures = () => {
    const at = state.token;
    const lines = !sae() ? [] : at === null ? sae().features.map((one) => ({ feature: one.feature, value: one.peak, at: one.at }))
      : sae().tops[at].map((one) => ({ feature: one.feature, value: one.value, at }));
    const most = Math.max(1e-9, ...lines.map((line) => line.value));
    setText(byId("features-title"), at === null ? "Strongest on the prompt" : `Strongest at token ${at}, “${tokenText(at)}”`);
    byId("whole-prompt").hidden = at === null;
    byId("features").tBodies[0].replaceChildren(...(lines.length ? lines.map((line) => featureLine(line, most))
      : [element("tr", {}, element("td", { colspan: "5" }, sae() ? "Nothing fires." : "No SAE is loaded: rebound serve takes --sae."))]));
    setText(byId("sae-line"), sae() ? `${sae().name}: ${sae().site}, ${number(sae().d_sae, 6)} features, ${number(sae().l0)} on per token, ` +
      (sae().fvu === null ? "too short a prompt to say how well it fits" : `${explorer.percent(sae().fvu)} of the variance unexplained on this prompt` +
        (sae().fvu > 1 ? ". It does not fit this model here: expect nonsense" : "")) : "");
  };

  const draw = () => {
    drawTokens();
    drawFeatures();
  };

  const drawSaes = () => {
    byId("sae-choice").hidden = saes().length < 2;
    byId("sae").replaceChildren(...saes().map((one, i) => element("option", { value: String(i) }, `${one.name} (${one.site})`)));
    state.sae = Math.min(state.sae, Math.max(0, saes().length - 1));
    byId("sae").value = String(state.sae);
  };

  const read = explorer.latest(async () => {
    const now = asked();
    setText(status, explorer.modelState === "ready" ? "Reading …" : "Loading the model, then reading …");
    try {
      state.result = await explorer.benchJob("features", now);
    } catch (error) {
      setText(status, error.message);
      return;
    }
    state.asked = now;
    state.token = null;
    const n = state.result.tokens.length;
    setText(status, `${n} token${n === 1 ? "" : "s"}` + (n === 1 ? ": clamps leave the first token alone, so they change nothing here" : ""));
    byId("bench-parts").hidden = false;
    drawSaes();
    if (state.feature === null) state.feature = sae()?.features[0]?.feature ?? null;
    makeTokens();
    draw();
    for (const call of onRead) await call();
  });

  byId("prompt-form").addEventListener("submit", (event) => { event.preventDefault(); read(); });
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); read(); }
  });
  byId("whole-prompt").addEventListener("click", () => { state.token = null; draw(); byId("tokens").querySelector("[tabindex='0']")?.focus(); });
  byId("sae").addEventListener("change", () => {
    state.sae = Number(byId("sae").value);
    state.feature = sae().features[0]?.feature ?? null;
    draw();
  });

  return {
    onRead, peakOf, read,
    asked: () => state.asked, sae: () => state.sae, saeAt: (place) => saes()[place],
    setAddClamp: (call) => { addClamp = call; },
  };
})();
