// Copyright The extauth-guard Authors.
// SPDX-License-Identifier: Apache-2.0

// What is wrong with how the page is laid out, a sentence each. Nothing here depends on
// the fonts that a machine has. touch is true where people have fingers and no pointer.
(touch => {
  const complaints = [];
  const say = (element, what) => complaints.push(`${element.localName}${element.id ? "#" + element.id : ""} "${element.textContent.trim().slice(0, 30)}": ${what}`);
  const scrolls = element => element && (["auto", "scroll"].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
  const screen = document.documentElement.clientWidth;
  const shown = element => element.checkVisibility({ visibilityProperty: true });
  const everything = [...document.body.querySelectorAll("*")].filter(shown);

  if (document.documentElement.scrollWidth > screen) complaints.push("the page is wider than the screen");
  for (const element of everything) {
    const box = element.getBoundingClientRect();
    if (box.width > 0 && (box.right > screen + 1 || box.left < -1) && !scrolls(element)) say(element, "runs off the screen");
  }

  // Short words that are broken, and lines of text that lie over one another.
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const lines = [];
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(parent)) continue;
    const range = document.createRange();
    for (const word of walker.currentNode.data.matchAll(/(?<!\S)[A-Za-z]{2,11}(?!\S)/g)) {
      range.setStart(walker.currentNode, word.index);
      range.setEnd(walker.currentNode, word.index + word[0].length);
      if (range.getClientRects().length > 1) say(parent, `breaks within "${word[0]}"`);
    }
    range.selectNodeContents(walker.currentNode);
    for (const box of range.getClientRects()) if (box.width > 0) lines.push({ parent, box });
  }
  lines.sort((a, b) => a.box.top - b.box.top);
  lines.forEach((one, at) => {
    for (const other of lines.slice(at + 1)) {
      if (other.box.top >= one.box.bottom - 4) break;
      const wide = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      if (wide > 2 && !scrolls(one.parent) && !scrolls(other.parent)) say(one.parent, `lies over "${other.parent.textContent.trim().slice(0, 30)}"`);
    }
  });

  // Contrast, as WCAG 2.2 measures it: 4.5 for text.
  const channels = text => text.match(/[\d.]+/g).map(Number);
  const light = colour => {
    const [red, green, blue] = channels(colour).slice(0, 3).map(value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = element => {
    if (!element) return "rgb(255, 255, 255)";
    const colour = getComputedStyle(element).backgroundColor;
    return channels(colour)[3] === 0 ? behind(element.parentElement) : colour;
  };
  for (const { parent } of lines) {
    if (parent.closest(":disabled")) continue;
    const [dark, bright] = [light(getComputedStyle(parent).color), light(behind(parent))].sort((a, b) => a - b);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < 4.5) say(parent, `has a contrast of ${contrast.toFixed(1)}, and 4.5 is the least`);
  }

  // What is touched is at least 24 pixels high and wide (WCAG 2.2, 2.5.8); a link within
  // a sentence is as high as the sentence.
  if (touch) {
    for (const element of everything.filter(one => one.matches("button, input, select, summary"))) {
      const box = element.getBoundingClientRect();
      if (box.height < 24 || box.width < 24) say(element, `is ${box.width.toFixed()} by ${box.height.toFixed()} pixels, too small for a finger`);
    }
  }
  return [...new Set(complaints)];
})
