// The table of examples: sorted, filtered, searched, in pages of 100, by mouse or keyboard; a row
// opens to what the run stored of its example.
"use strict";

rebound.examples = (() => {
  const source = document.querySelector("script[data-examples]");
  const place = document.getElementById("examples-table");
  if (!source || !place) return null;
  const { element } = rebound;
  const data = JSON.parse(source.textContent);
  const examples = data.examples, count = examples.prompt.length, perPage = 100;

  // Where a row's results of a prompt stand; several where it was tried several times.
  const placesOf = data.rows.map((row) => {
    const places = new Map();
    row.results.prompt.forEach((prompt, at) => {
      if (!places.has(prompt)) places.set(prompt, []);
      places.get(prompt).push(at);
    });
    return places;
  });
  const outcome = (r, i) => {
    const at = placesOf[r].get(examples.prompt[i]);
    return at ? data.rows[r].results.recovered[at[0]] : null;
  };
  const show = (value) => {
    if (typeof value === "boolean") return value ? "yes" : "no";
    if (typeof value === "string") return value.replaceAll("_", " ");
    return rebound.number(value, 4);
  };

  const attacks = data.rows.map((row, r) => r).filter((r) => data.rows[r].role === "attack" && data.rows[r].results.prompt.length);
  const isText = (values) => values.some((value) => typeof value === "string");
  const plainColumn = (name, title) => ({ title, value: (i) => examples[name][i], number: !isText(examples[name]) });
  const columns = [plainColumn("id", "example"), plainColumn("split", "split"), plainColumn("flip", "valid flip"),
    plainColumn("base", data.answers ? "base" : "base score"), plainColumn("defended", data.answers ? "defended" : "defended score"),
    ...attacks.map((r) => ({ title: "#" + data.rows[r].number, help: data.rows[r].name, value: (i) => outcome(r, i), mark: true }))];

  const state = { order: [...Array(count).keys()], page: 0, sort: null, down: false, all: false, open: new Set() };
  const headline = data.headline;
  const filters = {
    all: ["all examples", () => true],
    valid: ["valid flips", (i) => headline === null ? examples.flip[i] === "yes" : outcome(headline, i) !== null || examples.flip[i] === "yes"],
    back: ["recovered in the row of the verdict", (i) => headline !== null && outcome(headline, i) === 1],
    held: ["not recovered there", (i) => headline !== null && outcome(headline, i) === 0],
    never: ["recovered by no attack", (i) => attacks.some((r) => outcome(r, i) === 0) && attacks.every((r) => outcome(r, i) !== 1)],
  };

  const search = element("input", { type: "search", id: "example-search", autocomplete: "off" });
  const filter = element("select", {}, ...Object.entries(filters).map(([value, [name]]) => element("option", { value }, name)));
  const status = element("span", { role: "status" });
  const earlier = element("button", { type: "button", onclick: () => turn(-1) }, "Previous");
  const later = element("button", { type: "button", onclick: () => turn(1) }, "Next");
  const head = element("tr");
  const body = element("tbody");

  const compare = (a, b) => {
    const missing = (value) => value === null || value === undefined;
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return state.down ? -order : order;
  };
  const arrange = () => {
    const sought = search.value.trim().toLowerCase();
    const names = ["id", "note", "flip", "base", "defended", "text"].filter((name) => examples[name]);
    const matches = (i) => names.some((name) => String(examples[name][i]).toLowerCase().includes(sought));
    const keep = filters[filter.value][1];
    state.order = [...Array(count).keys()].filter((i) => keep(i) && (!sought || matches(i)));
    const column = state.sort === null ? null : columns[state.sort];
    if (column) state.order.sort((i, j) => compare(column.value(i), column.value(j)) || i - j);
    state.page = 0;
    render();
  };
  const turn = (by) => {
    const last = Math.max(0, Math.ceil(state.order.length / perPage) - 1);
    state.page = Math.min(last, Math.max(0, state.page + by));
    render();
  };

  const renderHead = () => head.replaceChildren(...columns.map((column, c) => {
    const isSorted = state.sort === c;
    const sort = () => {
      state.down = isSorted && !state.down;
      state.sort = c;
      arrange();
      head.children[c].firstChild.focus();
    };
    return element("th", { scope: "col", class: column.number ? "n" : null, "aria-sort": isSorted ? (state.down ? "descending" : "ascending") : null },
      element("button", { type: "button", title: column.help, onclick: sort }, column.title + (isSorted ? (state.down ? " ▼" : " ▲") : "")));
  }));
  const cell = (column, i) => {
    const value = column.value(i);
    if (!column.mark) return element("td", { class: column.number ? "n" : null }, show(value));
    if (value === null) return element("td");
    return element("td", { class: value ? "yes" : "no" }, value ? "✓" : "✗");
  };
  const rowOf = (i) => {
    const isOpen = state.open.has(i);
    const button = element("button", { type: "button", "aria-expanded": String(isOpen), "data-example": i, onclick: () => toggle(i) },
      (isOpen ? "▾ " : "▸ ") + show(examples.id[i]));
    return element("tr", { class: "row" }, element("th", { scope: "row", class: "open" }, button),
      ...columns.slice(1).map((column) => cell(column, i)));
  };
  const detailOf = (i) => element("tr", { class: "detail" },
    element("td", { colspan: columns.length }, rebound.exampleDetail(data, placesOf, i, show)));

  const render = () => {
    renderHead();
    const start = state.all ? 0 : state.page * perPage;
    const shown = state.order.slice(start, state.all ? undefined : start + perPage);
    body.replaceChildren(...shown.flatMap((i) => (state.open.has(i) ? [rowOf(i), detailOf(i)] : [rowOf(i)])));
    const end = start + shown.length;
    status.textContent = shown.length ? `${start + 1}–${end} of ${state.order.length}` + (state.order.length < count ? ` (${count} in all)` : "") : `none of ${count}`;
    earlier.disabled = start === 0;
    later.disabled = end >= state.order.length;
    for (const detail of body.querySelectorAll(".detail")) rebound.drawExample(data, detail);
  };
  const buttonOf = (i) => body.querySelector(`button[data-example="${i}"]`);
  // Only the one row is made anew, so that the page does not jump.
  const toggle = (i) => {
    const row = buttonOf(i).closest("tr");
    if (state.open.has(i)) {
      state.open.delete(i);
      row.nextElementSibling.remove();
    } else {
      state.open.add(i);
      const detail = detailOf(i);
      row.after(detail);
      rebound.drawExample(data, detail);
    }
    row.replaceWith(rowOf(i));
    buttonOf(i).focus();
  };

  const move = (from, key) => {
    const buttons = [...body.querySelectorAll("button[data-example]")];
    const at = buttons.indexOf(from);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[key];
    buttons[Math.min(buttons.length - 1, Math.max(0, to))].focus();
  };
  body.addEventListener("keydown", (event) => {
    const button = event.target.closest("button[data-example]");
    if (!button) return;
    if (["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) {
      event.preventDefault();
      move(button, event.key);
    } else if (event.key === "PageDown" || event.key === "PageUp") {
      event.preventDefault();
      turn(event.key === "PageDown" ? 1 : -1);
      body.querySelector("button[data-example]")?.focus();
    } else if (event.key === "Escape" && state.open.has(Number(button.dataset.example))) {
      toggle(Number(button.dataset.example));
    }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, select, textarea");
    if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    search.focus();
  });
  search.addEventListener("input", arrange);
  filter.addEventListener("change", arrange);

  place.replaceChildren(
    element("p", { class: "note" }, "✓ recovered, ✗ not, by the number of the row. Open an example for its scores, steps and where its perturbation "
      + "sits. Keys: / search, ↑ ↓ Home End rows, Page Up and Page Down pages, Enter opens, Escape closes."),
    element("div", { class: "tools" }, element("label", {}, "Search", search), element("label", {}, "Show", filter),
      element("div", { class: "pages" }, earlier, later, status)),
    element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table: examples" },
      element("table", { class: "examples" }, element("thead", {}, head), body)));
  render();
  return { showAll: (all) => { state.all = all; render(); } };
})();
