// The pages work without this: it asks before what can't be undone, copies, and keeps the overview current.
"use strict";

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

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
  setInterval(async () => {
    if (document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]")) return;
    const answer = await fetch(location.href, { redirect: "error" }).catch(() => null);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (fresh) live.replaceChildren(...fresh.childNodes);
  }, Number(live.dataset.refresh) * 1000);
}
