// Filters of the completions. Without this script everything is shown.
(() => {
  const section = document.getElementById("samples");
  if (!section) return;
  const form = section.querySelector("form");
  const selects = [...form.querySelectorAll("select")];
  const cards = [...section.querySelectorAll("article")];
  const apply = () => {
    const want = Object.fromEntries(selects.map((select) => [select.dataset.filter, select.value]));
    const fits = (element, key) => want[key] === "" || element.dataset[key] === want[key];
    let attempts = 0, right = 0, problems = 0;
    for (const card of cards) {
      let shown = 0;
      for (const attempt of card.querySelectorAll(".attempt")) {
        attempt.hidden = !(fits(card, "capability") && fits(attempt, "stage") && fits(attempt, "verdict"));
        if (attempt.hidden) continue;
        shown += 1;
        right += attempt.dataset.verdict === "right" ? 1 : 0;
      }
      card.hidden = shown === 0;
      attempts += shown;
      problems += shown ? 1 : 0;
    }
    form.querySelector("output").textContent = `right: ${right} of ${attempts} · problems: ${problems}`;
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
