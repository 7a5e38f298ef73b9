/** What every page does: copying, times in the reader's zone, and asking before something is destroyed. */

const page = document.documentElement;

/** The text of a page's catalogue: templates put texts for scripts into `data-…` attributes. */
export function localTime(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  element.title = element.dateTime;
  element.textContent = at.toLocaleString(page.lang, { dateStyle: "medium", timeStyle: "medium" });
}

/** Make all times below an element local; live views call it for what they add. */
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) localTime(element);
}

/** Ask the API as the person who is logged in. Gives the document; throws an Error with the problem's words. */
export async function api(path, { method = "GET", body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRF-Token"] = document.querySelector('meta[name="csrf"]').content;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  const document_ = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw Object.assign(new Error(document_?.detail ?? answer.statusText), { problem: document_ });
  return document_;
}

function offerCopies(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) continue;
    button.hidden = false;
    const said = button.textContent;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "✓";
      setTimeout(() => (button.textContent = said), 1200);
    });
  }
}

function askFirst(event) {
  const form = event.target;
  if (!form.dataset.confirm || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.createElement("dialog");
  const text = document.createElement("p");
  text.textContent = form.dataset.confirm;
  text.id = "confirm-text";
  dialog.setAttribute("aria-labelledby", text.id);
  const yes = document.createElement("button");
  yes.className = "button danger";
  yes.textContent = form.dataset.confirmYes;
  const no = document.createElement("button");
  no.className = "button";
  no.textContent = page.lang === "fr" ? "Annuler" : "Cancel";
  const actions = document.createElement("div");
  actions.className = "actions";
  actions.append(no, yes);
  dialog.append(text, actions);
  document.body.append(dialog);
  no.addEventListener("click", () => dialog.close());
  yes.addEventListener("click", () => {
    form.dataset.confirmed = "yes";
    dialog.close();
    form.requestSubmit(event.submitter);
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  no.focus();
}

localTimes(document);
offerCopies(document);
document.addEventListener("submit", askFirst);
