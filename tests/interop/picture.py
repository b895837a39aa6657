"""Takes the picture of the page that the README shows: `picture.py CKDIFF examples/report.png`, in the environment of the interop test."""

import pathlib
import subprocess
import sys
import tempfile

from PIL import Image

from browser import Browser

PAIR = ["examples/05-check/densenet121-a639ec97.pth", "examples/05-check/expected.json"]


def main(ckdiff, out):
    with tempfile.TemporaryDirectory() as folder, Browser(1320, 1040) as browser:
        page = pathlib.Path(folder, "report.html")
        page.write_bytes(subprocess.run([ckdiff, *PAIR, "--format", "html"], stdout=subprocess.PIPE, check=False).stdout)
        browser.open(page)
        browser.settle()
        browser.press("/", "denselayer1.norm2")
        browser.press("Enter", "Down", "Down")
        browser.run("window.scrollTo(0, 0)")
        browser.settle()
        browser.picture(pathlib.Path(out))
    # A page of text and flat colours has few colours; as a palette it takes a third of the bytes.
    Image.open(out).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
