// What stands above the tree: the answer, both sides, the findings, the fix.

function summaryOf(subject, { showFinding }) {
  const out = [answer(subject)];
  if (subject.verdict) out.push(sides(subject.verdict));
  if (subject.file) out.push(fileFacts(subject.file));
  out.push(findingsOf(subject, showFinding));
  if (subject.verdict) out.push(fixOf(subject.verdict));
  return out;
}

function answer(subject) {
  const tone = subject.holds ? "good" : subject.words.startsWith("loads after") ? "doubtful" : "bad";
  const level = subject.verdict ? ` at level ${subject.verdict.level}` : "";
  return el(
    "div",
    { class: `answer ${tone}` },
    el("span", { class: "dot", "aria-hidden": "true" }),
    el("strong", null, subject.words),
    el("span", { class: "aside" }, [subject.tally, subject.holds ? `holds${level}` : `does not hold${level}`].filter(Boolean).join(" · ")),
  );
}

/** A path with its last part in bold. */
function pathOfFile(path) {
  const cut = path.lastIndexOf("/") + 1;
  return el("p", { class: "path" }, path.slice(0, cut), el("b", null, path.slice(cut)));
}

function sides(verdict) {
  const side = (label, [path, summary]) => el("div", { class: "side" }, el("h2", null, label), pathOfFile(path), el("p", { class: "aside" }, prose(summary)));
  const { before, after, resized, rebuilt, of } = verdict.coverage;
  const meter = (label, n) =>
    el("div", { class: "meter" }, el("span", null, label), el("span", { class: "track", role: "img", "aria-label": `${count(n)} of ${count(of)}` }, el("i", { style: `width:${of ? (100 * n) / of : 100}%` })), el("b", null, count(n)));
  const rows = [meter("as it is", before)];
  if (after !== before) rows.push(meter("fixed", after));
  if (resized !== after) rows.push(meter("resized", resized));
  const note = rebuilt ? `of ${plural(of, "key")}; ${count(rebuilt)} more built by the model` : `of ${plural(of, "key")} load`;
  return el(
    "section",
    { class: "sides", "aria-label": "What is compared" },
    side("checkpoint", verdict.source),
    el("div", { class: "coverage" }, rows, el("p", { class: "aside" }, note)),
    side("model", verdict.target),
  );
}

function fileFacts(file) {
  const facts = file.facts.flatMap(([label, text]) => [el("dt", null, label), el("dd", null, text)]);
  const imports = file.imports.map(([name, trust, place]) => el("tr", { class: trust }, el("td", null, el("code", null, name)), el("td", null, trust), el("td", null, place)));
  const table = imports.length
    ? el("details", { open: file.imports[0][1] === "dangerous" }, el("summary", null, `asks for ${plural(imports.length, "global")}`), el("div", { class: "wide" }, el("table", { class: "imports" }, el("tbody", null, imports))))
    : null;
  return el("section", { class: "facts", "aria-label": "The file" }, pathOfFile(file.path), el("dl", null, facts), table);
}

/** Findings shown at once; the rest waits behind a button. */
const FINDINGS = 8;

function findingsOf(subject, showFinding) {
  if (!subject.findings.length) return null;
  const order = { error: 0, warning: 1, note: 2 };
  const sorted = subject.findings.map((finding, i) => [finding, i]).sort(([a], [b]) => !!a.accepted - !!b.accepted || order[a.severity] - order[b.severity]);
  const list = el("ul", null, sorted.slice(0, FINDINGS).map(([finding, i]) => findingOf(finding, i, showFinding)));
  const rest = sorted.slice(FINDINGS);
  const more = el("button", { type: "button", class: "link all" }, `show ${plural(rest.length, "more finding")}`);
  more.addEventListener("click", () => {
    more.remove();
    list.append(...rest.map(([finding, i]) => findingOf(finding, i, showFinding)));
  });
  return el("section", { class: "findings", "aria-label": "Findings" }, list, rest.length ? more : null);
}

function findingOf(finding, i, showFinding) {
  const page = el("div", { class: "page", hidden: true });
  const turn = el("button", { type: "button", class: "link code", "aria-expanded": "false" }, `${finding.code} ${finding.name}`);
  turn.addEventListener("click", () => {
    page.hidden = !page.hidden;
    turn.setAttribute("aria-expanded", String(!page.hidden));
    if (page.childElementCount) return;
    const origin = [finding.rule && `rule ${finding.rule}`, finding.place, finding.confidence < 1 && `${Math.round(finding.confidence * 100)} % sure`].filter(Boolean);
    page.append(el("p", { class: "aside" }, origin.join(" · ")), ...pageOf(finding.page));
  });
  const examples = finding.examples.length && !finding.keys ? el("p", null, finding.examples.map((e) => [el("code", null, e), " "])) : null;
  return el(
    "li",
    { class: `finding ${finding.accepted ? "accepted" : finding.severity}` },
    el("span", { class: "tag" }, finding.accepted ? "accepted" : finding.severity),
    el("div", { class: "what" }, el("b", null, prose(finding.message)), finding.help ? el("p", null, prose(finding.help)) : null, finding.accepted ? el("p", null, `accepted by ${finding.accepted}`) : null, examples),
    el("div", { class: "more" }, turn, finding.keys && showFinding ? el("button", { type: "button", class: "link show", onclick: () => showFinding(i) }, `show ${plural(finding.keys, "key")}`) : null),
    page,
  );
}

/** The page of a code: headings, paragraphs and blocks of code. */
function pageOf(text) {
  const blocks = text.replace(/^# .*\n+/, "").split(/\n\n+/);
  return blocks.map((block) => {
    if (block.startsWith("#")) return el("h3", null, block.replace(/^#+ */, ""));
    if (block.startsWith("```")) return el("pre", null, block.replace(/^```.*\n|\n```$/g, ""));
    return el("p", null, prose(block));
  });
}

/** Renames and drops that the page lists. */
const RULES = 200;

function fixOf({ renames, drops, fix }) {
  if (!renames.length && !drops.length && !fix) return null;
  const row = (verb, pattern, to, n) =>
    el("tr", null, el("td", null, verb), el("td", null, el("code", null, pattern)), el("td", null, to === null ? "" : ["→ ", to === "" ? "nothing" : el("code", null, to)]), el("td", { class: "number" }, plural(n, "key")));
  const rules = [...renames.map(([pattern, to, n]) => ["rename", pattern, to, n]), ...drops.map(([pattern, n]) => ["drop", pattern, null, n])];
  const short = rules.length > 0 && rules.length <= 6 && rules.every(([, pattern]) => pattern.length < 120);
  const title = [renames.length && plural(renames.length, "rename"), drops.length && plural(drops.length, "drop")].filter(Boolean).join(", ");
  const table = rules.length ? el("div", { class: "wide" }, el("table", null, el("tbody", null, rules.slice(0, RULES).map((rule) => row(...rule))))) : null;
  const more = rules.length > RULES ? el("p", { class: "aside" }, `${count(rules.length - RULES)} more are in --format json`) : null;
  const code = fix ? [copyButton(fix, "the code"), el("pre", { class: "code" }, fix)] : null;
  if (!rules.length) return el("details", { class: "fix" }, el("summary", null, "The fix, as Python"), code);
  return el("details", { class: "fix", open: short }, el("summary", null, `The fix: ${title}`), table, more, code && el("details", null, el("summary", null, "as Python"), code));
}
