// From the data elements to keys and matches.

function parsed(id) {
  const element = byId(id);
  return element ? JSON.parse(element.textContent) : null;
}

/** `0-2,7` as [0, 1, 2, 7]. */
function ranges(text) {
  const out = [];
  if (text === "") return out;
  for (const run of text.split(",")) {
    const dash = run.indexOf("-");
    if (dash < 0) out.push(+run);
    else for (let i = +run.slice(0, dash), last = +run.slice(dash + 1); i <= last; i++) out.push(i);
  }
  return out;
}

/** One side: names and, for each, the number of its dtype and shape. */
function sideOf(raw) {
  const names = new Array(raw.kinds.length);
  let before = "";
  for (let i = 0; i < names.length; i++) {
    before = before.slice(0, raw.names[2 * i]) + raw.names[2 * i + 1];
    names[i] = before;
  }
  let folded = null;
  return {
    names,
    kinds: raw.kinds,
    /** The names in lower case, for the search; made when first asked for. */
    folded: () => (folded ||= names.map((name) => name.toLowerCase())),
  };
}

/** Everything about the keys of a subject. */
function keysOf(i) {
  const raw = parsed(`keys-${i}`);
  if (!raw) return null;
  const { target, source, how, shapes, dtypes, confidence } = raw.matches;
  return {
    kinds: raw.kinds,
    source: sideOf(raw.source),
    target: sideOf(raw.target),
    matches: target.map((t, m) => ({
      target: t,
      source: typeof source[m] === "number" ? [source[m]] : ranges(source[m]),
      how: how[m],
      shapes: shapes[m],
      dtypes: dtypes[m],
      confidence: confidence[m],
    })),
    ambiguous: raw.ambiguous.map(([t, s, why]) => ({ target: ranges(t), source: ranges(s), why })),
    claims: raw.claims.map(([t, s]) => ({ target: ranges(t), source: ranges(s) })),
  };
}

/** `F32 [64, 3]` as dtype and sizes; sizes are null where they are not known. */
function kindOf(text) {
  const space = text.indexOf(" ");
  const shape = text.slice(space + 1);
  const inner = shape.slice(1, -1);
  return { dtype: text.slice(0, space), dims: shape === "?" ? null : inner === "" ? [] : inner.split(", ") };
}
