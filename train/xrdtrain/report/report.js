for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace(/[,±\s]/g, ""));
    return Number.isNaN(number) ? text : number;
  };
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const sign = up ? 1 : -1;
      const compare = (a, b) => typeof a === typeof b
        ? (a < b ? -sign : a > b ? sign : 0)
        : (typeof a === "number" ? -1 : 1);
      body.append(...[...body.rows].sort((a, b) => compare(value(a, column), value(b, column))));
    });
  });
}
for (const button of document.querySelectorAll("button[data-save]")) {
  button.addEventListener("click", () => {
    const figure = button.closest("figure"), svg = figure.querySelector(".plot svg");
    let text, kind = button.dataset.save;
    if (kind === "csv") {
      const legend = JSON.parse(button.dataset.legend || "{}");
      text = svg.querySelector("desc.data").textContent.split("\n").map((line, n) => {
        const [series, x, y] = line.split(",");
        const name = n ? (legend[series] || series) : series;
        return ['"' + name.replaceAll('"', '""') + '"', x, y].join(",");
      }).join("\n") + "\n";
    } else {
      const copy = svg.cloneNode(true), style = document.createElementNS("http://www.w3.org/2000/svg", "style");
      copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
      style.textContent = document.querySelector("head style").textContent;
      copy.prepend(style);
      text = new XMLSerializer().serializeToString(copy);
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], {type: kind === "csv" ? "text/csv" : "image/svg+xml"}));
    link.download = (document.title.split(" ")[0] + "-" + figure.id + "." + kind);
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
