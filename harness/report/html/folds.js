// What is folded opens where an address leads into it, on a button, and on paper, where nobody can open it.
const folds = () => [...document.querySelectorAll("details:not(#chain-list details)")];

function openAround(id) {
  const found = id && document.getElementById(id);
  if (!found) return;
  for (let each = found.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
  found.scrollIntoView();
}

const openAll = document.getElementById("open-all");
openAll.addEventListener("click", () => {
  const isOpening = openAll.textContent === "Open all";
  folds().forEach((each) => { each.open = isOpening; });
  openAll.textContent = isOpening ? "Close all" : "Open all";
});

document.querySelector("nav").addEventListener("click", (event) => {
  if (event.target.hash) openAround(event.target.hash.slice(1));
});
addEventListener("hashchange", () => openAround(location.hash.slice(1)));
openAround(location.hash.slice(1));

let closedBefore = [];
addEventListener("beforeprint", () => {
  closedBefore = folds().filter((each) => !each.open);
  closedBefore.forEach((each) => { each.open = true; });
});
addEventListener("afterprint", () => closedBefore.forEach((each) => { each.open = false; }));
