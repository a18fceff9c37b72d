// Shows the document that the page names. Where it asks for a token, the reader is asked first; the token is kept for as
// long as the page is open, and sent with each request.
"use strict";

const shown = document.getElementById("swagger-ui");
const asked = document.getElementById("token-form");
const said = document.getElementById("said");
const address = new URL(shown.dataset.document, window.location.href).href;
let token = "";

function say(text) {
  said.textContent = text;
  said.hidden = text === "";
}

async function start() {
  let answer;
  try {
    answer = await fetch(address, { headers: token === "" ? {} : { Authorization: `Bearer ${token}` } });
  } catch (error) {
    return say(`The document cannot be fetched: ${error.message}`);
  }
  if (answer.status === 401) {
    asked.hidden = false;
    asked.elements.token.focus();
    return say(token === "" ? "" : "The server does not take this token.");
  }
  if (!answer.ok) {
    return say(`${answer.status}: ${await answer.text()}`);
  }
  asked.hidden = true;
  say("");
  const ui = SwaggerUIBundle({
    url: address,
    dom_id: "#swagger-ui",
    docExpansion: "none",
    tryItOutEnabled: true,
    displayRequestDuration: true,
    deepLinking: true,
    validatorUrl: null,
    requestInterceptor: (request) => {
      if (token !== "" && !request.headers.Authorization) {
        request.headers.Authorization = `Bearer ${token}`;
      }
      return request;
    },
    onComplete: () => token !== "" && ui.preauthorizeApiKey("token", token),
  });
}

asked.addEventListener("submit", (event) => {
  event.preventDefault();
  token = asked.elements.token.value.trim();
  start();
});
start();
