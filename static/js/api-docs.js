// Shows the documents that the page links to. Nothing is asked of another host, such as the one that validates.
"use strict";

// What its markup lacks for those who do not see it, or have no mouse: mended as it is drawn.
const LANDMARKS = { ".information-container": "About", ".schemes-server-container": "Server" };
const reference = document.querySelector("#reference");
const each = (selector, mend) => reference.querySelectorAll(selector).forEach(mend);
let asked = false;
function mend() {
  asked = false;
  each(".opblock-summary-control a[href]", (link) => link.removeAttribute("href"));  // a link within a button
  each("h3, h4, h5, h6", (heading) => heading.setAttribute("aria-level", heading.tagName[1] - 1));  // none is an h2
  each("pre", (sample) => sample.setAttribute("tabindex", 0));  // which may scroll
  for (const [selector, label] of Object.entries(LANDMARKS)) {
    each(selector, (part) => {
      part.setAttribute("role", "region");
      part.setAttribute("aria-label", label);
    });
  }
}
new MutationObserver(() => {
  if (!asked) requestAnimationFrame(mend);
  asked = true;
}).observe(reference, { childList: true, subtree: true });

const links = document.querySelectorAll("nav a");
window.SwaggerUIBundle({
  dom_id: "#reference",
  urls: Array.from(links, (link) => ({ url: link.getAttribute("href"), name: link.textContent })),
  presets: [window.SwaggerUIBundle.presets.apis, window.SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  validatorUrl: null,
  deepLinking: true,
  onComplete: () => document.querySelector("#servers")?.setAttribute("aria-label", "Server"),
});
