// Elements, numbers and words. Text from files is only ever set as text, never as markup.

const byId = (id) => document.getElementById(id);

/** An element with attributes; `on…` adds a listener, `false` and `null` leave an attribute out. */
function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const count = (n) => n.toLocaleString("en");
const plural = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;

/** Text in which what stands between backticks is code. */
function prose(text) {
  const parts = text.split("`");
  if (parts.length % 2 === 0) return [text];
  return parts.map((part, i) => (i % 2 ? el("code", null, part) : part));
}

/** A button that copies a text. */
function copyButton(text, label) {
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy ${label}` }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      button.textContent = "cannot copy here";
    }
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
  return button;
}

/** Calls `work` once for many calls in a row. */
function later(work, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
}
