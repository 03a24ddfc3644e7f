// What the pages do beyond htmx: polling, dialogs, keys, copying, times that stay fresh. Every page works without it.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const first = (selector) => document.querySelector(selector);
const openDialog = () => first("dialog[open]");
const pausing = () => openDialog() || first(".tick:checked");

// Polling: an element with data-poll="2000" gets the event "poll", which its hx-trigger waits for. Not while the
// tab is hidden, a dialog is open or a row is ticked. After two failures in a row it says so, and asks less and less often.
const LONGEST_PAUSE = 30_000;
const due = new WeakMap();
let failures = 0;

function poll(now) {
  const polled = all("[data-poll]");
  if (!document.hidden && !pausing()) {
    for (const element of polled) {
      const pause = Math.min(element.dataset.poll * 2 ** Math.max(failures - 1, 0), LONGEST_PAUSE);
      if (!due.has(element)) due.set(element, performance.now() + pause);
      if (now || performance.now() >= due.get(element)) {
        due.set(element, performance.now() + pause);
        element.dispatchEvent(new Event("poll"));
      }
    }
  }
  const live = first("#live");
  const lively = polled.some((element) => !("quiet" in element.dataset));
  const state = !lively ? "still" : failures > 1 ? "retrying" : pausing() ? "paused" : "live";
  if (live && live.dataset.state !== state) live.dataset.state = state;
}
setInterval(poll, 200);
document.addEventListener("visibilitychange", () => poll(!document.hidden));
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) failures = 0;
});
for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(name, (event) => {
    if (event.target.matches("[data-poll]")) failures += 1;
    else if (!(event.detail.xhr && [403, 404, 429].includes(event.detail.xhr.status))) {
      say("The server did not answer as it should. Try again.", "error");
    }
  });
}

// A preset takes the place of a span of one's own, which would go before it, and the other way round.
document.addEventListener("change", (event) => {
  if (event.target.id === "started") for (const end of all("#between input")) end.value = "";
  if (event.target.matches("#between input")) first("#started").value = "";
}, true);

// A request that a newer one replaced is no error, though htmx would say so on the console.
htmx.logger = (_, name, detail) => {
  if (name === "htmx:afterRequest" || name === "htmx:sendAbort") delete detail.error;
};

// What is said to the person: in #toast, read out by screen readers, gone after a while; with an Undo when that is
// over, and never from under the focus or the pointer.
let fading;
function say(words, look = "info") {
  const line = document.createElement("p");
  line.className = look;
  line.textContent = words;
  first("#toast").replaceChildren(line);
}
function fade() {
  clearTimeout(fading);
  const toast = first("#toast");
  if (!toast.childElementCount) return;
  fading = setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) fade();
    else toast.replaceChildren();
  }, toast.querySelector("form, #sign-in") ? 60_000 : 10_000);
}
new MutationObserver(fade).observe(first("#toast"), { childList: true });

// The focus is never lost: where what had it is gone, the row or the menu that held it gets it, else the content.
let held = [];
function hold() {
  const had = document.activeElement ?? document.body;
  const around = had.closest("[data-row], details.menu")?.querySelector(".run, summary");
  held = [had.id, around?.id].filter(Boolean);
}
function giveBack() {
  const has = document.activeElement;  // which may just have been hidden
  if ((has !== document.body && has.checkVisibility()) || !held.length) return;
  const left = held.map((id) => document.getElementById(id)).find((element) => element?.checkVisibility());
  (left ?? first("#main")).focus({ preventScroll: true });
}

// Dialogs: the one of the server opens when htmx has filled it, and closes when its cancel is acknowledged.
function show(dialog) {
  hold();
  dialog.showModal();
}
document.addEventListener("htmx:afterSwap", (event) => {
  const dialog = first("#dialog");
  if (event.detail.target !== dialog) return;
  dialog.setAttribute("aria-labelledby", "dialog-title");
  if (!dialog.open) show(dialog);
  else dialog.querySelector("[aria-invalid=true]")?.focus();
});
document.addEventListener("cancelled", () => {
  first("#dialog").close();
  poll(true);
});
first("#dialog").addEventListener("close", (event) => event.target.replaceChildren());
all("dialog").forEach((dialog) => dialog.addEventListener("close", giveBack));

// A swap must neither shut what a person has opened nor take the focus away.
let opened = [];
document.addEventListener("htmx:beforeSwap", () => {
  opened = all("details[id][open]").map((fold) => fold.id);
  if (!openDialog()) hold();
});
document.addEventListener("htmx:afterSettle", () => {
  opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  if (!openDialog()) giveBack();
  dress();
});

// Clicks. One that asks for another tab gets it: htmx would swap in this one.
document.addEventListener("click", (event) => {
  const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
  if (elsewhere && event.target.closest("a[hx-get]")) event.stopPropagation();
}, true);
document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest(selector);
  let found;
  if ((found = on("[data-copy]"))) copy(found);
  if ((found = on("[data-close]"))) found.closest("dialog").close();
  if ((found = on("[data-open]"))) show(first(found.dataset.open));
  if ((found = on("[data-suggest]"))) suggest(found);
  for (const menu of all("details.menu[open]")) {
    if (!menu.contains(event.target) || on("[data-open]")) menu.open = false;
  }
});

async function copy(button) {
  const text = first(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    getSelection().selectAllChildren(first(button.dataset.copy));
    say("Selected: press Ctrl+C to copy.");
  }
}

function suggest(button) {
  const field = first(button.dataset.into);
  field.value = button.dataset.suggest;
  field.focus();
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

// Forms that would lose work: one is asked before leaving what the server does not have, and what is typed while a
// request is under way outlives its answer.
let typed = 0;  // how often something was
let kept = 0;  // of that, what the server has
const sent = new WeakMap();  // request: of that, what there was when it went out
const GUARDED = "form[data-guarded]";
document.addEventListener("input", (event) => {
  if (event.target.closest(GUARDED)) typed += 1;
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches(GUARDED) && !event.defaultPrevented) kept = typed;
  if (form.matches(".choice")) form.elements.next.value = location.pathname + location.search;  // the filters of now
});
document.addEventListener("htmx:beforeRequest", ({ detail }) => sent.set(detail.xhr, typed));
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const form = detail.target.querySelector(GUARDED);
  if (!form || !detail.shouldSwap) return;
  if (typed === sent.get(detail.xhr)) kept = typed;
  else if (movesOpenStep(detail)) carry(form);
  else {  // the answer is asked for anew once this is saved
    detail.shouldSwap = false;
    form.requestSubmit();
    if (detail.requestConfig.verb === "get") detail.requestConfig.elt.click();
  }
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!detail.elt.matches(GUARDED)) return;
  if (detail.successful && detail.xhr.status < 300) kept = Math.max(kept, sent.get(detail.xhr));
  else if (![412, 422].includes(detail.xhr.status)) notSaved();
});
addEventListener("beforeunload", (event) => {
  if (typed > kept) event.preventDefault();
});

// After an expired login a page stays that holds what the server does not have. It is saved from there, with the token
// of the new login, once one has signed in beside it.
let signedOut = false;
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const door = event.detail.xhr.getResponseHeader("HX-Redirect");
  if (!door?.startsWith("/login/") || typed <= kept) return;
  event.preventDefault();
  if (signedOut && event.target.matches("[data-poll]")) return;
  signedOut = true;
  say("You are signed out, and this is not saved. Save it again once you have signed in.", "warning");
  const link = document.createElement("a");
  Object.assign(link, { id: "sign-in", href: door, target: "_blank", textContent: "Sign in" });
  first("#toast").firstChild.append(link);
});
document.addEventListener("htmx:configRequest", ({ detail }) => {
  const token = signedOut && document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1];
  if (!token) return;
  detail.headers["X-CSRFToken"] = token;
  if (detail.formData.has("csrfmiddlewaretoken")) detail.parameters.csrfmiddlewaretoken = token;
});

function notSaved() {
  const words = document.createElement("strong");
  words.className = "error";
  words.textContent = "Not saved";
  first("#saved")?.replaceChildren(words);
}

// Whether the answer shows the step that is open now, in its new place.
function movesOpenStep({ requestConfig, xhr }) {
  const place = first(".steps > .open")?.dataset.place;
  return xhr.status < 300 && [`up.${place}`, `down.${place}`].includes(requestConfig.formData.get("do"));
}

// Puts what is in the form's fields into those that take their place, and saves it.
function carry(form) {
  const fields = [...form.querySelectorAll("input, select, textarea")].filter((field) => field.id);
  const { id, selectionStart, selectionEnd } = document.activeElement;
  document.addEventListener("htmx:afterSettle", () => {
    for (const field of fields) {
      Object.assign(document.getElementById(field.id) ?? {}, { value: field.value, checked: field.checked });
    }
    document.getElementById(id)?.focus();
    if (selectionStart != null) document.getElementById(id)?.setSelectionRange(selectionStart, selectionEnd);
    first("#step").requestSubmit();
  }, { once: true });
}

// Keys. Off while typing, with a modifier, in a dialog, or when switched off (WCAG 2.1.4).
let afterG = 0;
const go = (address) => location.assign(address);
const rows = () => all("[data-row] .run");
function step(by) {
  const links = rows();
  const at = links.findIndex((link) => link.closest("[data-row]").contains(document.activeElement));
  links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)]?.focus();
}
const keys = {
  "/": () => (first("#q") ? (first("#q").focus(), first("#q").select()) : go("/logs/")),
  "?": () => show(first("#keys")),
  j: () => step(1),
  k: () => step(-1),
  x: () => document.activeElement.closest("[data-row]")?.querySelector(".tick")?.click(),
  c: () => (document.activeElement.closest("[data-row]")?.querySelector(".cancel") ?? first("#cancel-run"))?.click(),
  g: () => { afterG = performance.now(); },
};
function shut(menu) {
  if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  menu.open = false;
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") all("details.menu[open]").forEach(shut);
  if ((event.ctrlKey || event.metaKey) && event.key === "s" && first("#save")) {
    event.preventDefault();
    first("#save").form.requestSubmit(first("#save"));
    return;
  }
  if (event.key === "ArrowDown" && event.target.id === "q" && rows().length) {
    event.preventDefault();
    step(1);
    return;
  }
  const typing = event.target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || openDialog()) return;
  if (localStorage.getItem("keys") === "off") return;
  const second = performance.now() - afterG < 1000 && { o: "/", l: "/logs/", b: "/bulk/", a: "/templates/", m: "/messages/", r: "/recipients/", d: "/docs/" }[event.key];
  afterG = 0;
  if (second) go(second);
  else if (Object.hasOwn(keys, event.key)) {
    event.preventDefault();
    keys[event.key]();
  }
});
const keysOn = first("#keys-on");
keysOn.checked = localStorage.getItem("keys") !== "off";
keysOn.addEventListener("change", () => localStorage.setItem("keys", keysOn.checked ? "on" : "off"));

// "in 23 h" stays true while one looks; the words are those of logs/templatetags/shown.py.
const UNITS = [[172_800, 86_400, "d"], [3600, 3600, "h"], [60, 60, "min"], [1, 1, "s"]];
function relative(moment) {
  const seconds = Math.round((moment - Date.now()) / 1000);
  const size = Math.abs(seconds);
  for (const [from, length, unit] of UNITS) {
    if (size >= from) {
      const count = Math.floor(size / length);
      return seconds > 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
    }
  }
  return "now";
}
setInterval(() => {
  for (const time of all("time[data-relative]")) {
    const words = relative(Date.parse(time.dateTime));
    if (time.textContent !== words) time.textContent = words;
  }
}, 1000);

// How many are ticked, on the button that calls them off
function count() {
  const ticked = all(".tick:checked").length;
  const words = ticked ? `${ticked} ticked run${ticked === 1 ? "" : "s"}` : "the ticked runs";
  const button = first("#cancel-ticked");
  if (button) button.textContent = `Cancel ${words}…`;
}
document.addEventListener("change", (event) => {
  if (event.target.matches(".tick")) count();
});

// On a narrow screen the form of a step stands below the list: whoever opens a step is led there.
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  const opens = detail.requestConfig?.elt.matches(".steps a");
  if (opens && matchMedia("(max-width: 960px)").matches) first("#step")?.scrollIntoView();
});

// What only works with JavaScript shows only with it.
function dress() {
  count();
  all("[data-copy], button[data-open]").forEach((button) => { button.hidden = false; });
  for (const button of all("[data-zone]")) {
    button.value = Intl.DateTimeFormat().resolvedOptions().timeZone;
    button.hidden = button.value === "UTC";
  }
}
// On a narrow screen the places are a row that scrolls: it begins where one is.
const here = first(".side [aria-current]");
if (here) here.closest(".side").scrollLeft = here.offsetLeft - 60;

dress();
poll();
fade();
