// One tree for both sides. A module of the model is a row, and beside it stands the module of the checkpoint that its keys come
// from: the part that the names of those keys have in common. What only the checkpoint has hangs below the module it lies in.

/** What a key can be; the colours are in the style sheet. */
const STATES = [
  { id: "same", label: "same name" },
  { id: "renamed", label: "renamed" },
  { id: "moved", label: "split, joined, turned" },
  { id: "shape", label: "shape differs" },
  { id: "missing", label: "missing" },
  { id: "unexpected", label: "unexpected" },
  { id: "ambiguous", label: "ambiguous" },
];
const STATE = Object.fromEntries(STATES.map((state, i) => [state.id, i]));

const moduleOf = (name) => name.slice(0, Math.max(0, name.lastIndexOf(".")));
const leafOf = (name) => name.slice(name.lastIndexOf(".") + 1);

/** What two modules have in common, by whole segments. */
function common(a, b) {
  if (a === b || b === null || a === "") return a;
  if (a === null || b === "") return b;
  let end = 0;
  const most = Math.min(a.length, b.length);
  let i = 0;
  while (i < most && a[i] === b[i]) {
    if (a[i] === ".") end = i;
    i++;
  }
  const boundary = (text) => i === text.length || text[i] === ".";
  if (boundary(a) && boundary(b)) end = i;
  return a.slice(0, end);
}

/** Nodes as columns: a hundred thousand small objects would take their time. */
class Tree {
  constructor(states) {
    this.states = states;
    this.label = [""];
    this.parent = [-1];
    this.depth = [0];
    this.first = [-1];
    this.last = [-1];
    this.next = [-1];
    this.state = [-1]; // of a key; -1 for a module
    this.target = [-1];
    this.source = [-1];
    this.match = [-1];
    this.group = [-1]; // of an ambiguous key
    this.piece = [0]; // 1 for one of several sources of the key above
    this.origin = [null]; // path of the module of the checkpoint
    this.path = [""]; // of a module, by its own labels; "" for keys
    this.known = new Map([["", 0]]); // modules by path, while building
  }

  get size() {
    return this.label.length;
  }

  add(parent, label, fields) {
    const node = this.label.length;
    this.label.push(label);
    this.parent.push(parent);
    this.depth.push(this.depth[parent] + 1);
    this.first.push(-1);
    this.last.push(-1);
    this.next.push(-1);
    for (const name of ["state", "target", "source", "match", "group"]) this[name].push(fields?.[name] ?? -1);
    this.piece.push(fields?.piece ?? 0);
    this.origin.push(null);
    this.path.push("");
    if (this.last[parent] < 0) this.first[parent] = node;
    else this.next[this.last[parent]] = node;
    this.last[parent] = node;
    return node;
  }

  /** The module at a path, made with all above it where there is none. Without recursion: a name may have ten thousand parts. */
  module(path) {
    const found = this.known.get(path);
    if (found !== undefined) return found;
    const missing = [];
    let above = path;
    while (!this.known.has(above)) {
      missing.push(above);
      above = moduleOf(above);
    }
    let node = this.known.get(above);
    while (missing.length) {
      const next = missing.pop();
      node = this.add(node, leafOf(next));
      this.path[node] = next;
      this.known.set(next, node);
    }
    return node;
  }

  /** Counts keys by state below every module, and puts numbered modules in order. */
  finish() {
    const width = this.states.length;
    this.counts = new Uint32Array(this.size * width);
    this.keys = new Uint32Array(this.size);
    // How many keys each side has below a module; a tensor that fills two keys of the model is one of the checkpoint.
    this.sides = [new Uint32Array(this.size), new Uint32Array(this.size)];
    const seen = new Uint8Array(this.source.reduce((most, s) => Math.max(most, s), 0) + 1);
    for (let node = this.size - 1; node > 0; node--) {
      if (this.state[node] >= 0 && !this.piece[node]) {
        this.counts[node * width + this.state[node]]++;
        this.keys[node]++;
      }
      if (this.target[node] >= 0 && !this.piece[node]) this.sides[1][node]++;
      if (this.source[node] >= 0 && !seen[this.source[node]]) {
        seen[this.source[node]] = 1;
        this.sides[0][node]++;
      }
      const parent = this.parent[node];
      for (const side of this.sides) side[parent] += side[node];
      for (let i = 0; i < width; i++) this.counts[parent * width + i] += this.counts[node * width + i];
      this.keys[parent] += this.keys[node];
      if (this.first[node] >= 0) this.sort(node);
    }
    this.known = null;
    return this;
  }

  sort(node) {
    const list = [];
    let sorted = true;
    for (let child = this.first[node]; child >= 0; child = this.next[child]) {
      if (!/^\d+$/.test(this.label[child])) return;
      if (list.length && +this.label[list.at(-1)] > +this.label[child]) sorted = false;
      list.push(child);
    }
    if (sorted) return;
    list.sort((a, b) => this.label[a] - this.label[b]);
    list.forEach((child, i) => (this.next[child] = i + 1 < list.length ? list[i + 1] : -1));
    this.first[node] = list[0];
    this.last[node] = list.at(-1);
  }

  isModule(node) {
    return this.state[node] < 0;
  }
}

/** The tree of a pair. */
function treeOfPair(keys) {
  const tree = new Tree(STATES);
  const { source, target } = keys;
  const matchOf = new Int32Array(target.names.length).fill(-1);
  keys.matches.forEach((m, i) => (matchOf[m.target] = i));
  const groupOf = [new Map(), new Map()];
  keys.ambiguous.forEach((group, i) => {
    group.target.forEach((t) => groupOf[0].set(t, i));
    group.source.forEach((s) => groupOf[1].set(s, i));
  });
  const used = new Uint8Array(source.names.length);
  for (let t = 0; t < target.names.length; t++) {
    const name = target.names[t];
    const parent = tree.module(moduleOf(name));
    const m = matchOf[t];
    if (m < 0) {
      const group = groupOf[0].get(t) ?? -1;
      tree.add(parent, leafOf(name), { target: t, group, state: group < 0 ? STATE.missing : STATE.ambiguous });
      continue;
    }
    const match = keys.matches[m];
    const one = match.source.length === 1;
    const node = tree.add(parent, leafOf(name), {
      target: t,
      match: m,
      state: stateOf(match),
      source: one ? match.source[0] : -1,
    });
    let origin = null;
    for (const s of match.source) {
      used[s] = 1;
      origin = one ? moduleOf(source.names[s]) : common(moduleOf(source.names[s]), origin);
      if (!one) tree.add(node, leafOf(name), { target: t, match: m, source: s, state: tree.state[node], piece: 1 });
    }
    tree.origin[node] = origin;
  }
  origins(tree);
  leftovers(tree, source, used, groupOf[1]);
  return tree.finish();
}

function stateOf(match) {
  if (match.shapes !== "equal") return STATE.shape;
  return match.how === "identical" ? STATE.same : match.how === "renamed" ? STATE.renamed : STATE.moved;
}

/** Gives every module the path of the checkpoint that its keys have in common. Children come after their parents. */
function origins(tree) {
  for (let node = tree.size - 1; node > 0; node--) {
    if (tree.origin[node] === null || tree.piece[node]) continue;
    const parent = tree.parent[node];
    tree.origin[parent] = common(tree.origin[node], tree.origin[parent]);
  }
}

/** Hangs what only the checkpoint has below the outermost module whose origin it lies in. */
function leftovers(tree, source, used, groups) {
  const places = new Map();
  for (let node = 0; node < tree.size; node++) {
    const origin = tree.origin[node];
    if (tree.isModule(node) && origin && !places.has(origin)) places.set(origin, node);
  }
  for (let s = 0; s < source.names.length; s++) {
    if (used[s]) continue;
    const path = moduleOf(source.names[s]);
    let known = path;
    while (known !== "" && !places.has(known)) known = moduleOf(known);
    let node = known === "" ? 0 : places.get(known);
    const rest = known === "" ? path : path.slice(known.length + 1);
    let origin = known;
    const join = (path, segment) => (path === "" ? segment : `${path}.${segment}`);
    for (const segment of rest === "" ? [] : rest.split(".")) {
      origin = join(origin, segment);
      node = tree.module(join(tree.path[node], segment));
      if (tree.origin[node] === null) tree.origin[node] = origin;
      if (!places.has(origin)) places.set(origin, node);
    }
    const group = groups.get(s) ?? -1;
    const state = group < 0 ? STATE.unexpected : STATE.ambiguous;
    tree.add(node, leafOf(source.names[s]), { source: s, group, state });
  }
}

/** The tree of a single file: its keys have dtypes in place of states. */
function treeOfFile(keys) {
  const dtypes = [...new Set(keys.kinds.map((kind) => kindOf(kind).dtype))];
  const tree = new Tree(dtypes.map((dtype, i) => ({ id: `d${i % 7}`, label: dtype })));
  const state = keys.kinds.map((kind) => dtypes.indexOf(kindOf(kind).dtype));
  keys.source.names.forEach((name, s) => {
    const parent = tree.module(moduleOf(name));
    tree.add(parent, leafOf(name), { source: s, state: state[keys.source.kinds[s]] });
  });
  return tree.finish();
}
