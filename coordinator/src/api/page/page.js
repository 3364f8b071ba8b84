// The films with their progress, and what there is to see of each. Whatever a person or a model wrote is put in as text
// (`textContent`), never as markup.
"use strict";

const byId = (id) => document.getElementById(id);

/// An element with properties and children; texts become text nodes.
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("aria")) made.setAttribute(key.replace("aria", "aria-").toLowerCase(), value);
    else made[key] = value;
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

async function ask(method, path, body) {
  const request = { method, headers: {} };
  if (body) {
    request.headers["Content-Type"] = "application/json";
    request.headers["Idempotency-Key"] = body.key;
    request.body = JSON.stringify(body.film);
  }
  const response = await fetch(path, request);
  const answer = response.status === 204 ? null : await response.json();
  if (response.ok) return answer;
  if (response.status === 401) askForToken();
  const mistakes = (answer.mistakes ?? []).map((mistake) => `${mistake.field} ${mistake.problem}`);
  throw Object.assign(new Error(mistakes.join("; ") || answer.detail), { status: response.status });
}

function complain(error) {
  // That a token is asked for is said where it is asked for.
  if (error?.status === 401 && byId("token").value === "") error = null;
  byId("trouble").hidden = !error;
  byId("trouble").textContent = error ? error.message : "";
}

/// Does something that a person asked for, and says so if it cannot be done.
async function attempt(action) {
  try {
    complain(null);
    await action();
  } catch (error) {
    complain(error);
  }
}

const nameOf = (film) => film.title ?? film.premise ?? "Untitled";

function progressOf(film) {
  const bar = element("progress", { max: Math.max(film.jobs_total, 1), value: film.jobs_completed });
  bar.setAttribute("aria-label", `${film.jobs_completed} of ${film.jobs_total} jobs`);
  return bar;
}

// Tokens, where they are asked for. The page shows one once and gets a cookie for it, which no script can read: images, films and
// events are asked for by the browser itself, which can show no token.

function askForToken() {
  for (const id of ["submit", "all", "sign-out"]) byId(id).hidden = true;
  for (const id of ["sign-in", "asks"]) byId(id).hidden = false;
  localStorage.removeItem("signed-in");
  events?.close();
}

async function signIn() {
  const token = byId("token").value.trim();
  // A header could not carry it.
  if (!/^[!-~]+$/.test(token)) throw new Error("A token consists of letters, digits and signs of plain ASCII, without spaces.");
  const response = await fetch("/v1/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error((await response.json()).detail);
  byId("token").value = "";
  // The cookie is for all tabs, and so is the way out.
  localStorage.setItem("signed-in", "yes");
  location.reload();
}

async function signOut() {
  await fetch("/v1/session", { method: "DELETE" });
  localStorage.removeItem("signed-in");
  location.reload();
}

// The list.

let open = null;
let mayOperate = true;

function filmEntry(film) {
  const status = film.jobs_failed > 0 ? `${film.status}, ${film.jobs_failed} failed` : film.status;
  return element("li", {}, element("button",
    { type: "button", ariaCurrent: String(film.id === open), onclick: () => show(film.id) },
    element("span", { className: "name" }, nameOf(film)),
    element("span", { className: `soft ${film.status}` }, `${status} · ${new Date(film.created_at).toLocaleString()}`),
    film.status === "running" ? progressOf(film) : null,
  ));
}

function workerEntry(worker) {
  const doing = !worker.online ? "not heard of lately"
    : worker.pause_wanted || worker.paused ? "paused"
    : worker.running.length > 0 ? `runs ${worker.running.length}` : "idle";
  const wanted = worker.pause_wanted ? "resume" : "pause";
  return element("li", {},
    element("span", {}, element("span", { className: "name" }, worker.worker), element("span", { className: "soft" }, doing)),
    element("button", {
      type: "button",
      onclick: () => attempt(async () => {
        await ask("POST", `/v1/workers/${encodeURIComponent(worker.worker)}/${wanted}`);
        await refresh();
      }),
    }, wanted === "pause" ? "Pause" : "Resume"),
  );
}

/// Puts a list in place of the old one and leaves the keyboard where it was.
function replace(list, entries) {
  const focused = [...list.querySelectorAll("button")].indexOf(document.activeElement);
  list.replaceChildren(...entries);
  if (focused >= 0) list.querySelectorAll("button")[focused]?.focus();
}

async function refresh() {
  // Who was told once that workers are none of theirs is not told again every other second.
  const workers = mayOperate ? ask("GET", "/v1/workers").catch(unlessForbidden) : null;
  const [{ films }, crew] = await Promise.all([ask("GET", "/v1/films"), workers]);
  replace(byId("films"), films.map(filmEntry));
  byId("no-films").hidden = films.length > 0;
  if (mayOperate !== (crew !== null)) {
    mayOperate = crew !== null;
    if (open) drawSoon();
  }
  byId("crew").hidden = !mayOperate;
  replace(byId("workers"), (crew?.workers ?? []).map(workerEntry));
}

/// Those who only submit films have nothing to do with workers, and neither stop films nor forget them.
function unlessForbidden(error) {
  if (error.status === 403) return null;
  throw error;
}

// One film, followed by its events.

let events = null;
let redraw = 0;

function show(id) {
  if (id !== open) follow(id);
}

function follow(id) {
  events?.close();
  open = id;
  history.replaceState(null, "", `#${id}`);
  byId("film").hidden = false;
  byId("film").replaceChildren();
  drawSoon();
  events = new EventSource(`/v1/films/${id}/events`);
  for (const name of ["story_written", "job_changed", "film_completed", "film_failed", "film_cancelled"]) {
    events.addEventListener(name, drawSoon);
  }
  events.addEventListener("job_progressed", (event) => {
    const { job, progress } = JSON.parse(event.data);
    for (const place of document.querySelectorAll(`[data-job="${CSS.escape(job)}"]`)) {
      place.textContent = progressText(progress);
    }
    if (progress.preview !== undefined) showPreview(job, progress.preview);
  });
  refresh().catch(complain);
}

/// Many events at once are one drawing.
function drawSoon() {
  if (redraw) return;
  redraw = setTimeout(() => {
    redraw = 0;
    draw(open).catch(complain);
  }, 150);
}

/// A picture of what is being made is at an address of its own: the browser goes on showing the last one until the new one is there.
function showPreview(job, number) {
  const picture = document.querySelector(`[data-preview="${CSS.escape(job)}"]`);
  if (picture) picture.src = previewOf(job, number);
  else drawSoon();
}

const previewOf = (job, number) => `/v1/jobs/${job}/preview?n=${number}`;

const progressText = ({ phase, step, steps }) => (steps > 0 ? `${phase}, ${step} of ${steps}` : phase);

async function draw(id) {
  const film = await ask("GET", `/v1/films/${id}`);
  if (id !== open) return;
  const place = byId("film");
  // What plays goes on playing: a video that is shown already is moved, not made anew.
  const shown = new Map([...place.querySelectorAll("video")].map((video) => [video.getAttribute("src"), video]));
  const video = (source, poster) => shown.get(source) ?? player(source, poster);
  // Nor does a picture flicker.
  const seen = new Map([...place.querySelectorAll("[data-preview]")].map((picture) => [picture.dataset.preview, picture]));
  const preview = (job, scene) => rendering(seen.get(job.id) ?? element("img"), job, scene);
  place.replaceChildren(
    element("h3", {}, nameOf(film)),
    element("p", { className: "soft" }, film.story?.logline ?? film.premise ?? ""),
    element("p", { className: film.status }, film.status),
    ...(film.unserved ?? []).map((text) => element("p", { className: "failed" }, text)),
    ...film.fallbacks.map((text) => element("p", { className: "soft" }, `Not as asked for: ${text}`)),
    film.film ? video(`/v1/films/${id}/film.mp4`, null) : "",
    buttons(film),
    element("div", { className: "scenes" }, ...film.scenes.map((scene) => sceneCard(film, scene, video, preview))),
    element("ul", { className: "jobs" }, ...film.jobs.map(jobLine)),
  );
}

/// A scene's clip waits behind its keyframe, without controls over it, until someone plays it; the film shows its first frame.
function player(source, poster) {
  const made = element("video", { controls: !poster, preload: poster ? "none" : "metadata", tabIndex: 0 });
  if (poster) made.poster = poster;
  const begin = () => {
    if (made.controls) return;
    made.controls = true;
    made.play().catch(complain);
  };
  made.addEventListener("click", begin);
  made.addEventListener("keydown", (event) => event.key === "Enter" && begin());
  made.setAttribute("src", source);
  return made;
}

/// The newest picture of a run. It is gone when the run ends: then the film is drawn anew soon.
function rendering(picture, job, scene) {
  const source = previewOf(job.id, job.progress.preview);
  if (picture.getAttribute("src") !== source) picture.setAttribute("src", source);
  picture.alt = `${scene.title}, as far as it is rendered`;
  picture.dataset.preview = job.id;
  return picture;
}

function sceneCard(film, scene, video, preview) {
  const base = `/v1/films/${film.id}/scenes/${scene.number}`;
  const keyframe = scene.keyframe ? `${base}/keyframe.png` : null;
  const run = film.jobs.find((job) => job.scene === scene.number && job.status === "running" && job.progress);
  const isShown = run?.progress.preview !== undefined;
  let frame = element("div");
  if (isShown) frame = preview(run, scene);
  else if (scene.clip) frame = video(`${base}/clip.mp4`, keyframe);
  else if (keyframe) frame = element("img", { src: keyframe, alt: scene.title });
  frame.className = "frame";
  const name = `${scene.number}. ${scene.title}`;
  return element("div", { className: isShown ? "scene rendering" : "scene" },
    frame,
    element("p", {}, scene.clip && !isShown ? `▶ ${name}` : name),
    run ? progressLine("p", run) : null,
  );
}

/// What a job does, which its events keep up to date.
function progressLine(name, job) {
  const line = element(name, { className: "soft" }, job.progress ? progressText(job.progress) : "");
  line.dataset.job = job.id;
  return line;
}

function jobLine(job) {
  const what = job.scene ? `${job.kind} ${job.scene}` : job.kind;
  const text = progressLine("span", job);
  if (!job.progress) text.textContent = job.waiting ?? (job.status !== "completed" && job.failure ? job.failure.message : "");
  return element("li", {}, element("span", {}, what), element("span", { className: job.status }, job.status), text);
}

function buttons(film) {
  const bar = element("div", { className: "bar" });
  const add = (label, method, path, after) => bar.append(element("button", {
    type: "button",
    onclick: () => attempt(async () => {
      await ask(method, path);
      after();
    }),
  }, label));
  if (!mayOperate) return bar;
  if (film.status === "running") add("Cancel", "POST", `/v1/films/${film.id}/cancel`, drawSoon);
  if (film.status === "failed") add("Try again", "POST", `/v1/films/${film.id}/retry`, () => follow(film.id));
  if (film.status !== "running") {
    add("Forget", "DELETE", `/v1/films/${film.id}`, () => {
      events?.close();
      open = null;
      history.replaceState(null, "", location.pathname);
      byId("film").hidden = true;
      refresh().catch(complain);
    });
  }
  return bar;
}

// What people do, and what time does.

byId("submit").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => {
    const body = { film: { premise: byId("premise").value }, key: newKey() };
    const { film } = await ask("POST", "/v1/films", body);
    byId("premise").value = "";
    show(film);
  });
});

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(signIn);
});
byId("sign-out").addEventListener("click", () => attempt(signOut));
byId("sign-out").hidden = localStorage.getItem("signed-in") === null;

/// Works over plain HTTP too, where `crypto.randomUUID` does not.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let isAway = false;

/// A coordinator that is away is waited for, and what was said of that is taken back when it is there again.
async function keepFresh() {
  if (!document.hidden && byId("sign-in").hidden) {
    try {
      await refresh();
      if (isAway) complain(null);
      if (isAway && open) drawSoon();
      isAway = false;
    } catch (error) {
      isAway = error.status === undefined;
      complain(isAway ? new Error("The coordinator does not answer. It is asked again every other second.") : error);
    }
  }
  setTimeout(keepFresh, 2000);
}

/// Begins with the film that the address names, so that a reload and a link come back to it; else with the newest.
async function begin() {
  const named = decodeURIComponent(location.hash.slice(1));
  const { films } = await ask("GET", "/v1/films?limit=1");
  const first = named || films[0]?.id;
  if (first) show(first);
}

begin().catch(complain);
addEventListener("hashchange", () => begin().catch(complain));
keepFresh();
