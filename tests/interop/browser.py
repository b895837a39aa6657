"""A headless Chromium, driven over the WebDriver protocol (https://www.w3.org/TR/webdriver2/) with nothing but the standard library."""

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request

KEYS = {name: chr(0xE000 + code) for name, code in {
    "Tab": 0x04, "Enter": 0x07, "Escape": 0x0C, "PageUp": 0x0E, "PageDown": 0x0F, "End": 0x10, "Home": 0x11,
    "Left": 0x12, "Up": 0x13, "Right": 0x14, "Down": 0x15}.items()}

# Without the flags about networking Chromium looks for updates and for hosts of its maker, which a closed network refuses.
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
         "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en"]


def programs():
    """Paths of Chromium and its driver; installs Debian's packages where they are absent and that is possible."""
    def found():
        browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        return browser, shutil.which("chromedriver")

    if not all(found()) and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium", "chromium-driver"],
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, **quiet)
    browser, driver = found()
    if not (browser and driver):
        raise RuntimeError("the page is tried in Chromium: install chromium and its driver (Debian: chromium chromium-driver)")
    return browser, driver


class Browser:
    """One window. Use as a context manager: it ends what it started."""

    def __init__(self, width=1400, height=950, dark=False):
        self.flags = FLAGS + [f"--window-size={width},{height}"]
        self.dark = dark

    def __enter__(self):
        browser, driver = programs()
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.driver = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            for line in self.driver.stdout:
                if port := re.search(r"successfully on port (\d+)", line):
                    break
            self.base = f"http://127.0.0.1:{port[1]}"
            options = {"binary": browser, "args": self.flags + [f"--user-data-dir={self.profile.name}"]}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
            self.base += f"/session/{session['sessionId']}"
            features = [{"name": "prefers-color-scheme", "value": "dark" if self.dark else "light"}]
            self.devtools("Emulation.setEmulatedMedia", features=features)
        except BaseException:
            self.driver.kill()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait(20)
            self.profile.cleanup()

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=90) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {json.load(error)['value']['message'][:500]}") from None

    def devtools(self, command, **parameters):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path):
        self._call("POST", "/url", {"url": path.resolve().as_uri()})

    def run(self, script, *arguments):
        """What a piece of JavaScript returns; a promise is waited for."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def settle(self):
        """Waits for what the page does after a moment of quiet (the search), and for the next picture."""
        self.run("return new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done(1))), 200))")

    def press(self, *names):
        """Keys by name (`Down`), or a text."""
        typed = [c for name in names for c in ([KEYS[name]] if name in KEYS else name)]
        steps = [{"type": kind, "value": c} for c in typed for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": steps}]})
        self.settle()

    def click(self, selector):
        # By the mouse, and not by a script: what lies behind something else cannot be clicked.
        place = self.run("const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center', behavior: 'instant'});"
                         "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2].map(Math.round)", selector)
        steps = [{"type": "pointerMove", "x": place[0], "y": place[1], "duration": 0},
                 {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": steps}]})
        self.settle()

    def complaints(self):
        """What stands in the console since the last call: errors, warnings, refused requests."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def picture(self, path):
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))
