"""Whether what is shown fits: measured by the browser, for any page."""

from playwright.sync_api import Page

# Words in the sense of the reader: letters, with their punctuation. Names of deliveries, keys and digests are taken
# apart where the line ends: they have no syllables.
_BROKEN = """() => {
  const broken = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const within = text.parentElement;
    if (!within.checkVisibility() || within.closest("pre, code, svg, .skip")) continue;
    for (const { 0: word, index } of text.data.matchAll(/[\\p{L}\\u2019']{2,22}/gu)) {
      const before = text.data[index - 1] ?? " ", after = text.data[index + word.length] ?? " ";
      if (!/[\\s(\\u00ab\\u201c]/.test(before) || !/[\\s.,;:!?)\\u00bb\\u201d\\u2026]/.test(after)) continue;
      const range = document.createRange();
      range.setStart(text, index);
      range.setEnd(text, index + word.length);
      const lines = new Set([...range.getClientRects()].filter((r) => r.width).map((r) => Math.round(r.top)));
      if (lines.size > 1) broken.push(word);
    }
  }
  return broken;
}"""
# What is wider than the window and does not scroll by itself; and what is written over the edge of its own cell.
_WIDE = """() => {
  const edge = document.documentElement.clientWidth + 1;
  const scrolls = (e) => e.closest(".scroll, .drawing, pre");
  const shown = (e) => e.checkVisibility() && !e.closest(".skip") && getComputedStyle(e).clipPath === "none";
  const found = [...document.querySelectorAll("body *")].filter((e) =>
    shown(e) && !scrolls(e) && e.getBoundingClientRect().right > edge);
  const over = [...document.querySelectorAll("td, th, button, .badge, .figures dd, dt, dd")].filter((e) =>
    shown(e) && e.clientWidth && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline");
  return [...found, ...over].map((e) => `${e.tagName} ${e.textContent.trim().slice(0, 30)}`).slice(0, 5);
}"""


def misfits(page: Page, name: str) -> list[str]:
    """Words that are written letter by letter, and what is wider than its place; at the size that the page has."""
    size = page.viewport_size
    assert size is not None
    found = [f"{name} {size['width']}: the word {word!r} is taken apart" for word in page.evaluate(_BROKEN)]
    if page.evaluate("document.documentElement.scrollWidth") > size["width"]:
        found.append(f"{name} {size['width']}: the page is wider than the window")
    return found + [f"{name} {size['width']}: wider than its place: {what}" for what in page.evaluate(_WIDE)]
