// The tree on the screen: only rows that can be seen are elements.

const ROW = 26;
/** Browsers lay out no element higher than some 17 million pixels; beyond this the scroll bar is a scale. */
const TALLEST = 12e6;
/** Deeper modules are indented no further. */
const DEEPEST = 24;

class Grid {
  constructor(rows, { pair, label, onselect }) {
    this.rows = rows;
    this.pair = pair;
    this.onselect = onselect;
    this.selected = 0;
    this.frame = 0;
    this.sized = 0;
    this.layer = el("div", { class: "layer", role: "rowgroup" });
    this.space = el("div", { class: "space", role: "presentation" }, this.layer);
    const head = (name, kind) => el("span", { role: "columnheader", class: kind }, name);
    this.head = el(
      "div",
      { class: "row head", role: "row", "aria-rowindex": 1 },
      pair ? [head("checkpoint", "name"), head("", "kind"), head("", "how"), head("model", "name"), head("", "kind")] : [head("key", "name"), head("", "how"), head("dtype and shape", "kind")],
    );
    this.body = el("div", { class: "scroll" }, this.space);
    this.element = el(
      "div",
      { id: "tree", class: pair ? "grid pair" : "grid file", role: "treegrid", tabindex: 0, "aria-label": label, "aria-colcount": pair ? 5 : 3 },
      this.head,
      this.body,
    );
    this.body.addEventListener("scroll", () => this.draw());
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.layer.addEventListener("click", (event) => this.click(event));
    this.layer.addEventListener("mouseover", (event) => this.hover(nodeAt(event)));
    this.layer.addEventListener("mouseleave", () => this.hover(-1));
    new ResizeObserver(() => this.draw()).observe(this.body);
  }

  /** How far the scroll bar goes, and how far the rows do. */
  get spans() {
    const view = this.body.clientHeight;
    const whole = this.rows.list.length * ROW;
    const shown = Math.min(whole, TALLEST);
    return { view, shown, scale: shown > view ? (whole - view) / (shown - view) : 1 };
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    const { view, shown, scale } = this.spans;
    if (this.sized !== shown) this.space.style.height = `${(this.sized = shown)}px`;
    const top = this.body.scrollTop * scale;
    const from = Math.max(0, Math.floor(top / ROW) - 4);
    const to = Math.min(this.rows.list.length, Math.ceil((top + view) / ROW) + 4);
    const drawn = [];
    for (let i = from; i < to; i++) drawn.push(this.row(this.rows.list[i], i));
    this.layer.style.transform = `translateY(${this.body.scrollTop - (top - from * ROW)}px)`;
    this.layer.replaceChildren(...drawn);
    this.element.setAttribute("aria-rowcount", this.rows.list.length + 1);
    const visible = this.rows.at[this.selected] >= from && this.rows.at[this.selected] < to;
    if (visible) this.element.setAttribute("aria-activedescendant", `row-${this.selected}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  row(node, index) {
    const { tree } = this.rows;
    const folds = tree.first[node] >= 0;
    const open = folds && this.rows.opened[node] === 1;
    const state = tree.states[tree.state[node]]?.id ?? "module";
    const partner = node !== this.selected && this.partners?.(node);
    const row = el("div", {
      id: `row-${node}`,
      class: `row ${state}${tree.piece[node] ? " piece" : ""}${partner ? " partner" : ""}`,
      role: "row",
      "data-node": node,
      "aria-level": tree.depth[node] + 1,
      "aria-rowindex": index + 2,
      "aria-expanded": folds ? String(open) : null,
      "aria-selected": String(node === this.selected),
    });
    row.append(...(this.pair ? pairCells : fileCells)(tree, this.rows.keys, node, folds));
    return row;
  }

  click(event) {
    const node = nodeAt(event);
    if (node < 0) return;
    this.select(node, false);
    if (event.target.closest(".fold") || (event.detail === 2 && this.rows.tree.first[node] >= 0)) this.toggle(node);
  }

  toggle(node, to) {
    this.rows.toggle(node, to);
    this.draw();
  }

  select(node, scroll = true) {
    this.selected = node;
    this.partners = partnersOf(this.rows, node);
    if (scroll) this.scrollTo(node);
    this.draw();
    this.onselect(node);
  }

  /** Marks what belongs to the row below the pointer. */
  hover(node) {
    const partners = node < 0 ? null : partnersOf(this.rows, node);
    for (const row of this.layer.children) {
      const other = +row.dataset.node;
      row.classList.toggle("near", !!partners && other !== node && partners(other));
    }
  }

  scrollTo(node) {
    const index = this.rows.at[node];
    if (index < 0) return;
    const { view, scale } = this.spans;
    const [above, below] = [index * ROW, (index + 1) * ROW];
    const top = this.body.scrollTop * scale;
    if (above < top) this.body.scrollTop = above / scale;
    else if (below > top + view) this.body.scrollTop = Math.ceil((below - view) / scale);
  }

  /** Shows a node wherever it is. */
  goTo(node) {
    if (!this.rows.reveal(node)) return;
    this.drawNow();
    this.select(node);
    const { view, scale } = this.spans;
    this.body.scrollTop = Math.max(0, (this.rows.at[node] * ROW - view / 3) / scale);
    this.element.focus({ preventScroll: true });
  }

  /** After the rows have changed: the selection stays, or goes to the nearest row above. */
  changed() {
    let node = this.selected;
    while (node > 0 && this.rows.at[node] < 0) node = this.rows.tree.parent[node];
    this.selected = Math.max(0, node);
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { tree, list, at, opened } = this.rows;
    const node = this.selected;
    const index = at[node];
    const page = Math.max(1, Math.floor(this.body.clientHeight / ROW) - 1);
    const folds = tree.first[node] >= 0;
    const go = (i) => this.select(list[Math.min(list.length - 1, Math.max(0, i))]);
    const keys = {
      ArrowDown: () => go(index + 1),
      ArrowUp: () => go(index - 1),
      PageDown: () => go(index + page),
      PageUp: () => go(index - page),
      Home: () => go(0),
      End: () => go(list.length - 1),
      ArrowRight: () => (folds && !opened[node] ? this.toggle(node, 1) : folds && go(index + 1)),
      ArrowLeft: () => (folds && opened[node] ? this.toggle(node, 0) : tree.parent[node] >= 0 && this.select(tree.parent[node])),
      Enter: () => folds && this.toggle(node),
      " ": () => folds && this.toggle(node),
      "*": () => this.siblings(node),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  siblings(node) {
    const parent = Math.max(0, this.rows.tree.parent[node]);
    for (const child of this.rows.childrenOf(parent)) this.rows.opened[child] = 1;
    this.rows.refresh();
    this.draw();
  }
}

const nodeAt = (event) => +(event.target.closest("[data-node]")?.dataset.node ?? -1);

/** What belongs to a node beside its own row: other targets of its source, other sources of its target, its group. */
function partnersOf({ tree, keys }, node) {
  if (tree.isModule(node) || (tree.match[node] < 0 && tree.group[node] < 0)) return null;
  const [s, m, g] = [tree.source[node], tree.match[node], tree.group[node]];
  const sources = m >= 0 ? new Set(keys.matches[m].source) : null;
  return (other) => {
    if (g >= 0 && tree.group[other] === g) return true;
    if (m >= 0 && tree.match[other] === m) return true;
    const theirs = tree.source[other];
    return theirs >= 0 && (theirs === s || (sources !== null && !tree.piece[node] && sources.has(theirs)));
  };
}

function nameCell(tree, node, folds, text, changed) {
  const indent = Math.min(tree.depth[node], DEEPEST);
  const fold = folds ? el("span", { class: "fold", "aria-hidden": "true" }) : el("span", { class: "nofold", "aria-hidden": "true" });
  const dot = text && tree.isModule(node) && node > 0 && text.label !== SAME ? el("i", null, ".") : null;
  const label = text && el("span", { class: `label${text.label === SAME ? " same-module" : changed ? " changed" : ""}`, title: text.title }, text.label, dot);
  return el("span", { role: "gridcell", class: "name", style: `--depth:${indent}` }, text === null && !folds ? null : fold, label);
}

function pairCells(tree, keys, node, folds) {
  const { left, right } = namesOf(tree, keys, node);
  const changed = left !== null && right !== null && left.label !== right.label;
  const [a, b] = kindsOf(tree, keys, node);
  return [
    nameCell(tree, node, folds, left, changed),
    el("span", { role: "gridcell", class: "kind" }, a),
    el("span", { role: "gridcell", class: "how" }, tree.isModule(node) ? bar(tree, node) : badge(tree, keys, node)),
    nameCell(tree, node, folds, right, changed),
    el("span", { role: "gridcell", class: "kind" }, b),
  ];
}

function fileCells(tree, keys, node, folds) {
  const text = node === 0 ? { label: "all keys", title: "" } : { label: tree.label[node], title: pathOf(tree, node) };
  const kind = tree.isModule(node) ? plural(tree.keys[node], "key") : keys.kinds[keys.source.kinds[tree.source[node]]];
  return [
    nameCell(tree, node, folds, text, false),
    el("span", { role: "gridcell", class: "how" }, tree.isModule(node) ? bar(tree, node) : null),
    el("span", { role: "gridcell", class: "kind" }, kind),
  ];
}

/** The path of a node by its own labels: that of the model where it is the model's. */
function pathOf(tree, node) {
  if (tree.isModule(node)) return tree.path[node];
  const above = tree.path[tree.parent[node]];
  return above === "" ? tree.label[node] : `${above}.${tree.label[node]}`;
}

/** In place of a name: the module is the one of the row above. */
const SAME = "·";

/** What stands on both sides of a row; null where a side has nothing. */
function namesOf(tree, keys, node) {
  if (node === 0) {
    const origin = tree.origin[0];
    return { left: { label: origin ? `${origin}.` : "all keys", title: origin || "" }, right: { label: "all keys", title: "" } };
  }
  const [s, t] = [tree.source[node], tree.target[node]];
  const around = tree.origin[tree.parent[node]];
  const relative = (path) => (around === "" || around === null ? path : path === around ? SAME : path.startsWith(`${around}.`) ? path.slice(around.length + 1) : path);
  if (tree.isModule(node)) {
    const path = pathOf(tree, node);
    const origin = tree.origin[node];
    const own = tree.sides[1][node] > 0;
    return {
      left: origin === null ? null : { label: origin === "" ? SAME : relative(origin), title: origin },
      right: own ? { label: tree.label[node], title: path } : null,
    };
  }
  const match = tree.match[node] >= 0 ? keys.matches[tree.match[node]] : null;
  if (tree.piece[node]) {
    return { left: { label: relative(keys.source.names[s]), title: keys.source.names[s] }, right: null };
  }
  const left = s >= 0 ? { label: relative(keys.source.names[s]), title: keys.source.names[s] } : match ? { label: `${plural(match.source.length, "key")} below`, title: tree.origin[node] } : null;
  return { left, right: t >= 0 ? { label: tree.label[node], title: keys.target.names[t] } : null };
}

/** Dtype and shape on both sides, with the sizes that differ marked. */
function kindsOf(tree, keys, node) {
  if (tree.isModule(node)) return tree.sides.map((side) => (side[node] ? plural(side[node], "key") : ""));
  const [s, t] = [tree.source[node], tree.piece[node] ? -1 : tree.target[node]];
  const a = s >= 0 ? kindOf(keys.kinds[keys.source.kinds[s]]) : null;
  const b = t >= 0 ? kindOf(keys.kinds[keys.target.kinds[t]]) : null;
  return [kindText(a, b), kindText(b, a)];
}

function kindText(own, other) {
  if (!own) return "";
  const mark = (text, differs) => (differs ? el("b", null, text) : text);
  const dtype = mark(own.dtype, other && other.dtype !== own.dtype);
  if (!own.dims) return [dtype, " ?"];
  const known = other && other.dims;
  const length = known && other.dims.length !== own.dims.length;
  const dims = own.dims.flatMap((size, i) => [i ? ", " : "", mark(size, known && (length || other.dims[i] !== size))]);
  return [dtype, " [", ...dims, "]"];
}

/** How much of a module is in which state. */
function bar(tree, node) {
  const width = tree.states.length;
  const parts = tree.states.flatMap((state, i) => {
    const n = tree.counts[node * width + i];
    return n ? [el("i", { class: state.id, style: `flex-grow:${n}`, title: `${count(n)} ${state.label}` })] : [];
  });
  return el("span", { class: "share" }, parts);
}

const WORDS = { identical: "=", renamed: "→", split: "split", merged: "joined", transposed: "turned", reshaped: "reshaped" };

function badge(tree, keys, node) {
  const state = tree.states[tree.state[node]].id;
  const match = tree.match[node] >= 0 ? keys.matches[tree.match[node]] : null;
  if (tree.piece[node]) return el("span", { class: "badge moved" }, "part");
  const word = state === "shape" ? (match.shapes === "resizable" ? "resize" : "shape") : match ? WORDS[match.how] : state === "unexpected" ? "extra" : state;
  const cast = match && match.dtypes !== "equal" ? el("span", { class: "badge cast", title: `dtype ${match.dtypes}` }, "cast") : null;
  return [el("span", { class: `badge ${state}` }, word), cast];
}
