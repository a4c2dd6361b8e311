// Enhances pages that work without it: copies texts, filters without a reload, single keys, charts by arrow keys, and
// the live view. It uses no sink of HTML: the policy of the pages requires trusted types.
"use strict";
(() => {
  const main = () => document.getElementById("main");

  // Buttons that copy are useless without a script, so they are shown here.
  const prepare = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
    for (const element of root.querySelectorAll("[data-script]")) element.hidden = false;
  };

  const say = (text) => {
    let region = document.getElementById("said");
    if (!region) {
      region = document.createElement("p");
      region.id = "said";
      region.className = "hidden";
      region.setAttribute("role", "status");
      document.body.append(region);
    }
    region.textContent = text;
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      const text = button.textContent;
      button.textContent = "Copied";
      say("Copied");
      setTimeout(() => { button.textContent = text; }, 1500);
    } catch {
      say("The browser did not allow the copy");
    }
  });

  // Pages of the same screen replace <main> only. XMLHttpRequest parses the document, which runs no script.
  const load = (url, push) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.onload = () => {
      const next = request.response && request.response.getElementById("main");
      if (request.status !== 200 || !next || request.response.querySelector(".alone")) { location.assign(url); return; }
      if (push) history.pushState(null, "", request.responseURL || url);
      const focused = document.activeElement && document.activeElement.id;
      main().replaceWith(document.adoptNode(next));
      document.title = request.response.title;
      prepare(main());
      const again = focused && document.getElementById(focused);
      if (again && main().contains(again)) again.focus(); else main().focus({ preventScroll: true });
      if (push) scrollTo(0, 0);
    };
    request.onerror = () => location.assign(url);
    request.send();
  };

  const isPlain = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

  document.addEventListener("click", (event) => {
    const link = event.target.closest("main a[href]");
    if (!link || !isPlain(event) || event.defaultPrevented || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    // Filters and pages of a list stay on their path.
    if (url.origin !== location.origin || url.pathname !== location.pathname || url.hash) return;
    event.preventDefault();
    load(url.href, true);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "get" || !form.classList.contains("filters")) return;
    event.preventDefault();
    const url = new URL(form.action);
    for (const [name, value] of new FormData(form)) if (value !== "") url.searchParams.append(name, value);
    load(url.href, true);
  });

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.filters");
    if (form && event.target.tagName === "SELECT") form.requestSubmit();
  });

  // The outcome of a visit follows the form while it is edited. Nothing is saved.
  let waiting;
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form");
    const panel = form && form.querySelector("[data-explain]");
    if (!panel || !form.elements.url.value) return;
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const fields = new URLSearchParams(new FormData(form));
      fields.set("act", "explain");
      const request = new XMLHttpRequest();
      request.open("POST", form.getAttribute("action"));
      request.responseType = "document";
      request.onload = () => {
        const next = request.response && request.response.querySelector("[data-explain] .outcome");
        panel.querySelector(".outcome")?.remove();
        if (next) panel.append(document.adoptNode(next));
      };
      request.send(fields);
    }, 400);
  });

  // The box above a list checks all of its rows.
  document.addEventListener("change", (event) => {
    if (!event.target.matches("[data-all]")) return;
    for (const box of document.querySelectorAll("input[type=checkbox][name=id]")) box.checked = event.target.checked;
  });

  // Work in steps continues by itself: the same button does it without a script.
  const next = document.querySelector("form[data-continue]");
  if (next) setTimeout(() => next.requestSubmit(), 300 + 1000 * Number(next.dataset.continue));
  const running = document.querySelector("[data-reload]");
  if (running) setTimeout(() => location.reload(), 1000 * Number(running.dataset.reload));

  addEventListener("popstate", () => load(location.href, false));

  // Single keys can be switched off (WCAG 2.1.4) in the settings.
  let before = "";
  document.addEventListener("keydown", (event) => {
    const off = document.documentElement.dataset.keys === "off";
    const isTyping = event.target.closest("input, select, textarea, [contenteditable]");
    if (off || isTyping || event.metaKey || event.ctrlKey || event.altKey) return;
    const go = (path) => { event.preventDefault(); location.assign(path); };
    if (before === "g") {
      before = "";
      const paths = { o: "/admin", l: "/admin/links", s: "/admin/statistics", t: "/admin/tags", k: "/admin/keys" };
      if (paths[event.key]) go(paths[event.key]);
      return;
    }
    before = event.key;
    if (event.key === "/") { event.preventDefault(); document.getElementById("find")?.focus(); }
    if (event.key === "n") document.querySelector("a[aria-keyshortcuts=n]") && go("/admin/links/new");
    if (event.key === "e") { const edit = document.querySelector("a[aria-keyshortcuts=e]"); if (edit) go(edit.href); }
    if (event.key === "?") go("/admin/settings#keys");
  });

  // A chart is one stop of the tab key: the arrow keys move through its bars, whose labels are read out.
  document.addEventListener("keydown", (event) => {
    const chart = event.target.closest("[data-chart]");
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!chart || !step) return;
    event.preventDefault();
    const bars = [...chart.querySelectorAll("[data-label]")];
    if (!bars.length) return;
    const at = bars.findIndex((bar) => bar.classList.contains("at"));
    const next = bars[Math.min(bars.length - 1, Math.max(0, at < 0 ? (step > 0 ? 0 : bars.length - 1) : at + step))];
    for (const bar of bars) bar.classList.toggle("at", bar === next);
    say(next.dataset.label);
  });

  prepare(document);
})();
