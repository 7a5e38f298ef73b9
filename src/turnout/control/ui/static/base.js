/** What every page does: times in the reader's zone. */

const { lang } = document.documentElement;

for (const element of document.querySelectorAll("time[datetime]")) {
  const at = new Date(element.dateTime);
  element.title = element.textContent;
  element.textContent = at.toLocaleString(lang, { dateStyle: "medium", timeStyle: "medium" });
}
