// The page of `lecdsr serve`. Every text of an item or a message goes through textContent, never through HTML.

const DOMAINS = ["x", "y"];
const REASONS = 3; // items of each domain whose reason is fetched without being asked for
const LISTED = 10;

const get = (id) => document.getElementById(id);
const state = { history: [], user: null, names: { x: "x", y: "y" }, token: "", turn: 0, active: -1, found: [], examples: [], id: 0 };
let typing;

/** Make an element with properties and children; strings become text. */
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const titleOf = (item) => item.title ?? `${item.asin} (no title)`;
const number = (value) => new Intl.NumberFormat("en").format(value);
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

/** Ask the service; a refusal becomes an Error with its words. */
async function ask(path, body) {
  const headers = state.token ? { Authorization: `Bearer ${state.token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const options = { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) };
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("The service cannot be reached.");
  }
  const answer = await reply.json();
  if (reply.ok) return answer;
  if (reply.status === 401) get("token-form").hidden = false;
  const { what, do: advice } = answer.error;
  throw new Error(advice ? `${what}: ${advice}` : what);
}

function complain(error) {
  get("alert").textContent = error.message;
  get("alert").hidden = false;
}

function calm() {
  get("alert").hidden = true;
}

/** Whose recommendations are shown, as a request. */
function whom() {
  return state.user ? { user: state.user.id } : { history: state.history.map((item) => item.asin) };
}

// Search

function closeList() {
  get("found").hidden = true;
  state.active = -1;
  get("query").setAttribute("aria-expanded", "false");
  get("query").removeAttribute("aria-activedescendant");
}

function option(item, place) {
  const tag = make("span", { className: `tag ${item.domain}` }, state.names[item.domain]);
  const node = make("li", { id: `option-${place}`, role: "option", "aria-selected": "false" }, titleOf(item), tag);
  node.addEventListener("mousedown", (event) => {
    event.preventDefault(); // the field keeps the focus
    choose(item);
  });
  return node;
}

async function search() {
  const query = get("query").value.trim();
  if (!query) return closeList();
  try {
    const { items } = await ask(`/items?k=20&query=${encodeURIComponent(query)}`);
    if (get("query").value.trim() !== query) return; // the user typed on
    state.found = items;
    state.active = -1;
    const none = make("li", { className: "none" }, "No title has all of these words.");
    get("found").replaceChildren(...(items.length ? items.map(option) : [none]));
    get("found").hidden = false;
    get("query").setAttribute("aria-expanded", "true");
    calm();
  } catch (error) {
    complain(error);
  }
}

function move(step) {
  const options = [...get("found").querySelectorAll("[role=option]")];
  if (!options.length) return;
  options[state.active]?.setAttribute("aria-selected", "false");
  const start = state.active < 0 && step < 0 ? 0 : state.active;
  state.active = (start + step + options.length) % options.length;
  options[state.active].setAttribute("aria-selected", "true");
  options[state.active].scrollIntoView({ block: "nearest" });
  get("query").setAttribute("aria-activedescendant", options[state.active].id);
}

function choose(item) {
  get("query").value = "";
  closeList();
  add(item);
}

get("query").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, 120);
});
get("query").addEventListener("keydown", (event) => {
  const open = !get("found").hidden;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (open) move(event.key === "ArrowDown" ? 1 : -1);
    else search();
  } else if (event.key === "Enter" && open) {
    event.preventDefault();
    const item = state.found[Math.max(0, state.active)];
    if (item) choose(item);
  } else if (event.key === "Escape" && open) {
    event.preventDefault(); // which would clear the field
    closeList();
  }
});
get("query").addEventListener("blur", closeList);

// History

function add(item) {
  const kept = state.user ? [] : state.history.filter((one) => one.asin !== item.asin);
  state.user = null;
  state.history = [...kept, item];
  refresh();
}

function entry(item, place) {
  const meta = state.names[item.domain] + (state.user ? ` · ${item.day}` : "");
  const text = make("div", { className: "text" }, titleOf(item), make("span", { className: `tag ${item.domain}` }, meta));
  if (state.user) return make("li", {}, text);
  const button = make("button", { type: "button", className: "quiet", "aria-label": `Remove ${titleOf(item)}` }, "Remove");
  button.addEventListener("click", () => {
    state.history = state.history.filter((one) => one !== item);
    refresh();
    const left = get("history").querySelectorAll("button");
    (left[Math.min(place, left.length - 1)] ?? get("query")).focus();
  });
  return make("li", {}, text, button);
}

function showHistory() {
  const items = [...(state.user ? state.user.history : state.history)].reverse();
  get("history").replaceChildren(...items.map(entry));
  get("no-history").hidden = items.length > 0;
  get("example").hidden = items.length > 0 || Boolean(state.user);
  get("clear").hidden = !items.length && !state.user;
  get("clear").textContent = state.user ? "Leave this user" : "Clear the history";
  get("who").hidden = !state.user;
  const profile = state.user?.profile ? `. Profile: ${state.user.profile}` : "";
  get("who").replaceChildren("User ", make("b", {}, state.user?.id ?? ""), profile);
}

get("clear").addEventListener("click", () => {
  state.history = [];
  state.user = null;
  refresh();
  get("query").focus();
});
get("example").addEventListener("click", () => {
  state.history = state.examples;
  refresh();
  get("query").focus();
});
get("user-form").addEventListener("submit", (event) => {
  event.preventDefault();
  refresh({ id: get("user").value.trim(), history: [], profile: null });
});
get("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = get("token").value;
  get("token").value = "";
  get("token-form").hidden = true;
  calm();
  start();
});

// Recommendations

/** Show what is recommended now; `user` is shown instead of the history once the service knows them. */
async function refresh(user = null) {
  const turn = ++state.turn;
  if (!user) showHistory();
  const someone = user ?? state.user;
  if (!someone && !state.history.length) return showNothing();
  get("results").querySelector(".columns").classList.add("waiting");
  try {
    const asked = someone ? { user: someone.id, latest: 100 } : whom();
    const answer = await ask("/recommend", { ...asked, k: LISTED });
    if (turn !== state.turn) return;
    calm();
    if (user) {
      state.user = { ...user, history: answer.history, profile: answer.profile };
      showHistory();
    }
    showLists(answer);
    await addReasons(answer, turn);
  } catch (error) {
    if (turn === state.turn) complain(error);
  } finally {
    if (turn === state.turn) get("results").querySelector(".columns").classList.remove("waiting");
  }
}

function showNothing() {
  for (const key of DOMAINS) get(`list-${key}`).replaceChildren();
  get("results").querySelector(".columns").hidden = true;
  get("results").querySelector(".columns").classList.remove("waiting");
  get("nothing").hidden = false;
  get("status").textContent = get("notes").textContent = "";
  calm();
}

function showLists(answer) {
  get("nothing").hidden = true;
  get("results").querySelector(".columns").hidden = false;
  let shown = 0;
  for (const key of DOMAINS) {
    const items = answer.recommendations[key];
    const none = make("li", { className: "categories" }, "Nothing is left to recommend.");
    get(`list-${key}`).replaceChildren(...(items.length ? items.map((item, place) => card(item, place, items)) : [none]));
    shown += items.length;
  }
  get("status").textContent = `${shown} items by ${answer.model}`;
  get("notes").textContent = answer.notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`).join(" ");
}

function card(item, place, items) {
  const best = items[0].score, worst = items[items.length - 1].score;
  const bar = make("i");
  bar.style.width = `${best > worst ? 15 + (85 * (item.score - worst)) / (best - worst) : 100}%`;
  const track = make("span", { className: "track", "aria-hidden": "true" }, bar);
  const score = make("p", { className: "score" }, track, make("span", { title: "Score" }, item.score.toFixed(2)));
  const more = make("div", { id: `more-${++state.id}`, className: "more", hidden: true });
  const text = make(
    "div", {},
    make("p", { className: "title" }, titleOf(item)),
    item.categories ? make("p", { className: "categories" }, item.categories) : null,
    make("p", { className: "because", hidden: true }),
    make("div", { className: "foot" }, actions(item, more), score),
    more,
  );
  return make("li", { "data-asin": item.asin }, make("div", { className: "item" }, make("span", { className: "rank" }, `${place + 1}`), text));
}

function actions(item, more) {
  const why = action("Why?", `Why ${titleOf(item)}?`), near = action("Similar", `Items similar to ${titleOf(item)}`);
  const plus = action("Add", `Add ${titleOf(item)} to the history`);
  for (const [button, other, show] of [[why, near, showReason], [near, why, showSimilar]]) {
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", more.id);
    button.addEventListener("click", () => toggle(button, other, more, () => show(item, more)));
  }
  plus.addEventListener("click", () => {
    add(item);
    get("results").focus({ preventScroll: true });
  });
  return make("div", { className: "actions" }, why, near, plus);
}

function action(text, label) {
  return make("button", { type: "button", className: "quiet", "aria-label": label }, text);
}

async function toggle(button, other, more, show) {
  const open = button.getAttribute("aria-expanded") === "false";
  button.setAttribute("aria-expanded", String(open));
  other.setAttribute("aria-expanded", "false");
  more.hidden = !open;
  if (!open) return;
  more.replaceChildren(make("p", {}, "One moment …"));
  try {
    await show();
  } catch (error) {
    more.replaceChildren(make("p", {}, error.message));
  }
}

// Reasons and similar items

const explained = (item) => ask("/explain", { ...whom(), item: item.asin });

/** History items that raise the score most, largest first. */
function strongest(answer) {
  return answer.history.filter((one) => one.contribution > 0).sort((a, b) => b.contribution - a.contribution);
}

/** Add a line with the reason to the first items of each domain, one after the other. */
async function addReasons(answer, turn) {
  for (let place = 0; place < REASONS; place++) {
    for (const key of DOMAINS) {
      const item = answer.recommendations[key][place];
      if (!item) continue;
      const why = await explained(item);
      if (turn !== state.turn) return;
      const line = get(`list-${key}`).children[place].querySelector(".because");
      const names = strongest(why).slice(0, 2).map((one) => make("b", {}, titleOf(one)));
      if (!names.length) continue;
      line.replaceChildren("Because of ", names[0], ...(names[1] ? [" and ", names[1]] : []));
      line.hidden = false;
    }
  }
}

async function showReason(item, more) {
  const why = await explained(item);
  const read = why.history.filter((one) => one.contribution !== null);
  const ordered = read.sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution)).slice(0, 8);
  const most = Math.max(...ordered.map((one) => Math.abs(one.contribution)), 1e-9);
  const parts = Object.entries(why.parts ?? {}).map(([name, value]) => `${name} ${signed(value)}`).join(", ");
  more.replaceChildren(
    make("h4", {}, "What each item of the history adds to the score"),
    make("ul", { className: "bars" }, ...ordered.map((one) => contribution(one, most))),
    make("p", {}, `Rank ${number(why.rank)} of ${number(why.among)}.` + (parts ? ` Parts of the score: ${parts}.` : "")),
  );
}

function contribution(one, most) {
  const bar = make("i", { className: one.contribution < 0 ? "minus" : "" });
  bar.style.width = `${(50 * Math.abs(one.contribution)) / most}%`;
  return make(
    "li", {},
    make("span", { className: "name", title: titleOf(one) }, titleOf(one)),
    make("span", { className: "bar", "aria-hidden": "true" }, bar),
    make("span", { className: "value" }, signed(one.contribution)),
  );
}

async function showSimilar(item, more) {
  const { similar } = await ask(`/similar/${encodeURIComponent(item.asin)}?k=4`);
  more.replaceChildren(
    ...DOMAINS.flatMap((key) => [
      make("h4", {}, `Similar in ${state.names[key]}`),
      make("ul", { className: "near" }, ...similar[key].map(neighbour)),
    ]),
  );
}

function neighbour(item) {
  const button = action("Add", `Add ${titleOf(item)} to the history`);
  button.addEventListener("click", () => {
    add(item);
    get("results").focus({ preventScroll: true });
  });
  return make("li", {}, make("span", { className: "name" }, titleOf(item)), button);
}

// Start

async function start() {
  try {
    const health = await ask("/health");
    state.names = health.domains;
    for (const key of DOMAINS) get(`name-${key}`).textContent = health.domains[key];
    state.examples = health.examples;
    const items = number(health.items.x + health.items.y);
    get("served").textContent = `${health.model} · ${health.domains.x} and ${health.domains.y} · ${items} items`;
    await refresh();
  } catch (error) {
    complain(error);
  }
}

start();
