{
  const points = JSON.parse(document.getElementById("points").textContent);
  const plot = document.getElementById("cloud");
  const tip = document.getElementById("tip");
  const controls = document.getElementById("controls");
  const box = { left: 74, right: 706, top: 14, bottom: 386 };
  const quantities = [
    ...points.objectives.map((o, i) => ({ name: o.name, values: points.values[i] })),
    ...points.axes.map((a, i) => ({ name: a.name, values: points.levels[i], levels: a.levels })),
  ];
  const shades = ["--p0", "--p1", "--p2", "--p3", "--p4", "--accent"];
  const state = { x: 0, y: Math.min(1, quantities.length - 1), colour: -1, front: false,
                  levels: points.axes.map(() => new Set()), ends: points.objectives.map(() => [null, null]) };

  const element = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const spelt = (value) => {
    if (value === null) return "n/a";
    const size = Math.abs(value);
    if (size && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
    return String(Number(value.toPrecision(3)));
  };
  const word = (quantity, value) => quantity.levels ? quantity.levels[value] : spelt(value);

  const measure = (quantity, low, high) => {
    const values = quantity.values.filter((v) => v !== null);
    let first = Math.min(...values), last = Math.max(...values);
    const log = !quantity.levels && first > 0 && last > 8 * first;
    const turn = log ? Math.log10 : (v) => v;
    first = turn(first); last = turn(last);
    const room = (last - first || 1) * 0.04;
    first -= room; last += room;
    const at = (v) => low + (high - low) * (turn(v) - first) / (last - first);
    let ticks = [];
    if (quantity.levels) {
      const step = Math.ceil(quantity.levels.length / 12);
      ticks = quantity.levels.map((_, i) => i).filter((i) => i % step === 0);
    } else if (log) {
      for (let e = Math.floor(first); e <= last; e++)
        for (const d of [1, 2, 5]) ticks.push(d * 10 ** e);
      ticks = ticks.filter((v) => turn(v) >= first && turn(v) <= last);
      if (ticks.length > 9) ticks = ticks.filter((v) => Number.isInteger(Math.log10(v)));
    } else {
      const raw = (last - first) / 5, size = 10 ** Math.floor(Math.log10(raw));
      const step = [1, 2, 5, 10].map((d) => d * size).find((d) => d >= raw);
      for (let v = Math.ceil(first / step) * step; v <= last; v += step) ticks.push(v);
    }
    return { at, ticks };
  };

  const passes = (i) => {
    if (state.front && !points.front[i]) return false;
    for (let a = 0; a < state.levels.length; a++)
      if (state.levels[a].size && !state.levels[a].has(points.levels[a][i])) return false;
    for (let o = 0; o < state.ends.length; o++) {
      const value = points.values[o][i], [least, most] = state.ends[o];
      if (least !== null && !(value >= least)) return false;
      if (most !== null && !(value !== null && value <= most)) return false;
    }
    return true;
  };

  // The front lies over the others, the knee over all.
  const rank = (i) => points.front[i] + (points.index[i] === points.knee ? 1 : 0);

  const draw = () => {
    const x = quantities[state.x], y = quantities[state.y];
    const across = measure(x, box.left, box.right), up = measure(y, box.bottom, box.top);
    plot.replaceChildren();
    for (const tick of across.ticks) {
      plot.append(element("line", { x1: across.at(tick), x2: across.at(tick), y1: box.top, y2: box.bottom, class: "rule" }));
      plot.append(element("text", { x: across.at(tick), y: box.bottom + 16, class: "tick mid" }, word(x, tick)));
    }
    for (const tick of up.ticks) {
      plot.append(element("line", { x1: box.left, x2: box.right, y1: up.at(tick), y2: up.at(tick), class: "rule" }));
      plot.append(element("text", { x: box.left - 6, y: up.at(tick) + 4, class: "tick end" }, word(y, tick)));
    }
    plot.append(element("text", { x: (box.left + box.right) / 2, y: 424, class: "tick mid label" }, x.name));
    plot.append(element("text", { x: 0, y: 0, class: "tick mid label", transform: `translate(14 ${(box.top + box.bottom) / 2}) rotate(-90)` }, y.name));
    const order = [...points.index.keys()].filter(passes)
      .filter((i) => x.values[i] !== null && y.values[i] !== null)
      .sort((a, b) => rank(a) - rank(b));
    for (const i of order) {
      const knee = points.index[i] === points.knee, front = points.front[i];
      const shade = state.colour < 0 ? (front ? "--p0" : "--p3")
        : shades[Math.floor(points.levels[state.colour][i] * (shades.length - 1) / Math.max(1, points.axes[state.colour].levels.length - 1))];
      const place = { class: front ? "dot front" : "dot", style: `fill:var(${knee && state.colour < 0 ? "--accent" : shade})` };
      const cx = across.at(x.values[i]), cy = up.at(y.values[i]);
      const star = "0,-9 2.6,-3 9,-3 4,1.4 5.8,8 0,4 -5.8,8 -4,1.4 -9,-3 -2.6,-3";
      const mark = knee ? element("polygon", { points: star, transform: `translate(${cx} ${cy})`, ...place })
        : element("circle", { cx, cy, r: front ? 4 : 2.8, ...place });
      mark.dataset.row = i;
      plot.append(mark);
    }
    document.getElementById("count").textContent = `${order.length.toLocaleString("en")} of ${points.index.length.toLocaleString("en")} designs shown`;
  };

  const describe = (i) => {
    const lines = [`row ${points.index[i]}${points.index[i] === points.knee ? ", knee" : points.front[i] ? ", on the front" : ""}`];
    for (const quantity of quantities) lines.push(`${quantity.name}: ${word(quantity, quantity.values[i])}`);
    return lines;
  };
  plot.addEventListener("mousemove", (event) => {
    const i = event.target.dataset ? event.target.dataset.row : undefined;
    tip.hidden = i === undefined;
    if (tip.hidden) return;
    tip.replaceChildren(...describe(Number(i)).map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    const stage = plot.parentElement.getBoundingClientRect();
    const left = event.clientX - stage.left, top = event.clientY - stage.top;
    tip.style.left = `${Math.max(0, left > stage.width / 2 ? left - tip.offsetWidth - 12 : left + 12)}px`;
    tip.style.top = `${Math.max(0, Math.min(top + 8, stage.height - tip.offsetHeight))}px`;
  });
  plot.addEventListener("mouseleave", () => { tip.hidden = true; });
  plot.addEventListener("click", (event) => {
    if (event.target.dataset && event.target.dataset.row !== undefined)
      document.getElementById("picked").textContent = `accelsim run '${points.place}#${points.index[event.target.dataset.row]}'`;
  });

  const field = (title, ...content) => {
    const label = document.createElement("label");
    label.append(title, ...content);
    controls.append(label);
  };
  const choice = (title, names, chosen, change) => {
    const select = document.createElement("select");
    names.forEach(([value, name]) => select.append(new Option(name, value, false, value === chosen)));
    select.addEventListener("change", () => { change(Number(select.value)); draw(); });
    field(title, select);
  };
  const all = quantities.map((q, i) => [i, q.name]);
  choice("across", all, state.x, (v) => { state.x = v; });
  choice("up", all, state.y, (v) => { state.y = v; });
  choice("colour", [[-1, "front"], ...points.axes.map((a, i) => [i, a.name])], -1, (v) => { state.colour = v; });
  points.objectives.forEach((objective, o) => {
    const inputs = ["least", "most"].map((hint, end) => {
      const input = Object.assign(document.createElement("input"), { type: "number", step: "any", placeholder: hint });
      input.setAttribute("aria-label", `${objective.name}, ${hint}`);
      input.addEventListener("input", () => { state.ends[o][end] = input.value === "" ? null : Number(input.value); draw(); });
      return input;
    });
    const ends = Object.assign(document.createElement("span"), { className: "ends" });
    ends.append(...inputs);
    field(objective.name, ends);
  });
  points.axes.forEach((axis, a) => {
    if (axis.levels.length < 2 || axis.levels.length > 32) return;
    const group = document.createElement("fieldset");
    group.append(Object.assign(document.createElement("legend"), { textContent: axis.name }));
    axis.levels.forEach((level, l) => {
      const input = Object.assign(document.createElement("input"), { type: "checkbox" });
      const label = document.createElement("label");
      label.append(input, level);
      input.addEventListener("change", () => { state.levels[a][input.checked ? "add" : "delete"](l); draw(); });
      group.append(label);
    });
    controls.append(group);
  });
  const only = Object.assign(document.createElement("input"), { type: "checkbox" });
  only.addEventListener("change", () => { state.front = only.checked; draw(); });
  const show = document.createElement("fieldset");
  show.append(Object.assign(document.createElement("legend"), { textContent: "show" }));
  const alone = document.createElement("label");
  alone.append(only, "front only");
  show.append(alone);
  controls.append(show);
  draw();
}
