// The pages work without this: it asks before what can't be undone, copies, and keeps the overview current.
"use strict";

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// Browsers have no clipboard for pages of a host name without TLS.
if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;

document.addEventListener("click", async (event) => {
  const id = event.target.dataset?.copy;
  if (!id) return;
  await navigator.clipboard.writeText(document.getElementById(id).textContent);
  const label = event.target.textContent;
  event.target.textContent = "Copied";
  setTimeout(() => { event.target.textContent = label; }, 2000);
});

const live = document.getElementById("live");
if (live) {
  const time = () => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const age = document.createElement("p");
  age.className = "hint";
  const stale = document.createElement("p");
  stale.className = "bad";
  stale.setAttribute("role", "status");
  live.before(age, stale);

  let asOf, why = "";
  const current = () => { asOf = time(); age.textContent = `As of ${asOf}.`; say(""); };
  // The words change only when the reason does: a screen reader reads them at each change.
  const say = (reason) => {
    if (reason === why) return;
    why = reason;
    stale.replaceChildren();
    if (!why) return;
    const door = document.createElement("a");
    door.href = "/login?next=/";
    door.textContent = "Log in again";
    stale.append(`Not current since ${asOf}: ${why}. `, door);
  };

  // What is wrong, or nothing.
  const refresh = async () => {
    try {
      // The header says that nobody uses the session by this. A redirect leads to the login.
      const answer = await fetch("/", { redirect: "manual", headers: { "X-Sealpost-Refresh": "1" }, signal: AbortSignal.timeout(20000) });
      if (answer.type === "opaqueredirect") return "the session has ended";
      if (!answer.ok) return `the daemon answered with status ${answer.status}`;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (!fresh) return "what answers is not the console";
      live.replaceChildren(...fresh.childNodes);
      return "";
    } catch {
      return "the daemon does not answer";
    }
  };

  const tick = async () => {
    if (document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]")) return;
    const reason = await refresh();
    if (reason) say(reason); else current();
  };
  current();
  setInterval(tick, Number(live.dataset.refresh) * 1000);
  document.addEventListener("visibilitychange", tick);
}
