// The page: light and dark, the list of subjects, the keys that work everywhere.

const themes = matchMedia("(prefers-color-scheme: dark)");
const chosenTheme = () => document.documentElement.dataset.theme || (themes.matches ? "dark" : "light");

function setUpTheme() {
  const button = byId("theme");
  try {
    const kept = localStorage.getItem("ckdiff-theme");
    if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
  } catch {
    // A page opened from a file may have no storage; the system's choice is as good.
  }
  const show = () => (button.textContent = chosenTheme() === "dark" ? "☀" : "☾");
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = chosenTheme() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("ckdiff-theme", document.documentElement.dataset.theme);
    } catch {
      // Not kept, then.
    }
    show();
  });
  themes.addEventListener("change", show);
  show();
}

const subjects = parsed("data-list");
const views = new Map();
let current = null;

function open(i) {
  if (!views.has(i)) views.set(i, viewOf(i));
  current = views.get(i);
  byId("main").replaceChildren(current.element);
  byId("title").textContent = subjects[i].title;
  for (const button of byId("subjects").querySelectorAll("button")) {
    if (+button.dataset.subject === i) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  current.start?.();
}

function setUpSubjects() {
  if (subjects.length < 2) return;
  const nav = byId("subjects");
  nav.hidden = false;
  document.body.classList.add("many");
  nav.append(...subjects.map((subject, i) => el("button", { type: "button", "data-subject": i, class: subject.holds ? "good" : "bad", onclick: () => open(i) }, el("span", { class: "dot", "aria-hidden": "true" }), el("span", null, el("b", null, subject.title), el("small", null, subject.tally || subject.words)))));
}

document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName)) return;
  if (!current?.search) return;
  event.preventDefault();
  current.search.focus();
  current.search.select();
});

setUpTheme();
setUpSubjects();
if (subjects.length) open(Math.max(0, subjects.findIndex((subject) => !subject.holds)));
