"""The page of `--format html` in a real Chromium: it opens fast and in silence, and can be used by mouse and by keyboard."""

import json
import pathlib
import time

import formats
from browser import Browser

ROOT = pathlib.Path(__file__).resolve().parents[2]
SEED = [ROOT / "examples/01-backbone-prefix/retinanet_efficientvit_m4.pth", ROOT / "examples/01-backbone-prefix/expected.json"]
MIXED = [ROOT / "tests/formats/checkpoint.json", ROOT / "tests/formats/expected.json"]
# Seconds from the request until the tree can be used. What it takes here is a third of that.
OPEN_WITHIN = 2.0


def write(ckdiff, path, *arguments):
    path.write_text(ckdiff._run(*arguments, "--format", "html").stdout, encoding="utf-8")
    return path


def large(folder):
    """Two lists of keys of the size of the largest models: 45 layers of 512 experts, apart on one side, stacked on the other."""
    apart, stacked = {}, {}
    for layer in range(45):
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate"):
            for side, prefix in ((apart, "model."), (stacked, "language_model.")):
                side[f"{prefix}layers.{layer}.{name}.weight"] = ["BF16", [2048, 2048]]
        for expert in range(512):
            for name, shape in (("gate_proj", [512, 2048]), ("up_proj", [512, 2048]), ("down_proj", [2048, 512])):
                apart[f"model.layers.{layer}.mlp.experts.{expert}.{name}.weight"] = ["BF16", shape]
                stacked[f"language_model.layers.{layer}.mlp.experts.{expert}.{name}.weight"] = ["BF16", shape]
    out = []
    for name, side in (("source", apart), ("target", stacked)):
        rows = [f"{json.dumps(k)}: {json.dumps({'dtype': d, 'shape': s})}" for k, (d, s) in side.items()]
        out.append(folder / f"{name}.json")
        out[-1].write_text("{\n" + ",\n".join(rows) + "\n}\n")
    return out, len(apart)


SELECTED = "return document.querySelector('[aria-selected=true]')"
LABELS = SELECTED + "?.querySelectorAll('.label') ? [..." + SELECTED[7:] + ".querySelectorAll('.label')].map(e => e.textContent) : null"


def check_the_seed(checks, ckdiff, folder):
    page = write(ckdiff, folder / "seed.html", *SEED)
    with Browser() as browser:
        browser.open(page)
        browser.settle()
        checks.equal(browser.run("return document.title.endsWith('ckdiff') && document.querySelector('.answer strong').textContent"),
                     "loads after the fix, not as it is", "page: the answer stands at the top")
        checks.equal(browser.run("return [...document.querySelectorAll('.chip')].map(e => e.textContent)"),
                     ["renamed692", "unexpected38"], "page: the filters count the keys")
        checks.equal(browser.run(LABELS), ["backbone.", "all keys"], "page: the model stands beside the prefix it is found under")
        # By keyboard alone: into the tree, down, fold and unfold.
        browser.run("document.querySelector('#tree').focus()")
        browser.press("Down")
        checks.equal(browser.run(LABELS), ["patch_embed.", "patch_embed."], "page: the arrow goes to the next row")
        rows = "return +document.querySelector('#tree').getAttribute('aria-rowcount')"
        before = browser.run(rows)
        browser.press("Left")
        folded = browser.run(rows)
        browser.press("Right")
        checks.that(folded < before and browser.run(rows) == before, "page: left folds and right unfolds", f"{before} {folded}")
        browser.press("End")
        checks.equal(browser.run("const r = document.getElementById(document.querySelector('#tree').getAttribute('aria-activedescendant'));"
                                 "const a = r.getBoundingClientRect(), b = document.querySelector('.scroll').getBoundingClientRect();"
                                 "return a.top >= b.top - 1 && a.bottom <= b.bottom + 1"), True, "page: the last row is scrolled to")
        browser.press("/", "qkvs.0.c.weight")
        checks.that(browser.run("return document.activeElement.id") == "search", "page: / goes to the search")
        browser.press("Enter")
        checks.that("qkvs.0.c.weight" in browser.run("return document.querySelector('.detail code').textContent"),
                    "page: Enter goes to the first key that fits", browser.run("return document.querySelector('.detail').textContent"))
        browser.press("/")
        browser.press("Escape")
        browser.click(".finding:last-child .show")
        checks.equal(browser.run("return document.querySelector('.status').textContent"), "38 keys shown",
                     "page: a finding shows its keys")
        checks.equal(browser.complaints(), [], "page: nothing in the console")


def check_colours(checks, ckdiff, folder):
    page = write(ckdiff, folder / "mixed.html", *MIXED)
    light = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0) > 384"
    for dark in (False, True):
        with Browser(dark=dark) as browser:
            browser.open(page)
            checks.equal(browser.run(light), not dark, f"page: {'dark' if dark else 'light'} where the system is")
            browser.click("#theme")
            checks.equal(browser.run(light), dark, "page: the button turns it")
            # What is written must be readable: 4.5 to 1 is what WCAG asks for.
            checks.equal(browser.run(CONTRAST), [], f"page: contrast {'light' if dark else 'dark'}")
            checks.equal(browser.complaints(), [], "page: nothing in the console")


# Texts whose contrast with the colour behind them is below 4.5.
CONTRAST = """
const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return c.startsWith('color(srgb') ? [m[0]*255, m[1]*255, m[2]*255, m[3] ?? 1] : [m[0], m[1], m[2], m[3] ?? 1]; };
const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const behind = e => { if (!e) return [255, 255, 255, 1]; const c = parse(getComputedStyle(e).backgroundColor); return c[3] === 1 ? c : over(c, behind(e.parentElement)); };
const low = [];
for (const e of document.querySelectorAll('main *')) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.offsetParent) continue;
  const back = behind(e), front = over(parse(getComputedStyle(e).color), back);
  const [a, b] = [light(front.slice(0, 3)), light(back.slice(0, 3))].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) low.push([e.className || e.tagName, e.textContent.slice(0, 20), +((a + 0.05) / (b + 0.05)).toFixed(2)]);
}
return low.slice(0, 8);
"""


def seconds_to_open(browser, page):
    start = time.monotonic()
    browser.open(page)
    browser.run("return new Promise(done => requestAnimationFrame(() => done(1)))")
    return time.monotonic() - start


def check_a_large_pair(checks, ckdiff, folder):
    pair, keys = large(folder)
    page = write(ckdiff, folder / "large.html", *pair)
    with Browser() as browser:
        browser.open(write(ckdiff, folder / "small.html", *MIXED))  # Chromium's own start is not the page's.
        took = min(seconds_to_open(browser, page) for _ in range(3))  # Whatever else the machine does is not the page's.
        print(f"interop: the page of {keys:,} keys on each side ({page.stat().st_size / 1e6:.1f} MB) opens in {took:.2f} s")
        checks.that(took < OPEN_WITHIN, "page: a large pair opens fast", f"{took:.2f} s")
        checks.that(browser.run("return document.querySelectorAll('.layer .row').length") > 2, "page: a large pair has rows")
        browser.press("/", "layers.44.mlp.experts.511.down")
        checks.equal(browser.run("return document.querySelector('.status').textContent"), "1 key shown", "page: one of many keys is found")
        browser.press("Enter")
        checks.equal(browser.run("return [...document.querySelectorAll('.detail code')].slice(0, 2).map(e => e.textContent)"),
                     [f"{p}.layers.44.mlp.experts.511.down_proj.weight" for p in ("model", "language_model")],
                     "page: both names of the key that was found are told")
        browser.press("/")
        browser.press("Escape")
        browser.run("document.querySelector('.folds .tool').click()")
        browser.settle()
        checks.that(browser.run("return document.querySelectorAll('.row').length") < 100, "page: only what is seen is built")
        checks.equal(browser.complaints(), [], "page: nothing in the console")


def check_hostile_names(checks, ckdiff, folder):
    names = ["</script><script>window.hit=1</script>", "<img src=x onerror=window.hit=1>", "a\u202eb", "{{script}}", "`x`|y", "." * 3000]
    source, target = folder / "h.json", folder / "i.json"
    source.write_text(json.dumps({f"m.{n}.w": [1] for n in names}))
    target.write_text(json.dumps({f"n.{n}.w": [1] for n in names} | {"z": [2]}))
    page = write(ckdiff, folder / "hostile.html", source, target)
    with Browser() as browser:
        browser.open(page)
        browser.run("document.querySelector('.folds .tool').click()")
        browser.settle()
        checks.equal(browser.run("return [window.hit, document.querySelectorAll('img').length]"), [None, 0], "page: a name is never markup")
        checks.equal(browser.complaints(), [], "page: nothing in the console for hostile names")


def check_a_file(checks, ckdiff, folder):
    page = write(ckdiff, folder / "file.html", "inspect", SEED[0])
    with Browser() as browser:
        browser.open(page)
        browser.settle()
        checks.equal(browser.run("return [...document.querySelectorAll('.chip')].map(e => e.textContent)"), ["F32612", "I64118"],
                     "page: a file has its dtypes as filters")
        checks.equal(browser.complaints(), [], "page: nothing in the console for a file")


def check_many_contracts(checks, ckdiff, folder):
    """What `check` says of a project that does not hold everything it promises, names made to hurt among it."""
    formats.hostile(folder)
    formats.promised(folder)
    page = folder / "check.html"
    page.write_text(formats.written(ckdiff, "html", "check", cwd=folder).stdout, encoding="utf-8")
    with Browser() as browser:
        browser.open(page)
        browser.settle()
        listed = browser.run("return [...document.querySelectorAll('#subjects button')].map(e => [e.querySelector('b').textContent, e.className])")
        checks.equal(listed, [["a|b`c <img src=x> ::error::", "bad"], ["模型 @everyone", "bad"], ["gone", "bad"], ["ckdiff.toml", "good"]],
                     "page: every contract of a check is listed")
        for i, (title, _) in enumerate(listed):
            browser.run(f"document.querySelectorAll('#subjects button')[{i}].click()")
            browser.settle()
            checks.equal(browser.run("return document.querySelector('#title').textContent"), title, "page: a contract is looked at")
            checks.that(browser.run("return document.querySelectorAll('.finding').length") > 0, f"page: {title} has its findings")
        checks.equal(browser.complaints(), [], "page: nothing in the console for a check")


def check_all(checks, ckdiff, folder):
    for check in (check_the_seed, check_colours, check_a_large_pair, check_hostile_names, check_a_file, check_many_contracts):
        with checks.guarded(f"page: {check.__name__}"):
            check(checks, ckdiff, folder)
