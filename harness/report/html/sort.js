// Tables are sorted by a click on a column's title, or by Enter on it: once, the other way, then as they were.
const collator = new Intl.Collator("en", { numeric: true });

function keyOf(row, place, isNumber) {
  const cell = row.cells[place];
  if (isNumber) return cell.dataset.value === undefined ? undefined : Number(cell.dataset.value);
  return ["", "-"].includes(cell.textContent.trim()) ? undefined : cell.textContent.trim();
}

function ordered(rows, place, isNumber, sign) {
  return rows.map((row) => [keyOf(row, place, isNumber), row]).sort(([one], [other]) => {
    if (one === undefined || other === undefined) return (one === undefined) - (other === undefined); // dashes are last
    return sign * (isNumber ? one - other : collator.compare(one, other));
  }).map(([, row]) => row);
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const asTheyWere = [...table.tBodies].map((body) => [body, [...body.rows]]);
  heads.forEach((head, place) => {
    const isNumber = head.classList.contains("number");
    const ways = isNumber ? ["descending", "ascending", null] : ["ascending", "descending", null];
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const way = ways[(ways.indexOf(head.getAttribute("aria-sort")) + 1) % ways.length];
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      if (way) head.setAttribute("aria-sort", way);
      for (const [body, rows] of asTheyWere) {
        body.append(...(way ? ordered(rows, place, isNumber, way === "ascending" ? 1 : -1) : rows));
      }
    });
  });
}

document.querySelectorAll("table.sortable").forEach(makeSortable);
