// One subject: its summary, the tools and the tree, which belong together by what is asked for.

function viewOf(i) {
  const subject = parsed(`data-${i}`);
  const keys = keysOf(i);
  const pair = subject.kind === "verdict";
  if (!keys || keys.source.names.length + keys.target.names.length === 0) return { element: el("div", null, summaryOf(subject, {})) };
  const tree = pair ? treeOfPair(keys) : treeOfFile(keys);
  const rows = new Rows(tree, keys);
  const asked = { query: "", states: new Set(), narrowed: false, finding: null };
  const detail = el("aside", { class: "detail", "aria-label": "The selected row", "aria-live": "polite" });
  const grid = new Grid(rows, {
    pair,
    label: pair ? "Modules of the checkpoint beside those of the model" : "Modules of the file",
    onselect: (node) => detail.replaceChildren(detailOf(tree, keys, node, subject.findings, { goTo: (n) => grid.goTo(n), showFinding })),
  });
  const tools = toolsOf(tree, keys, rows, grid, asked, subject, apply);

  function apply() {
    rows.filter(wish(tree, keys, asked));
    tools.update();
    grid.body.scrollTop = 0;
    grid.changed();
  }

  function showFinding(index) {
    asked.finding = asked.finding === index ? null : index;
    apply();
    tools.element.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  const element = el(
    "div",
    { class: "view" },
    summaryOf(subject, { showFinding: pair ? showFinding : null }),
    el("section", { class: "work", "aria-label": "Keys" }, tools.element, el("div", { class: "both" }, grid.element, detail)),
  );
  return { element, start: () => (grid.select(0, false), grid.drawNow()), search: tools.search };
}

function toolsOf(tree, keys, rows, grid, asked, subject, apply) {
  const search = el("input", { type: "search", id: "search", placeholder: "Search keys", "aria-label": "Search keys", spellcheck: "false", autocomplete: "off" });
  const hint = el("kbd", { "aria-hidden": "true" }, "/");
  const status = el("span", { class: "status", role: "status" });
  const chosen = el("span", null);
  const soon = later(() => {
    asked.query = search.value;
    apply();
  }, 120);
  search.addEventListener("input", soon);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown") {
      asked.query = search.value;
      apply();
      const hit = rows.list.find((node) => (rows.kept ? rows.kept[node] === HIT : !tree.isModule(node)));
      if (hit !== undefined) grid.goTo(hit);
      event.preventDefault();
    } else if (event.key === "Escape") {
      search.value = asked.query = "";
      apply();
    }
  });
  const chip = (id, label, n, pressed, press) => {
    const button = el("button", { type: "button", class: `chip ${id}`, "aria-pressed": "false" }, el("i", { "aria-hidden": "true" }), label, el("b", null, count(n)));
    button.addEventListener("click", () => (press(), apply()));
    return { button, pressed };
  };
  const flip = (set, value) => (set.has(value) ? set.delete(value) : set.add(value));
  const chips = tree.states.flatMap((state, i) => (tree.counts[i] ? [chip(state.id, state.label, tree.counts[i], () => asked.states.has(i), () => flip(asked.states, i))] : []));
  const casts = keys.matches.filter((match) => match.dtypes !== "equal").length;
  if (casts) chips.push(chip("cast", "dtype differs", casts, () => asked.narrowed, () => (asked.narrowed = !asked.narrowed)));
  const act = (label, work) => el("button", { type: "button", class: "tool", onclick: work }, label);
  const fold = (to) => () => (rows.all(to), grid.changed());
  const element = el(
    "div",
    { class: "tools", role: "toolbar", "aria-label": "Filters" },
    el("span", { class: "search" }, search, hint),
    el("span", { class: "chips", role: "group", "aria-label": "Kinds of keys" }, chips.map((c) => c.button)),
    chosen,
    status,
    el("span", { class: "folds" }, act("unfold", fold(1)), act("fold", fold(0))),
  );
  function update() {
    for (const { button, pressed } of chips) button.setAttribute("aria-pressed", String(pressed()));
    const finding = asked.finding === null ? null : subject.findings[asked.finding];
    chosen.replaceChildren(...(finding ? [el("button", { type: "button", class: "chip finding", "aria-pressed": "true", "aria-label": `Stop showing only the keys of ${finding.code}`, onclick: () => ((asked.finding = null), apply()) }, finding.code, el("b", null, "×"))] : []));
    status.textContent = rows.kept ? (rows.hits ? `${plural(rows.hits, "key")} shown` : "no key fits") : "";
  }
  update();
  return { element, search, update };
}
