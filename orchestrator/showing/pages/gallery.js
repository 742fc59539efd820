"use strict";
// Images side by side: one case, one plane, one window; zoom and place are common to all.
(() => {
  const data = document.getElementById("gallery-data");
  if (!data) return;
  const cases = JSON.parse(data.textContent), root = document.getElementById("viewer");
  const of = (name) => root.querySelector(`[data-of="${name}"]`);
  const [choose, plane, difference, zoom, mode, one, other, tiles] =
    ["case", "view", "difference", "zoom", "mode", "one", "other", "tiles"].map(of);
  let scale = 1, x = 0, y = 0, edge = 0.5, timer = null; // x, y: the visible part's corner, as shares of the image
  const five = (value) => String(Number(value.toPrecision(5)));
  const view = () => cases[choose.selectedIndex].views[Math.max(0, plane.selectedIndex)];

  const place = () => {
    const most = 1 - 1 / scale;
    x = Math.min(Math.max(x, 0), most);
    y = Math.min(Math.max(y, 0), most);
    for (const image of tiles.querySelectorAll("img")) image.style.transform = `scale(${scale}) translate(${-100 * x}%, ${-100 * y}%)`;
    for (const frame of tiles.querySelectorAll(".curtain")) {
      // The clip is in the image's own coordinates, which zoom and place have moved.
      const cut = 100 * (x + edge / scale);
      frame.children[1].style.clipPath = `inset(0 0 0 ${cut}%)`;
      frame.children[2].style.left = `${100 * edge}%`;
    }
  };
  const zoomed = (wanted, across, down) => {
    const before = scale;
    scale = Math.min(Math.max(wanted, Number(zoom.min)), Number(zoom.max));
    zoom.value = scale;
    x += across * (1 / before - 1 / scale);
    y += down * (1 / before - 1 / scale);
    place();
  };
  const moved = (frame) => {
    const fingers = new Map();
    const share = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomed(scale * (event.deltaY < 0 ? 1.2 : 1 / 1.2), ...share(event));
    }, { passive: false });
    frame.onpointerdown = (event) => { frame.setPointerCapture(event.pointerId); fingers.set(event.pointerId, share(event)); };
    frame.onpointerup = frame.onpointercancel = (event) => fingers.delete(event.pointerId);
    frame.onpointermove = (event) => {
      const now = share(event), before = fingers.get(event.pointerId);
      if (!before) {
        if (frame.classList.contains("curtain") && event.pointerType === "mouse") { edge = now[0]; place(); }
        return;
      }
      const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      fingers.set(event.pointerId, now);
      if (others.length) {
        const apart = ([a, b], [c, d]) => Math.hypot(a - c, b - d);
        zoomed(scale * apart(now, others[0]) / (apart(before, others[0]) || 1), (now[0] + others[0][0]) / 2, (now[1] + others[0][1]) / 2);
      } else if (frame.classList.contains("curtain") && scale === 1) { edge = now[0]; place(); }
      else {
        x -= (now[0] - before[0]) / scale;
        y -= (now[1] - before[1]) / scale;
        place();
      }
    };
  };
  const source = (tile) => (difference.checked && tile.difference) || tile.image;
  const picture = (tile) => Object.assign(new Image(), { src: source(tile), alt: tile.label, draggable: false });
  const framed = (label, under, ...parts) => {
    const tile = document.createElement("div"), name = document.createElement("b"), more = document.createElement("small"), frame = document.createElement("div");
    const { rows, columns } = view();
    tile.className = "tile";
    frame.className = "frame";
    frame.style.aspectRatio = `${columns} / ${rows}`;
    name.textContent = label;
    more.textContent = under;
    frame.append(...parts);
    tile.append(name, more, frame);
    moved(frame);
    tiles.append(tile);
    return frame;
  };
  const draw = () => {
    clearInterval(timer);
    tiles.replaceChildren();
    const shown = view(), all = shown.tiles, over = mode.value !== "";
    tiles.classList.toggle("over", over);
    if (over) {
      const [a, b] = [all[one.selectedIndex], all[other.selectedIndex]];
      const frame = framed(`${a.label} | ${b.label}`, mode.value === "curtain" ? "left of the line the first, right of it the second" : "", picture(a), picture(b));
      if (mode.value === "curtain") {
        frame.classList.add("curtain");
        frame.append(Object.assign(document.createElement("div"), { className: "edge" }));
      } else {
        const label = frame.parentNode.firstChild, top = frame.children[1];
        let second = true;
        const turn = () => {
          second = !second;
          top.style.visibility = second ? "visible" : "hidden";
          label.textContent = second ? b.label : a.label;
        };
        turn();
        timer = setInterval(turn, 600);
      }
    } else for (const tile of all) framed(tile.label, tile.under, picture(tile));
    for (const label of root.querySelectorAll(".pair")) label.hidden = !over;
    difference.disabled = shown.limit === null;
    of("window").textContent = `${cases[choose.selectedIndex].title}${shown.name ? `, ${shown.name}` : ""}: every image from ${five(shown.window[0])} (black) to ${five(shown.window[1])} (white), ${shown.rows} × ${shown.columns} pixels`;
    of("scale").hidden = !(difference.checked && shown.limit !== null);
    if (shown.limit !== null) {
      of("low").textContent = five(-shown.limit);
      of("high").textContent = `${five(shown.limit)}, the same for all trials`;
    }
    place();
  };
  const names = () => {
    for (const [list, wanted] of [[one, 0], [other, view().tiles.length - 1]]) {
      const before = list.selectedIndex;
      list.replaceChildren(...view().tiles.map((tile) => new Option(tile.label)));
      list.selectedIndex = before >= 0 && before < list.length ? before : wanted;
    }
    draw();
  };
  const planes = () => {
    const before = plane.selectedIndex, { views } = cases[choose.selectedIndex];
    plane.replaceChildren(...views.map((found) => new Option(found.name || "the image")));
    plane.selectedIndex = before >= 0 && before < views.length ? before : 0;
    root.querySelector(".views").hidden = views.length < 2;
    names();
  };
  choose.replaceChildren(...cases.map((found) => new Option(found.case)));
  choose.onchange = planes;
  plane.onchange = names;
  difference.onchange = mode.onchange = one.onchange = other.onchange = draw;
  zoom.oninput = () => zoomed(Number(zoom.value), 0.5, 0.5);
  of("reset").onclick = () => { x = y = 0; zoomed(1, 0, 0); };
  planes();
})();
