(function () {
  "use strict";
  const own = document.currentScript;
  const root = own ? own.closest(".moe-view") : document.getElementById("VIEW_ID");
  const all = (selector, within) => Array.from((within || root).querySelectorAll(selector));
  const part = selector => root.querySelector(selector);
  const data = JSON.parse(part('script[type="application/json"]').textContent);
  const boxes = all(".sample"), tabs = all(".tabs button"), nModels = data.models.length;
  const slider = part("input[type=range]"), toggle = part("input[type=checkbox]");
  const find = part("input[type=search]"), note = part(".note"), help = part(".help");
  const names = {sp: "space", nl: "newline", tab: "tab", hex: "not a printed character"};
  const ATONCE = 40, CONTEXT = 24, RARE = 3;  // hits listed at once; bytes around one; for lift
  let sample = 0, layer = 0, leader = null;
  const here = boxes.map(() => null);  // the token that keyboard or click chose, per text

  // A pane is one text as one model read it; panes of the same text stand side by side.
  const panes = all(".pane").map((node, i) => {
    const cells = all(".text i", node), one = data.samples[i];
    return {
      node, cells, one, k: data.top_k[i], text: node.querySelector(".text"),
      sample: Math.floor(i / nModels), model: data.models[i % nModels],
      kinds: cells.map(cell => cell.className.replace(/^e\d+| drop$/g, "")),
      drops: one.dropped.map(list => new Set(list)),
      values: one.bytes.match(/../g).map(hex => parseInt(hex, 16)),
      legend: all(".legend button", node), panel: node.querySelector(".panel"),
      found: node.querySelector(".found"), tops: node.querySelector(".tops"),
      held: null, pinned: null,  // the expert pointed at; the expert chosen to stay
      hits: [], listed: ATONCE, counts: new Map(),
    };
  });
  const grounds = panes[0].legend.map(button =>
    getComputedStyle(button.querySelector("b")).getPropertyValue("--c"));
  const shown = () => panes.filter(pane => pane.sample === sample);
  const nTokens = () => shown()[0].cells.length;

  function make(tag, name, text) {
    const node = document.createElement(tag);
    if (name) node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  }
  function put(node, text) { if (node.textContent !== text) node.textContent = text; }
  function clamp(value, low, high) { return Math.min(high, Math.max(low, value)); }
  const percent = part => (100 * part).toFixed(1) + "%";

  // What the routers decided ---------------------------------------------------------------------

  function choices(pane, token) {
    const {one, k} = pane, found = [];
    for (let at = token * k; at < (token + 1) * k; at++)
      found.push({expert: one.ids[layer][at], weight: one.thousandths[layer][at] / 1000,
                  dropped: pane.drops[layer].has(at)});
    return found;
  }

  function readBy(pane, expert) {  // the tokens that this layer sends to an expert, with the rank
    const ids = pane.one.ids[layer], found = [];
    for (let at = 0; at < ids.length; at++)
      if (ids[at] === expert)
        found.push({token: Math.floor(at / pane.k), rank: at % pane.k, at});
    return found;
  }

  function countsOf(pane) {  // how often each byte value goes to each expert of this layer
    if (!pane.counts.has(layer)) {
      const counts = new Int32Array(256 * data.experts);
      pane.one.ids[layer].forEach((expert, at) => {
        counts[256 * expert + pane.values[Math.floor(at / pane.k)]]++;
      });
      pane.counts.set(layer, counts);
    }
    return pane.counts.get(layer);
  }

  // Lift: the share of a byte value among what the expert reads, over its share of the text.
  function topTokens(pane, expert, most) {
    const counts = countsOf(pane).subarray(256 * expert, 256 * expert + 256);
    const inText = new Int32Array(256), total = counts.reduce((a, b) => a + b, 0);
    pane.values.forEach(value => { inText[value]++; });
    const tokens = [];
    counts.forEach((count, value) => {
      if (count) tokens.push({value, count,
        lift: (count / total) / (inText[value] / pane.values.length)});
    });
    const byCount = (a, b) => b.count - a.count || a.value - b.value;
    return {count: tokens.slice().sort(byCount).slice(0, most),
            lift: tokens.filter(one => one.count >= RARE)
              .sort((a, b) => b.lift - a.lift || byCount(a, b)).slice(0, most)};
  }

  function spelled(value) {
    const quiet = {32: "␣", 10: "↵", 9: "→"}[value];
    if (quiet) return quiet;
    return value > 32 && value < 127 ? String.fromCharCode(value)
      : value.toString(16).toUpperCase().padStart(2, "0");
  }

  // Drawing --------------------------------------------------------------------------------------

  function paint() {
    boxes.forEach((box, i) => { box.hidden = i !== sample; });
    tabs.forEach((tab, i) => tab.setAttribute("aria-pressed", String(i === sample)));
    slider.value = layer + 1;
    slider.setAttribute("aria-valuetext", data.layers[layer]);
    put(part("output"), data.layers[layer]);
    shown().forEach(paintPane);
  }

  function paintPane(pane) {
    const {one, k, cells, kinds, held} = pane, ids = one.ids[layer];
    put(pane.node.querySelector(".say"), one.say[layer]);
    pane.node.style.setProperty("--held", held === null ? "" : grounds[held]);
    cells.forEach((cell, t) => {
      let name = "e" + ids[t * k] + kinds[t];
      if (pane.drops[layer].has(t * k)) name += " drop";
      if (held !== null) {
        const rank = ids.slice(t * k, t * k + k).indexOf(held);
        if (rank) name += rank > 0 ? " also" : " dim";
      }
      if (t === here[pane.sample]) name += " here";
      if (cell.className !== name) cell.className = name;
    });
    paintLegend(pane);
    list(pane);
    if (pane.tops.open) fillTops(pane);
    if (here[sample] !== null) label(pane, here[sample]);
    show(pane, here[sample]);
  }

  function paintLegend(pane) {
    const counts = pane.one.counts[layer], total = counts.reduce((a, b) => a + b, 0);
    const most = Math.max(2 * total / counts.length, ...counts);
    pane.legend.forEach((button, e) => {
      button.querySelector(".bar span").style.width = (100 * counts[e] / most).toFixed(1) + "%";
      button.querySelector(".even").style.left =
        (100 * total / counts.length / most).toFixed(1) + "%";
      put(button.querySelector(".share"), percent(counts[e] / total));
      put(button.querySelector(".count"), String(counts[e]));
      button.setAttribute("aria-pressed", String(e === pane.pinned));
      button.setAttribute("aria-label", "expert " + e + ": " + percent(counts[e] / total) +
        " of the assignments, " + counts[e] + " of " + total);
    });
  }

  function character(pane, token) {  // where the character of a byte starts, its length, its glyph
    const {kinds, cells} = pane, more = t => t < kinds.length && kinds[t].includes("more");
    let start = token, end = token + 1;
    while (more(start)) start--;
    while (more(end)) end++;
    const kind = kinds[start].trim(), text = cells[start].textContent;
    return {start, kind, size: end - start, glyph: {sp: "␣", nl: "↵", tab: "→"}[kind] || text};
  }

  function describe(pane, token) {
    const value = pane.values[token], char = character(pane, token);
    const hex = value.toString(16).toUpperCase().padStart(2, "0");
    const place = char.size > 1
      ? "byte " + (token - char.start + 1) + " of the " + char.size + " of “" + char.glyph + "”"
      : names[char.kind] || "“" + char.glyph + "”";
    return {char, place, value: "byte value " + value + " (0x" + hex + ")",
            order: "token " + (token + 1) + " of " + pane.cells.length};
  }

  function marginOf(pane, token) {
    const value = pane.one.margins[layer][token];
    return typeof value === "number" ? (value / 1000).toFixed(3) : null;
  }

  function show(pane, token) {
    const panel = pane.panel;
    if (token === null && pane.held !== null) return panel.replaceChildren(...expertNotes(pane));
    if (token === null)
      return panel.replaceChildren(make("p", "hint",
        "Point at a byte to see its experts and combine weights, or press Tab and use the arrow " +
        "keys. Point at an expert to see its bytes. Press ? for all keys."));
    const about = describe(pane, token), head = make("div", "head"), words = make("div");
    words.append(about.place, make("small", "", about.value), make("small", "", about.order));
    head.append(make("div", "glyph", about.char.glyph), words);
    panel.replaceChildren(head, ...choices(pane, token).map(row));
    const margin = marginOf(pane, token);
    if (margin !== null) {
      const line = make("div", "row margin");
      line.append(make("span"), make("span", "", "margin to the next"),
        make("span", "value", margin));
      panel.append(line);
    }
  }
  function showAll(token) { shown().forEach(pane => show(pane, token)); }

  function row(choice) {
    const line = make("div", "row"), bar = make("span", "bar"), fill = make("span");
    fill.style.width = (100 * choice.weight / data.full).toFixed(1) + "%";
    bar.append(fill);
    const text = choice.weight.toFixed(3) + (choice.dropped ? " dropped" : "");
    line.append(make("b", "e" + choice.expert, choice.expert), bar, make("span", "value", text));
    return line;
  }

  function tokenList(what, tokens, number) {
    const line = make("p", "tokens");
    line.append(make("span", "what", what + " "));
    tokens.forEach(one => line.append(make("kbd", "", spelled(one.value)), number(one) + " "));
    if (!tokens.length) line.append("–");
    return line;
  }
  const often = (pane, expert, most) => tokenList("most often:",
    topTokens(pane, expert, most).count, one => "\u2009" + one.count);
  const lifted = (pane, expert, most) => tokenList("above its share:",
    topTokens(pane, expert, most).lift, one => "\u2009×" + one.lift.toFixed(1));

  function expertNotes(pane) {
    const read = readBy(pane, pane.held), first = read.filter(one => !one.rank).length;
    const head = make("div", "head"), words = make("div");
    words.append("chosen for " + read.length + " of " + pane.cells.length + " tokens",
      make("small", "", "filled: largest weight (" + first + ")"),
      make("small", "", "outlined: smaller weight (" + (read.length - first) + ")"));
    head.append(make("div", "chip e" + pane.held, pane.held), words);
    return [head, often(pane, pane.held, 4), lifted(pane, pane.held, 3)];
  }

  function fillTops(pane) {
    const table = make("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    ["expert", "most often (times)", "above its share of the text (lift)"].forEach(text => {
      const cell = make("th", "", text);
      cell.scope = "col";
      head.append(cell);
    });
    for (let e = 0; e < data.experts; e++) {
      const line = body.insertRow(), cell = make("th"), tokens = topTokens(pane, e, 8);
      cell.scope = "row";
      cell.append(make("b", "e" + e, e));
      line.append(cell);
      line.insertCell().append(tokenList("", tokens.count, one => "\u2009" + one.count));
      line.insertCell().append(tokenList("", tokens.lift, one => "\u2009×" + one.lift.toFixed(1)));
    }
    const words = make("p", "", data.layers[layer] + ". A token is a byte. Lift: the byte's share " +
      "of what the expert reads over its share of the text; 1 if the expert did not care. Only " +
      "bytes that it reads at least " + RARE + " times.");
    pane.tops.replaceChildren(pane.tops.firstElementChild, words, table);
  }

  // One expert: pointed at, kept, found ----------------------------------------------------------

  function hold(pane, expert) {
    if (expert === pane.held) return;
    pane.held = expert;
    paintPane(pane);
    if (expert !== null) show(pane, null);
  }

  function keep(pane, expert) {  // hold it until it is let go of, and list what it reads
    pane.pinned = expert;
    pane.listed = ATONCE;
    if (expert === pane.held) paintPane(pane);
    hold(pane, expert);
  }

  function letGo() {
    find.value = "";
    put(note, "");
    shown().forEach(pane => keep(pane, null));
  }

  function list(pane) {  // the tokens of the kept expert, each in its context
    const {found, pinned} = pane;
    pane.hits = pinned === null ? [] : readBy(pane, pinned);
    found.hidden = pinned === null;
    if (pinned === null) return found.replaceChildren();
    const head = make("p", "head"), n = pane.hits.length;
    const first = pane.hits.filter(one => !one.rank).length;
    head.append(make("b", "e" + pinned, pinned), data.layers[layer] + ", expert " + pinned +
      " reads " + n + " of " + pane.cells.length + " tokens, " + first + " with the largest weight");
    const lines = pane.hits.slice(0, pane.listed).map(hit => inContext(pane, hit));
    found.replaceChildren(head, often(pane, pinned, 8), lifted(pane, pinned, 8), ...lines);
    if (n > pane.listed) {
      const more = make("button", "more-hits", (n - pane.listed) + " more");
      more.type = "button";
      more.addEventListener("click", () => { pane.listed += 5 * ATONCE; list(pane); });
      found.append(more);
    }
  }

  function written(pane, from, to) {
    let text = "";
    for (let t = Math.max(0, from); t < Math.min(to, pane.cells.length); t++)
      if (!pane.kinds[t].includes("more")) text += character(pane, t).glyph;
    return text.replace(/␣/g, " ");
  }

  function inContext(pane, hit) {
    const char = character(pane, hit.token), line = make("button", "hit");
    const place = char.size > 1 ? (hit.token - char.start + 1) + "/" + char.size : "";
    const left = make("span", "left"), right = make("span", "right");
    left.append(make("span", "", written(pane, char.start - CONTEXT, char.start)));
    right.append(written(pane, char.start + char.size, char.start + char.size + CONTEXT));
    const token = make("b", "e" + pane.pinned + (hit.rank ? " also" : ""), char.glyph);
    if (place) token.append(make("small", "", place));
    const weight = pane.one.thousandths[layer][hit.at] / 1000;
    line.type = "button";
    line.append(make("span", "count", hit.token + 1), left, token, right,
      make("span", "count", weight.toFixed(3)));
    line.setAttribute("aria-label", describe(pane, hit.token).place + ", token " +
      (hit.token + 1) + ", weight " + weight.toFixed(3));
    line.addEventListener("click", () => { choose(hit.token); reveal(hit.token); });
    return line;
  }

  function reveal(token) {
    shown().forEach(pane => pane.cells[token].scrollIntoView({block: "center"}));
  }

  function step(by) {  // to the next token found, in the first pane that found any
    const pane = shown().find(one => one.hits.length);
    if (!pane) return;
    const tokens = pane.hits.map(hit => hit.token), at = here[sample];
    const next = by > 0 ? tokens.find(t => at === null || t > at)
      : tokens.slice().reverse().find(t => at !== null && t < at);
    const token = next === undefined ? tokens[by > 0 ? 0 : tokens.length - 1] : next;
    choose(token);
    reveal(token);
  }

  function asked(text) {  // "3.5", "layer 3 expert 5", "l3e5", "expert 5", "5"
    const words = text.toLowerCase(), by = word => (words.match(word) || [])[1];
    const pair = words.match(/^\s*(\d+)\s*[.,:;/ -]\s*(\d+)\s*$/);
    if (pair) return {layer: Number(pair[1]), expert: Number(pair[2])};
    const expert = by(/e(?:xpert)?\s*(\d+)/) || by(/^\s*(\d+)\s*$/), of = by(/l(?:ayer)?\s*(\d+)/);
    if (expert === undefined) return null;
    return {layer: of === undefined ? layer + 1 : Number(of), expert: Number(expert)};
  }

  function search() {
    const wanted = asked(find.value), nLayers = data.layers.length;
    if (!find.value.trim()) return letGo();
    let problem = "";
    if (!wanted) problem = "write layer.expert, such as 1.0";
    else if (wanted.layer < 1 || wanted.layer > nLayers)
      problem = "layers are counted from 1 to " + nLayers + ", not " + wanted.layer;
    else if (wanted.expert >= data.experts)
      problem = "experts are counted from 0 to " + (data.experts - 1) + ", not " + wanted.expert;
    find.setAttribute("aria-invalid", String(problem !== ""));
    if (problem) {
      shown().forEach(pane => keep(pane, null));
      return put(note, problem);
    }
    if (layer !== wanted.layer - 1) { layer = wanted.layer - 1; paint(); }
    shown().forEach(pane => keep(pane, wanted.expert));
    put(note, shown().map(pane => (pane.model ? pane.model + ": " : "") +
      pane.hits.length + " tokens").join(", ") + (shown()[0].hits.length ? "; Enter: next" : ""));
  }

  // One token: pointed at, chosen ----------------------------------------------------------------

  function label(pane, token) {  // what a screen reader says of the token that has the focus
    const about = describe(pane, token), margin = marginOf(pane, token);
    pane.cells[token].setAttribute("aria-label", about.place + ", " + about.value + ", " +
      data.layers[layer] + ": " + choices(pane, token).map(choice => "expert " + choice.expert +
        " weight " + choice.weight.toFixed(3) + (choice.dropped ? " dropped" : "")).join(", ") +
      (margin === null ? "" : ", margin " + margin));
  }

  function choose(token, focused) {  // in every pane; the focus goes to `focused`, if it is given
    const before = here[sample];
    here[sample] = token = clamp(token, 0, nTokens() - 1);
    shown().forEach(pane => {
      const old = pane.cells[before === null ? 0 : before], cell = pane.cells[token];
      old.tabIndex = -1;
      old.setAttribute("aria-selected", "false");
      old.classList.remove("here");
      cell.tabIndex = 0;
      cell.setAttribute("aria-selected", "true");
      cell.classList.add("here");
      label(pane, token);
      show(pane, token);
    });
    if (focused) focused.cells[token].focus();
  }

  function beside(pane, token, down) {  // the token above or below: nearest middle in the next row
    const list = pane.cells, at = list[token].getBoundingClientRect();
    const middle = at.left + at.width / 2;
    let best = token, row = null, distance = Infinity;
    for (let t = token + down; t >= 0 && t < list.length; t += down) {
      const box = list[t].getBoundingClientRect();
      if (Math.abs(box.bottom - at.bottom) < 8) continue;
      if (row === null) row = box.bottom;
      if (Math.abs(box.bottom - row) > 8) break;
      const away = Math.abs(box.left + box.width / 2 - middle);
      if (away < distance) { distance = away; best = t; }
    }
    return best;
  }

  function arrows(pane, event) {
    const token = here[sample] === null ? 0 : here[sample];
    const moves = {ArrowRight: () => token + 1, ArrowLeft: () => token - 1, Home: () => 0,
                   ArrowDown: () => beside(pane, token, 1), ArrowUp: () => beside(pane, token, -1),
                   End: () => pane.cells.length - 1};
    if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    choose(moves[event.key](), pane);
  }

  // Layer, text, keys, address -------------------------------------------------------------------

  function toLayer(to) {
    layer = clamp(to, 0, data.layers.length - 1);
    paint();
    const pane = shown().find(one => one.pinned !== null);
    if (pane) find.value = (layer + 1) + "." + pane.pinned;
  }

  function toSample(to) {
    letGo();
    sample = to;
    paint();
  }

  function keys(event) {
    const at = event.target, inside = root.contains(at);
    const first = document.querySelector(".moe-view") === root;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!inside && !(at === document.body && first)) return;
    if (event.key === "Escape") return letGo();
    if (at === find) {
      if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
      return;
    }
    const does = {
      "/": () => { find.focus(); find.select(); },
      "?": () => { help.open = !help.open; },
      "[": () => toLayer(layer - 1), "]": () => toLayer(layer + 1),
      n: () => { toggle.checked = !toggle.checked; numbers(); },
      t: () => toSample((sample + 1) % boxes.length),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    does();
  }

  function numbers() { root.classList.toggle("numbers", toggle.checked); }

  function openLink() {  // #sample=1&layer=2&token=5&expert=3&find=2.3&numbers=1
    const link = new URLSearchParams(location.hash.slice(1));
    const whole = (name, low, high) =>
      clamp(Math.trunc(Number(link.get(name))) || low, low, high);
    if (link.has("sample")) sample = whole("sample", 1, boxes.length) - 1;
    if (link.has("layer")) layer = whole("layer", 1, data.layers.length) - 1;
    if (link.has("numbers")) toggle.checked = link.get("numbers") !== "0";
    numbers();
    paint();
    if (link.has("token")) choose(whole("token", 1, nTokens()) - 1);
    if (link.has("expert"))
      find.value = (layer + 1) + "." + whole("expert", 0, data.experts - 1);
    if (link.has("find")) find.value = link.get("find");
    if (find.value) search();
  }

  panes.forEach(pane => {
    const {text, cells} = pane, place = new Map();
    cells.forEach((cell, t) => {
      place.set(cell, t);
      cell.setAttribute("role", "option");
      cell.tabIndex = t ? -1 : 0;
    });
    const hit = event => place.get(event.target.closest("i"));
    text.addEventListener("pointerover", event => {
      if (hit(event) !== undefined) showAll(hit(event));
    });
    text.addEventListener("pointerleave", () => showAll(here[sample]));
    text.addEventListener("click", event => {
      if (hit(event) !== undefined) choose(hit(event), pane);
    });
    text.addEventListener("focusin", event => {
      if (hit(event) !== undefined && hit(event) !== here[sample]) choose(hit(event));
    });
    text.addEventListener("keydown", event => arrows(pane, event));
    const lead = () => { leader = pane; };  // the pane that a reader scrolls takes the others along
    text.addEventListener("pointerenter", lead);
    text.addEventListener("focusin", lead);
    text.addEventListener("scroll", () => {
      if (leader !== pane) return;
      const share = text.scrollTop / Math.max(1, text.scrollHeight - text.clientHeight);
      shown().filter(other => other !== pane).forEach(({text: other}) => {
        other.scrollTop = share * (other.scrollHeight - other.clientHeight);
      });
    }, {passive: true});
    pane.legend.forEach((button, e) => {
      const back = () => hold(pane, pane.pinned);
      button.addEventListener("pointerenter", () => hold(pane, e));
      button.addEventListener("focus", () => hold(pane, e));
      button.addEventListener("pointerleave", back);
      button.addEventListener("blur", back);
      button.addEventListener("click", () => {
        keep(pane, pane.pinned === e ? null : e);
        find.value = pane.pinned === null ? "" : (layer + 1) + "." + e;
        put(note, "");
      });
    });
    pane.tops.addEventListener("toggle", () => { if (pane.tops.open) fillTops(pane); });
    pane.panel.hidden = pane.tops.hidden = false;
  });
  document.addEventListener("keydown", keys);
  slider.addEventListener("input", () => toLayer(slider.value - 1));
  toggle.addEventListener("change", numbers);
  find.addEventListener("input", search);
  tabs.forEach((tab, s) => tab.addEventListener("click", () => toSample(s)));
  window.addEventListener("hashchange", openLink);
  slider.hidden = data.layers.length < 2;
  part(".tabs").hidden = boxes.length < 2;
  part(".controls").hidden = false;
  root.classList.add("live");
  openLink();
})();
