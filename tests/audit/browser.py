"""Would catch: a report that is blank, unreadable in the dark or in print, that runs off a narrow screen, asks the network for
anything, brings a script, or makes a browser complain; a page whose tags do not close or whose plots hold numbers that are none.

usage: browser.py SEALGRAD MAKE_FIXTURE [FOLDER]. With FOLDER the pictures stay there. Exit status 77: there is no chromium; what
can be checked without one has been checked then.
"""
import collections
import html.parser
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

sealgrad, make_fixture = sys.argv[1:3]
chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
VOID = {"meta", "br", "img", "hr", "path", "circle"}


class Page(html.parser.HTMLParser):
    """Tags that close, and which there are."""
    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes = [], collections.Counter(), []
        self.feed(text)
        assert not self.open, "left open: %s" % self.open

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes += [(tag, k, v) for k, v in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes += [(tag, k, v) for k, v in attributes]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, "</%s> closes nothing" % tag


def check_text(name, text):
    page = Page(text)
    forbidden = {"script", "link", "iframe", "object", "embed", "img", "base", "form", "use", "image", "foreignobject"}
    assert not forbidden & set(page.tags), (name, forbidden & set(page.tags))
    for tag, key, value in page.attributes:
        assert not key.startswith("on") and key not in ("src", "href", "srcset", "action"), (name, tag, key)
        if tag in ("path", "circle") and key in ("d", "cx", "cy"):
            assert re.fullmatch(r"[MLHVhvz0-9. \-]*", value), (name, tag, value[:80])
    assert not re.search(r"url\(|@import|https?://", text), name
    body = re.sub(r"<style>.*?</style>", "", text, flags=re.S)
    assert body.index('class="verdict') < body.index("<h2>"), "%s: the verdict does not come first" % name
    return page


def read_png(path):
    """Rows of (r, g, b) of an 8-bit picture, by the format's own rules."""
    data = open(path, "rb").read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    at, packed = 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", data[at + 8:at + 18])
        if kind == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += size + 12
    assert depth == 8 and colour in (2, 6)
    n = 3 if colour == 2 else 4
    raw, line, rows = zlib.decompress(packed), bytearray(width * n), []
    for y in range(height):
        kind, row = raw[y * (width * n + 1)], bytearray(raw[y * (width * n + 1) + 1:(y + 1) * (width * n + 1)])
        if kind == 1:
            for i in range(n, len(row)):
                row[i] = row[i] + row[i - n] & 255
        elif kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, line))
        elif kind == 3:
            for i in range(len(row)):
                row[i] = row[i] + ((row[i - n] if i >= n else 0) + line[i]) // 2 & 255
        elif kind == 4:
            for i in range(len(row)):
                a, b, c = (row[i - n] if i >= n else 0), line[i], (line[i - n] if i >= n else 0)
                p = a + b - c
                near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))
                row[i] = row[i] + near[2] & 255
        rows.append([tuple(row[i:i + 3]) for i in range(0, len(row), n)])
        line = row
    return rows


def check_picture(name, path, dark):
    rows = read_png(path)
    colours = collections.Counter(pixel for row in rows[::2] for pixel in row[::2])
    paper, n_paper = colours.most_common(1)[0]
    share = n_paper / sum(colours.values())
    ink = sum(n for (r, g, b), n in colours.items() if (b - r > 60))
    assert max(paper) < 60 if dark else min(paper) > 230, (name, "paper", paper)
    assert .5 < share < .99 and len(colours) > 20, (name, "blank?", share, len(colours))
    strongest = max(abs(sum(c) - sum(paper)) for c, n in colours.items() if n > 20)
    assert strongest > 450, (name, "text hardly differs from the paper", strongest)
    edge = collections.Counter(row[-1] for row in rows)  # what runs off the screen shows in its last column
    assert edge[paper] > .97 * len(rows), (name, "something runs off the right edge", edge.most_common(3))
    return ink


def browse(folder, arguments):
    net = os.path.join(folder, "net.json")
    done = subprocess.run([chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                           "--disable-background-networking", "--disable-component-update", "--disable-sync",
                           "--disable-default-apps", "--disable-extensions", "--no-pings", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
                           "--log-net-log=" + net, "--user-data-dir=" + os.path.join(folder, "profile"), *arguments],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=100, check=True)
    complaints = [l for l in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in l]
    assert not complaints, complaints
    asked = set(re.findall(r'"url":"((?:https?|wss?):[^"]*)"', open(net, errors="replace").read()))
    own = {u for u in asked if re.match(r"https?://[a-z0-9.-]*\.(google|googleapis|gstatic|gvt1)\.com[/:]", u)}  # the browser's
    assert not asked - own, asked - own


def main():
    folder = tempfile.mkdtemp()
    kept = sys.argv[3] if len(sys.argv) > 3 else folder
    try:
        subprocess.run([make_fixture, folder, "programme"], check=True)
        ledger, policy, pages = folder + "/ledger.db", folder + "/policy", {}
        subjects = {"ledger": [], "run": ["1"], "failed": ["6"], "model": ["a" * 64], "dataset": ["book"]}
        for name, subject in subjects.items():
            pages[name] = kept + "/" + name + ".html"
            subprocess.run([sealgrad, "ledger", "report", ledger, *subject, "--trust", policy, "--html", "--out", pages[name]],
                           check=True)
        for pack in ("annex-iv", "mrm", "dora"):
            pages[pack] = kept + "/" + pack + ".html"
            subprocess.run([sealgrad, "ledger", "report", ledger, pack, "1", "--trust", policy, "--html", "--out", pages[pack]],
                           check=True)
        plots = {name: check_text(name, open(path).read()).tags["svg"] for name, path in pages.items()}
        # epsilon, ROC, calibration, scores, AUC over the steps, and the budget; the failed run has two of them, and says so.
        assert (plots["run"], plots["model"], plots["failed"], plots["dataset"]) == (6, 6, 2, 1), plots
        assert open(pages["failed"]).read().count("not recorded for this run") == 2
        assert "rescinded" in open(pages["mrm"]).read()
        if not chromium:
            print("skipped: no chromium; the pages' text was checked")
            return 77
        looks = [("light", name, []) for name in ("ledger", "run", "dataset", "mrm")]
        looks += [("dark", name, ["--blink-settings=preferredColorScheme=0"]) for name in ("run",)]
        looks += [("narrow", name, []) for name in ("run", "dataset")]
        for look, name, flags in looks:
            picture = "%s/%s-%s.png" % (kept, name, look)
            size = "--window-size=%d,%d" % (500 if look == "narrow" else 900, 2200 if name == "run" else 1300)
            browse(folder, ["--screenshot=" + picture, size, *flags, "file://" + pages[name]])
            ink = check_picture(name + ", " + look, picture, look == "dark")
            assert name not in ("run", "dataset") or ink > 100, (name, look, "no plot is seen", ink)
        for name in ("run", "ledger"):
            paper = "%s/%s.pdf" % (kept, name)
            browse(folder, ["--no-pdf-header-footer", "--print-to-pdf=" + paper, "file://" + pages[name]])
            data = open(paper, "rb").read()
            n_pages = len(re.findall(rb"/Type\s*/Page\b", data))
            assert data.startswith(b"%PDF") and 1 <= n_pages <= 12 and len(data) > 10000, (name, n_pages, len(data))
        print("%d pages, %d pictures, 2 prints" % (len(pages), len(looks)))
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
