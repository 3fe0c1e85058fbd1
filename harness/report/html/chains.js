// The list of chains, filtered.
const data = JSON.parse(document.getElementById("data").textContent);
data.chains = data.chains.map(([run, chain, completed, outcome, subtasks, error = "", video = ""]) => ({
  run, chain, completed, outcome: data.outcomes[outcome], error, video,
  subtasks: subtasks.map(([task, sentence, ending, steps]) =>
    [data.tasks[task], data.instructions[sentence], data.outcomes[ending], steps]),
}));
const PAGE = 50;
const field = (id) => document.getElementById(id);
const words = (name) => name.replaceAll("_", " ");
const option = (select, value, text) => select.append(new Option(text, value));
data.runs.forEach((label, place) => option(field("run"), String(place), label));
data.tasks.forEach((task) => option(field("task"), task, words(task)));
for (let count = 0; count <= data.most; count += 1) option(field("completed"), String(count), String(count));
let shown = PAGE;
const FILTERS = ["run", "task", "outcome", "completed", "number"];

function matching() {
  const [run, task, outcome, completed, number] = FILTERS.map((id) => field(id).value);
  return data.chains.filter((chain) =>
    (run === "" || chain.run === Number(run)) &&
    (completed === "" || chain.completed === Number(completed)) &&
    (number === "" || chain.chain === Number(number)) &&
    (task === "" ? outcome === "" || chain.outcome === outcome
      : chain.subtasks.some((done) => done[0] === task && (outcome === "" || done[2] === outcome))));
}

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function fill(details, chain) {
  const list = element("ol");
  for (const [task, instruction, outcome, steps] of chain.subtasks) {
    const item = element("li", `${words(task)}: “${instruction}” `);
    item.append(element("span", `${words(outcome)} after ${steps} steps`, outcome));
    list.append(item);
  }
  details.append(list);
  if (chain.error) details.append(element("pre", chain.error));
  if (chain.video) {
    const video = element("video");
    video.controls = true;
    video.preload = "none";
    video.width = 640;
    video.height = 464;
    video.src = chain.video;
    details.append(video);
  }
}

function draw() {
  const found = matching();
  field("count").textContent = `${found.length} of ${data.chains.length} chains`;
  field("chain-list").replaceChildren(...found.slice(0, shown).map((chain) => {
    const details = element("details"), summary = element("summary");
    summary.append(element("span", `chain ${chain.chain}`, "number"));
    if (data.runs.length > 1) summary.append(element("bdi", data.runs[chain.run]));
    summary.append(element("span", `${chain.completed} completed`));
    summary.append(element("span", words(chain.outcome), chain.outcome));
    if (chain.video) summary.append(element("span", "video", "soft"));
    details.append(summary);
    details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) fill(details, chain); });
    return details;
  }));
  field("more").hidden = found.length <= shown;
}

function begin() { shown = PAGE; draw(); }

// The address holds the filters, so that the view can be shared: #task=open_drawer&outcome=timed_out
function remember() {
  const told = new URLSearchParams(FILTERS.map((id) => [id, field(id).value]).filter(([, value]) => value !== ""));
  history.replaceState(null, "", `#${told}`);
}

function recall() {
  const told = new URLSearchParams(location.hash.slice(1));
  FILTERS.forEach((id) => { if (told.has(id)) field(id).value = told.get(id); });
  if ([...FILTERS, "open"].some((id) => told.has(id))) openAround("chains");
  if (told.has("open")) {
    setTimeout(() => document.querySelectorAll("#chain-list details").forEach((one) => { one.open = true; }));
  }
}

field("filters").addEventListener("input", () => { begin(); remember(); });
field("filters").addEventListener("reset", () => setTimeout(() => { begin(); remember(); }));
field("filters").addEventListener("submit", (event) => event.preventDefault());
field("more").addEventListener("click", () => { shown += PAGE; draw(); });
recall();
begin();
