// Shows the documents that the page links to. Nothing is asked of another host, such as the one that validates.
"use strict";

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
