"use strict";
// Adds a search and buttons to copy. The page is complete without this script, so its parts are created here.
(() => {
  const status = document.getElementById("status");
  const make = (tag, fields) => Object.assign(document.createElement(tag), fields);

  const search = document.getElementById("search");
  const articles = [...document.querySelectorAll("article")];
  const operations = articles.map((article) => {
    // Not the responses: they repeat the fields of the body on many operations.
    const parts = article.querySelectorAll("h3, .line, h3 ~ p, details:not(.responses)");
    const text = [...parts].map((part) => part.textContent).join(" ").toLowerCase();
    const link = document.querySelector(`nav a[href="#${article.id}"]`);
    return { article, item: link.parentElement, text };
  });
  const groups = [...document.querySelectorAll("nav ul")].map((list) => [list, list.previousElementSibling]);
  const sections = [...document.querySelectorAll("main > section")].filter((it) => it.querySelector("article"));

  const find = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const { article, item, text } of operations) {
      const fits = words.every((word) => text.includes(word));
      article.hidden = item.hidden = !fits;
      found += fits;
    }
    for (const [list, heading] of groups) {
      list.hidden = heading.hidden = !list.querySelector("li:not([hidden])");
    }
    for (const section of sections) {
      section.hidden = !section.querySelector("article:not([hidden])");
    }
    status.textContent = words.length ? `${found} of ${operations.length} operations` : "";
  };
  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      find();
    }
  });
  // A link to an operation shows it, whatever the search is.
  addEventListener("hashchange", () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target && target.closest("[hidden]")) {
      search.value = "";
      find();
      target.scrollIntoView();
    }
  });
  document.getElementById("find").hidden = false;
  // The browser may keep the text of a page that is loaded again.
  find();

  // `navigator.clipboard` exists on https and on localhost only.
  const copy = async (pre) => {
    if (navigator.clipboard) {
      return navigator.clipboard.writeText(pre.textContent);
    }
    getSelection().selectAllChildren(pre);
    if (!document.execCommand("copy")) {
      throw new Error("not copied");
    }
  };
  for (const pre of document.querySelectorAll("pre")) {
    const article = pre.closest("article");
    const of = article ? article.querySelector("h3").textContent : pre.textContent.split("\n")[0];
    const button = make("button", { type: "button", textContent: "Copy" });
    button.setAttribute("aria-label", `Copy the command: ${of}`);
    button.addEventListener("click", async () => {
      let result = "Copied";
      try {
        await copy(pre);
      } catch {
        result = "Select the text to copy it";
      }
      button.textContent = result;
      status.textContent = result;
      setTimeout(() => {
        button.textContent = "Copy";
      }, 2000);
    });
    const box = make("div", { className: "copyable" });
    pre.replaceWith(box);
    box.append(pre, button);
  }
})();
