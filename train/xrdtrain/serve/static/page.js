"use strict";
const $ = (id) => document.getElementById(id);
const results = [];  // {file, answer}
let shown = null;

fetch("/network").then((response) => response.json()).then((network) => {
  $("network").textContent = `${network.names.join(", ")}: ${network.classes.length} space groups, ${network.axis}, ` +
    `${network.wavelength} Å. Files stay on the machine that serves this page.`;
});

async function ask(item) {
  const query = new URLSearchParams({name: item.file.name, patterns: "1", top: "20"});
  for (const [name, value] of new FormData($("options"))) if (typeof value === "string" && value) query.set(name, value);
  item.answer = null;
  list();
  try {
    const response = await fetch(`/predict?${query}`, {method: "POST", body: item.file});
    const content = await response.json();
    item.answer = Array.isArray(content) ? content[0] : {candidates: [], error: content.error};
  } catch (error) {
    item.answer = {candidates: [], error: `no answer from the server (${error.message}); is it still running?`};
  }
  list();
  if (shown === item) show(item);
}

function list() {
  $("list").replaceChildren(...results.map((item) => {
    const entry = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    const best = item.answer && item.answer.candidates[0];
    button.textContent = item.file.name + (item.answer === null ? " …" : best ? `  ${best.label} ${best.symbol}` : "  no answer");
    button.className = item.answer && item.answer.error ? "failed" : "";
    button.setAttribute("aria-pressed", item === shown);
    button.onclick = () => show(item);
    entry.append(button);
    return entry;
  }));
}

function add(files) {
  const added = [...files].map((file) => ({file, answer: null}));
  results.push(...added);
  if (added.length) show(added[0]);
  added.reduce((before, item) => before.then(() => ask(item)), Promise.resolve());
}

function show(item) {
  shown = item;
  list();
  $("answer").hidden = false;
  $("name").textContent = item.file.name;
  const answer = item.answer || {candidates: [], remarks: []};
  const say = (id, text) => { $(id).textContent = text; $(id).hidden = !text; };
  say("error", answer.error || "");
  say("doubts", answer.unlike_training ? `Unlike anything trained on: ${answer.doubts.join("; ")}. Do not trust what follows.` : "");
  const wavelength = answer.wavelength ? [`wavelength ${answer.wavelength} Å, ${answer.wavelength_from}`] : [];
  $("remarks").replaceChildren(...[...wavelength, ...(answer.remarks || [])].map((text) => {
    const line = document.createElement("li");
    line.textContent = text;
    return line;
  }));
  $("candidates").tBodies[0].replaceChildren(...answer.candidates.map((candidate) => {
    const row = document.createElement("tr");
    const percent = (100 * candidate.probability).toFixed(1);
    for (const text of [candidate.label, candidate.symbol, candidate.crystal_system, candidate.extinction_symbol, `${percent} %`]) {
      row.insertCell().textContent = text;
    }
    row.lastChild.style.setProperty("--share", `${percent}%`);
    return row;
  }));
  draw(answer.patterns);
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function chart(place, x, curves, label, hide) {
  place.replaceChildren();
  const axis = {stroke: colour("--soft"), grid: {stroke: colour("--line"), width: 0.5}, ticks: {stroke: colour("--line")}};
  const series = curves.map(([, tone], n) => ({stroke: colour(tone), width: n ? 1.4 : 1, points: {show: false}}));
  const plugin = {hooks: {drawClear: (plot) => {
    if (!hide) return;
    plot.ctx.fillStyle = colour("--hidden");
    for (let start = 0; start < x.length; start++) {
      if (hide[start]) continue;
      let end = start;
      while (end + 1 < x.length && !hide[end + 1]) end++;
      const left = plot.valToPos(x[start], "x", true), right = plot.valToPos(x[end], "x", true);
      plot.ctx.fillRect(left, plot.bbox.top, Math.max(1, right - left), plot.bbox.height);
      start = end;
    }
  }}};
  new uPlot({
    width: Math.max(260, place.clientWidth), height: 210, scales: {x: {time: false}}, plugins: [plugin],
    axes: [{...axis, label, labelSize: 20, size: 40}, {...axis, size: 60}], series: [{}, ...series],
  }, [x, ...curves.map(([values]) => values)], place);
}

function draw(patterns) {
  $("measured").replaceChildren();
  $("seen").replaceChildren();
  if (!patterns || !patterns.measured) return;
  const {measured, seen} = patterns;
  const curves = [[measured.intensity, "--accent"]];
  if (measured.background) curves.push([measured.background, "--warn"]);
  chart($("measured"), measured.x, curves, measured.axis === "Q" ? "Q / Å⁻¹" : "2θ / °");
  chart($("seen"), seen.x, [[seen.intensity, "--accent"]], "2θ / ° on the network's axis (grey: not measured)", seen.measured);
}

function svg(item) {
  const escape = (text) => String(text).replace(/[&<>"]/g, (sign) => ({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})[sign]);
  const panel = (x, y, top, title, colour) => {
    const low = Math.min(...x), high = Math.max(...x), most = Math.max(...y, 1e-30), least = Math.min(...y, 0);
    const points = x.map((value, n) =>
      `${(60 + 820 * (value - low) / (high - low)).toFixed(1)},${(top + 200 - 180 * (y[n] - least) / (most - least)).toFixed(1)}`);
    return `<text x="60" y="${top}" font-size="14">${escape(title)}: ${low.toFixed(2)} to ${high.toFixed(2)}</text>` +
      `<path d="M${points.join("L")}" fill="none" stroke="${colour}"/>`;
  };
  const {measured, seen} = item.answer.patterns;
  const rows = item.answer.candidates.slice(0, 10).map((candidate, n) => `<text x="60" y="${530 + 20 * n}" font-size="14">` +
    `${escape(candidate.label)}  ${escape(candidate.symbol)}  ${(100 * candidate.probability).toFixed(1)} %</text>`);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 740" font-family="sans-serif">` +
    `<text x="60" y="24" font-size="18">${escape(item.file.name)}</text>` +
    panel(measured.x, measured.intensity, 50, "measured", "#1f4e79") +
    panel(seen.x, seen.intensity, 280, "what the network saw", "#1f4e79") + rows.join("") + "</svg>";
}

for (const button of document.querySelectorAll("button[data-save]")) {
  button.onclick = () => {
    if (!shown || !shown.answer) return;
    const kind = button.dataset.save, {patterns, ...answer} = shown.answer;
    if (kind === "svg" && !(patterns && patterns.seen)) return;
    const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const lines = [["group", "symbol", "crystal_system", "extinction_symbol", "probability"], ...answer.candidates.map((c) =>
      [c.label, c.symbol, c.crystal_system, c.extinction_symbol, c.probability])];
    const text = kind === "json" ? JSON.stringify([answer], null, 2) : kind === "csv"
      ? lines.map((line) => line.map(quote).join(",")).join("\n") + "\n" : svg(shown);
    const link = document.createElement("a");
    const type = {json: "application/json", csv: "text/csv", svg: "image/svg+xml"}[kind];
    link.href = URL.createObjectURL(new Blob([text], {type}));
    link.download = `${shown.file.name}.${kind}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
}

$("files").onchange = (event) => { add(event.target.files); event.target.value = ""; };
$("options").onsubmit = (event) => event.preventDefault();
$("options").onchange = (event) => { if (event.target !== $("files")) results.reduce((before, item) => before.then(() => ask(item)), Promise.resolve()); };
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer) add(event.dataTransfer.files);
  });
}
