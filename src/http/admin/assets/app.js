// Enhances pages that work without it: copies texts, filters without a reload, single keys, charts by arrow keys, and
// the live view. It uses no sink of HTML: the policy of the pages requires trusted types.
"use strict";
(() => {
  const main = () => document.getElementById("main");

  // Buttons that copy are useless without a script, so they are shown here.
  const prepare = (root) => {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
    for (const element of root.querySelectorAll("[data-script]")) element.hidden = false;
    for (const svg of root.querySelectorAll("svg[data-chart]")) enliven(svg);
    listen(root);
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

  // A chart is one stop of the tab key: the arrow keys and the pointer move through its points. They are the numbers of the
  // table of its figure, in the same order, so that the words of a point are those of its row.
  const points = (svg) => {
    const table = svg.closest("figure").querySelector("table");
    if (!table) return [];
    const heads = [...table.tHead.rows[0].cells];
    const rows = [...table.tBodies[0].rows];
    const words = (head) => head.textContent.trim().toLowerCase();
    if (svg.dataset.chart !== "week") {
      return rows.map((row, x) => {
        const [name, ...numbers] = [...row.cells].map((cell) => cell.textContent.trim());
        const text = numbers.map((number, at) => `${number} ${words(heads[at + 1])}`).join(", ");
        return { x, y: 0, text: `${name}: ${text}` };
      });
    }
    // The hours are the rows of the table, and the columns of the chart.
    return heads.slice(1).flatMap((head, y) => rows.map((row, x) => {
      const hour = row.cells[0].textContent.trim();
      return { x, y, text: `${head.abbr} ${hour}: ${row.cells[y + 1].textContent.trim()}` };
    }));
  };

  const enliven = (svg) => {
    const all = points(svg);
    const plot = svg.querySelector("svg");
    if (!all.length || !plot) return;
    const columns = Math.max(...all.map((point) => point.x)) + 1;
    const lines = all.length / columns;
    // The tooltips of the browser would cover those of the script.
    for (const group of svg.querySelectorAll(".chart-slots")) group.remove();
    const cursor = document.createElementNS(svg.namespaceURI, "rect");
    cursor.setAttribute("class", "chart-cursor");
    cursor.setAttribute("width", "0");
    cursor.setAttribute("height", plot.viewBox.baseVal.height / lines);
    plot.prepend(cursor);
    const shown = document.createElement("p");
    shown.className = "chart-point";
    shown.setAttribute("aria-hidden", "true");
    svg.after(shown);
    let at = -1;
    const show = (next) => {
      at = next;
      const point = all[at];
      shown.textContent = point ? point.text : "";
      cursor.setAttribute("width", point ? "1" : "0");
      if (!point) return;
      cursor.setAttribute("x", point.x);
      cursor.setAttribute("y", point.y * plot.viewBox.baseVal.height / lines);
    };
    svg.tabIndex = 0;
    svg.addEventListener("keydown", (event) => {
      const line = lines > 1 ? columns : 0;
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: line, ArrowUp: -line, Home: -all.length, End: all.length }[event.key];
      if (!step) return;
      event.preventDefault();
      show(Math.min(all.length - 1, Math.max(0, at < 0 && step === 1 ? 0 : at + step)));
      say(all[at].text);
    });
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const x = Math.floor((event.clientX - box.left) / box.width * columns);
      const y = Math.floor((event.clientY - box.top) / box.height * lines);
      show(x < 0 || y < 0 || x >= columns || y >= lines ? -1 : y * columns + x);
    });
    for (const end of ["pointerleave", "blur"]) svg.addEventListener(end, () => show(-1));
  };

  // The live view: events of the server each second, and a chart of the server each minute.
  let events;
  const listen = (root) => {
    const view = root.querySelector("[data-live]");
    events?.close();
    events = view ? new EventSource(view.dataset.live) : undefined;
    if (!view) return;
    const counts = { minute: 0, hour: 0 };
    let begun = false;
    const write = () => {
      for (const name of Object.keys(counts)) view.querySelector(`[data-count=${name}]`).textContent = counts[name].toLocaleString("en");
    };
    events.addEventListener("minutes", (event) => {
      const minutes = JSON.parse(event.data).clicksPerMinute;
      counts.minute = minutes[minutes.length - 1] ?? 0;
      counts.hour = minutes.reduce((sum, clicks) => sum + (clicks ?? 0), 0);
      write();
      const chart = view.querySelector("[data-chart-of-hour]");
      if (begun && chart) redraw(chart);
      begun = true;
    });
    events.addEventListener("message", (event) => {
      const { time, clicks } = JSON.parse(event.data);
      if (!clicks) return;
      counts.minute += clicks;
      counts.hour += clicks;
      write();
      const list = view.querySelector("[data-seconds]");
      const item = document.createElement("li");
      for (const text of [time.slice(11, 19), clicks === 1 ? "1 click" : `${clicks.toLocaleString("en")} clicks`]) {
        item.append(Object.assign(document.createElement("span"), { textContent: text }));
      }
      list.prepend(item);
      if (list.children.length > 20) list.lastElementChild.remove();
      view.querySelector("[data-waiting]").hidden = true;
    });
    events.addEventListener("end", (event) => {
      events.close();
      const said = view.querySelector("[data-end]");
      said.textContent = `The live view has ended: ${JSON.parse(event.data).reason}.`;
      said.hidden = false;
    });
  };

  const redraw = (chart) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.responseType = "document";
    request.onload = () => {
      const next = request.response?.querySelector("[data-chart-of-hour]");
      if (request.status !== 200 || !next) return;
      chart.replaceChildren(...document.adoptNode(next).childNodes);
      for (const svg of chart.querySelectorAll("svg[data-chart]")) enliven(svg);
    };
    request.send();
  };

  prepare(document);
})();
