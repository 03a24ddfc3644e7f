// Puts the entries of a list into another order by dragging. Where they are dropped, their places as they were go
// into the form's field "order", and the form is sent; the buttons beside them do the same without a mouse.
"use strict";

let dragged = null;
const listOf = (event) => event.target.closest?.("[data-sortable]");

document.addEventListener("pointerdown", (event) => {
  const entry = event.target.closest("[data-sortable] > li");
  if (entry) entry.draggable = Boolean(event.target.closest(".grip"));
});
document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.("[data-sortable] > li") ?? null;
  if (!dragged) return;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.place);
  dragged.classList.add("dragged");
});
document.addEventListener("dragover", (event) => {
  const list = listOf(event);
  if (!dragged || list !== dragged.parentElement) return;
  event.preventDefault();
  const after = [...list.children].find((entry) => {
    const box = entry.getBoundingClientRect();
    return entry !== dragged && event.clientY < box.top + box.height / 2;
  });
  list.insertBefore(dragged, after ?? null);
});
document.addEventListener("drop", (event) => {
  if (dragged && listOf(event) === dragged.parentElement) event.preventDefault();
});
document.addEventListener("dragend", () => {
  if (!dragged) return;
  const list = dragged.parentElement;
  dragged.classList.remove("dragged");
  dragged = null;
  const order = [...list.children].map((entry) => entry.dataset.place);
  if (order.every((place, index) => place === String(index))) return;
  const form = document.querySelector(list.dataset.sortable);
  form.elements.order.value = order.join(",");
  form.querySelector("#reorder").click();
});
