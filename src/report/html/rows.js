// Which nodes are rows: what is folded, what the filters leave.

/** Of what the filters leave: a key that fits, and not merely what lies around one. */
const HIT = 2;

class Rows {
  constructor(tree, keys) {
    this.tree = tree;
    this.keys = keys;
    this.open = new Uint8Array(tree.size);
    this.kept = null; // 1 for nodes that the filters leave, HIT for keys that fit
    this.openKept = null; // what is open while something is filtered
    this.hits = 0;
    this.list = [];
    this.at = new Int32Array(tree.size); // position in the list, or -1
    this.open[0] = 1;
    this.unfold(0);
  }

  /** Opens a first few levels: as many as leave an overview. */
  unfold(node) {
    let level = [node];
    let shown = 1;
    while (level.length) {
      const below = level.flatMap((n) => this.childrenOf(n));
      shown += below.length;
      if (shown > 40 && level[0] !== node) break;
      level.forEach((n) => (this.open[n] = 1));
      if (shown > 40) break;
      level = below.filter((n) => this.tree.isModule(n));
    }
    this.refresh();
  }

  childrenOf(node) {
    const out = [];
    for (let c = this.tree.first[node]; c >= 0; c = this.tree.next[c]) out.push(c);
    return out;
  }

  get opened() {
    return this.openKept || this.open;
  }

  /** Walks the tree without recursion: keys are written by strangers, and may be ten thousand modules deep. */
  refresh() {
    const { first, next, parent } = this.tree;
    const { kept, opened } = this;
    this.at.fill(-1);
    const list = [];
    let node = 0;
    while (node >= 0) {
      let into = false;
      if (!kept || kept[node]) {
        this.at[node] = list.length;
        list.push(node);
        into = opened[node] && first[node] >= 0;
      }
      if (into) {
        node = first[node];
        continue;
      }
      while (node >= 0 && next[node] < 0) node = parent[node];
      if (node >= 0) node = next[node];
    }
    this.list = list;
  }

  /** Leaves the keys for which `wanted` is true and what lies around them; null leaves all. */
  filter(wanted) {
    if (!wanted) {
      this.kept = this.openKept = null;
      this.hits = 0;
      return this.refresh();
    }
    const { tree } = this;
    const kept = (this.kept = new Uint8Array(tree.size));
    const open = (this.openKept = new Uint8Array(tree.size));
    this.hits = 0;
    for (let node = tree.size - 1; node >= 0; node--) {
      if (!tree.isModule(node) && wanted(node)) {
        // One of several sources counts where the key that they make does not fit itself.
        const counts = !tree.piece[node] || !wanted(tree.parent[node]);
        if (counts) this.hits++;
        kept[node] = counts ? HIT : 1;
      }
      const parent = tree.parent[node];
      if (kept[node] && parent >= 0) {
        // The sources of one key stay folded unless one of them alone is what was looked for.
        if (!tree.piece[node] || kept[node] === HIT) open[parent] = 1;
        kept[parent] ||= 1;
      }
    }
    kept[0] = 1;
    this.refresh();
  }

  toggle(node, to) {
    this.opened[node] = to ?? (this.opened[node] ? 0 : 1);
    this.refresh();
  }

  all(to) {
    const { tree } = this;
    for (let node = 1; node < tree.size; node++) if (tree.isModule(node)) this.opened[node] = to;
    this.refresh();
  }

  /** Opens everything above a node. */
  reveal(node) {
    if (this.kept && !this.kept[node]) return false;
    for (let up = this.tree.parent[node]; up >= 0; up = this.tree.parent[up]) this.opened[up] = 1;
    this.refresh();
    return true;
  }
}

/** The test that a search, chosen states and a chosen finding make together; null where nothing is asked for. */
function wish(tree, keys, { query, states, narrowed, finding }) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length && !states.size && finding === null && !narrowed) return null;
  const claim = finding === null ? null : keys.claims[finding];
  const claimed = claim && [new Set(claim.target), new Set(claim.source)];
  const folded = words.length ? [keys.source.folded(), keys.target.folded()] : null;
  return (node) => {
    const [s, t, m] = [tree.source[node], tree.target[node], tree.match[node]];
    if (states.size || narrowed) {
      const cast = narrowed && m >= 0 && keys.matches[m].dtypes !== "equal";
      if (!cast && !states.has(tree.state[node])) return false;
    }
    if (claimed && !claimed[0].has(t) && !claimed[1].has(s)) return false;
    if (!folded) return true;
    const own = (s >= 0 ? folded[0][s] : "") + "\n" + (t >= 0 && !tree.piece[node] ? folded[1][t] : "");
    return words.every((word) => own.includes(word));
  };
}
