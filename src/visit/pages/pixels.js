(function () {
  "use strict";
  var own = document.currentScript;
  var ids = own.dataset;

  // Before anything else, so that no error of a vendor's script can stop the visitor. On a page with a
  // frame there is no such link.
  var go = document.getElementById("go");
  if (go) setTimeout(function () {
    location.replace(go.href);
  }, 700);

  function load(src) {
    var script = document.createElement("script");
    script.async = true;
    script.nonce = own.nonce;
    script.src = src;
    document.head.appendChild(script);
  }

  if (ids.meta) {
    var fbq = window.fbq = window._fbq = function () {
      if (fbq.callMethod) fbq.callMethod.apply(fbq, arguments);
      else fbq.queue.push(arguments);
    };
    fbq.push = fbq;
    fbq.loaded = true;
    fbq.version = "2.0";
    fbq.queue = [];
    // Reports the page view only. Clicks and forms are not observed: the page has none.
    fbq("set", "autoConfig", false, ids.meta);
    fbq("init", ids.meta);
    fbq("track", "PageView");
    load("https://connect.facebook.net/en_US/fbevents.js");
  }

  var layer = window.dataLayer = window.dataLayer || [];

  function loadContainer(id) {
    layer.push({ "gtm.start": Date.now(), event: "gtm.js" });
    load("https://www.googletagmanager.com/gtm.js?id=" + encodeURIComponent(id));
  }

  if (ids.gtm) loadContainer(ids.gtm);

  if (ids.google) {
    if (ids.google.indexOf("GTM-") === 0) {
      loadContainer(ids.google);
    } else {
      var gtag = window.gtag = function () {
        layer.push(arguments);
      };
      gtag("js", new Date());
      gtag("config", ids.google);
      load("https://www.googletagmanager.com/gtag/js?id=" + encodeURIComponent(ids.google));
    }
  }
})();
