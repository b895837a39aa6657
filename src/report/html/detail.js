// What is known of the selected row.

function detailOf(tree, keys, node, findings, { goTo, showFinding }) {
  if (tree.isModule(node)) return moduleDetail(tree, node);
  const [s, t, m, g] = [tree.source[node], tree.target[node], tree.match[node], tree.group[node]];
  const match = m >= 0 ? keys.matches[m] : null;
  const list = el("dl", null);
  const add = (label, ...what) => list.append(el("dt", null, label), el("dd", null, what));
  const named = (side, i) => [el("code", null, side.names[i]), copyButton(side.names[i], "the key"), el("div", { class: "kind" }, keys.kinds[side.kinds[i]])];
  const file = keys.target.names.length === 0 && keys.matches.length === 0;
  if (s >= 0) add(file ? "key" : "checkpoint", named(keys.source, s));
  else if (match) add("checkpoint", namesList(keys.source, match.source));
  if (t >= 0) add("model", named(keys.target, t));
  if (!file) add("", el("span", { class: `badge ${tree.states[tree.state[node]].id}` }, sentence(tree, keys, node)));
  if (match && match.dtypes !== "equal") add("dtype", match.dtypes);
  if (match) add("sure", el("meter", { min: 0, max: 100, value: match.confidence }), ` ${match.confidence} %`);
  if (g >= 0) add("why", prose(keys.ambiguous[g].why));
  const twins = match ? twinsOf(tree, keys, node, match) : [];
  if (twins.length) {
    const links = twins.slice(0, 8).map((twin) => el("li", null, el("button", { type: "button", class: "link", onclick: () => goTo(twin) }, keys.target.names[tree.target[twin]])));
    const more = twins.length > links.length ? el("li", null, `${count(twins.length - links.length)} more`) : null;
    add("also feeds", el("ul", null, links, more));
  }
  const causes = keys.claims.flatMap((claim, i) => ((t >= 0 && claim.target.includes(t)) || (s >= 0 && claim.source.includes(s)) ? [i] : []));
  for (const i of causes) {
    const finding = findings[i];
    add("finding", el("button", { type: "button", class: "link", onclick: () => showFinding(i) }, `${finding.code} ${finding.name}`), el("div", null, prose(finding.message)));
  }
  return list;
}

function moduleDetail(tree, node) {
  const list = el("dl", null);
  const add = (label, ...what) => list.append(el("dt", null, label), el("dd", null, what));
  const [path, origin] = [pathOf(tree, node), tree.origin[node]];
  if (origin) add("checkpoint", el("code", null, `${origin}.`), copyButton(`${origin}.`, "the prefix"));
  if (path && (origin === null || tree.states !== STATES || tree.sides[1][node] > 0)) add(tree.states === STATES ? "model" : "module", el("code", null, `${path}.`), copyButton(`${path}.`, "the prefix"));
  const width = tree.states.length;
  tree.states.forEach((state, i) => {
    const n = tree.counts[node * width + i];
    if (n) add(count(n), el("span", { class: `badge ${state.id}` }, state.label));
  });
  return list;
}

function namesList(side, indices) {
  const shown = indices.slice(0, 6).map((i) => el("li", null, el("code", null, side.names[i])));
  const more = indices.length > shown.length ? el("li", null, `and ${count(indices.length - shown.length)} more`) : null;
  return el("ul", null, shown, more);
}

/** Other keys of the model that the same tensor goes into. */
function twinsOf(tree, keys, node, match) {
  if (match.source.length !== 1) return [];
  const feeds = (tree.feeds ||= feedsOf(tree));
  return (feeds.get(match.source[0]) || []).filter((other) => other !== node);
}

function feedsOf(tree) {
  const feeds = new Map();
  for (let node = 0; node < tree.size; node++) {
    const s = tree.source[node];
    if (s < 0 || tree.target[node] < 0 || tree.piece[node]) continue;
    if (feeds.has(s)) feeds.get(s).push(node);
    else feeds.set(s, [node]);
  }
  return feeds;
}

const SAYINGS = {
  identical: "same name on both sides",
  renamed: "renamed",
  split: "a part of one tensor of the checkpoint",
  merged: "joined from several tensors",
  transposed: "two dimensions swapped",
  reshaped: "the same elements under another shape",
};

function sentence(tree, keys, node) {
  const state = tree.states[tree.state[node]];
  const match = tree.match[node] >= 0 ? keys.matches[tree.match[node]] : null;
  if (tree.piece[node]) return "one of several tensors that are joined";
  if (!match) return { missing: "nothing in the checkpoint fills it", unexpected: "the model has no use for it", ambiguous: "could not be decided" }[state.id];
  const shape = { equal: "", resizable: ", fits after a resize that a rule names", different: ", shapes do not fit" }[match.shapes];
  return SAYINGS[match.how] + shape;
}
