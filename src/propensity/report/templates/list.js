// The list: search, sort, and a row that opens its reasons. Words that came from data are only ever set as text.
const written = name => JSON.parse(document.getElementById(name).textContent);
const percent = value => (100 * value).toFixed(value < 0.1 ? 1 : 0) + "%";
const signed = value => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(1);
const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

function reasonsOf(list, row) {
  const table = element("table", null, { class: "waterfall" });
  table.append(element("caption", "Points: why this rank"));
  const line = (text, points, kind) => {
    const tr = element("tr", null, { class: kind });
    tr.append(element("th", text, { scope: "row", dir: "auto" }), element("td", points, { class: "n" }));
    table.append(tr);
  };
  line("Base: where everybody starts", list.base_points.toFixed(1), "ends");
  for (const [text, points] of row.reasons) line(text, signed(points), "");
  line("Everything else", signed(row.other_points), "other");
  line("Points", row.points.toFixed(1), "ends");
  if (!row.customer_reason) return table;
  const told = element("p", "The customer may be told: ", { class: "told" });
  told.append(element("q", row.customer_reason, { dir: "auto" }));
  const both = element("div");
  both.append(table, told);
  return both;
}

function showList(DataTable) {
  const list = written("list-rows"), names = Object.keys(list.columns);
  const rows = list.columns.rank.map((_, i) => Object.fromEntries(names.map(name => [name, list.columns[name][i]])));
  const text = DataTable.render.text();
  const plain = { display: value => (value === null ? "–" : text.display(value)), filter: value => value ?? "" };
  const column = (data, title, more = {}) => ({ data, title, render: plain, defaultContent: "–", ...more });
  const number = (digits, suffix = "") => ({
    render: (value, kind) => (kind !== "display" ? value : value === null ? "–" : value.toFixed(digits) + suffix), className: "n",
  });
  const columns = [
    {
      data: null, title: '<span class="unseen">Reasons</span>', orderable: false, searchable: false, className: "opens",
      render: (_, kind, row) => {
        if (kind !== "display") return "";
        const button = element("button", "›", { type: "button", "aria-expanded": "false" });
        button.setAttribute("aria-label", `Reasons of rank ${row.rank}`);
        return button;
      },
    },
    column("rank", "Rank", number(0)),
    column("customer_id", "Customer"),
    column("probability", "Probability", {
      className: "n",
      render: (value, kind, row) =>
        kind !== "display" ? value : `${percent(value)} (${percent(row.probability_low)} to ${percent(row.probability_high)})`,
    }),
    column("points", "Points", number(0)),
  ];
  const optional = { scorecard_points: ["Scorecard", number(0)], grade: ["Grade", {}], buying_stage: ["Stage", {}], segment: ["Segment", {}] };
  for (const [name, [title, more]] of Object.entries(optional)) if (names.includes(name)) columns.push(column(name, title, more));
  columns.push({
    data: "reasons", title: "Strongest reason", orderable: false,
    render: (reasons, kind) => {
      const shown = kind === "display" ? reasons.slice(0, 1) : reasons;
      const words = shown.map(([words]) => words).join("; ");
      return kind === "display" ? text.display(words) : words;
    },
  });
  document.getElementById("list-frame").hidden = false;
  const table = new DataTable("#list-table", {
    data: rows, columns, order: [[1, "asc"]], pageLength: 25, deferRender: true, autoWidth: false,
    lengthMenu: [10, 25, 100], layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
    language: { search: "Search", lengthMenu: "Rows _MENU_", entries: { _: "prospects", 1: "prospect" } },
  });
  document.getElementById("list-table").addEventListener("click", event => {
    const tr = event.target.closest("tbody tr"), row = tr && table.row(tr);
    if (!row || !row.data() || window.getSelection().toString()) return;
    const button = tr.querySelector("button");
    if (row.child.isShown()) row.child.hide();
    else row.child(reasonsOf(list, row.data())).show();
    button.setAttribute("aria-expanded", String(row.child.isShown()));
  });
}

// The slider: how many buyers so many contacts reach, and how many are contacted in vain.
function showDepths() {
  const depths = written("depths"), frame = document.getElementById("depth-frame");
  const slider = document.getElementById("depth"), put = (id, words) => (document.getElementById(id).textContent = words);
  const whole = value => Math.round(value).toLocaleString("en-US");
  const show = () => {
    const at = depths[slider.value - 1];
    put("depth-contacts", whole(at.contacts));
    put("depth-share", percent(at.share) + " of the list");
    put("depth-buyers", whole(at.buyers));
    put("depth-interval", `${whole(at.low)} to ${whole(at.high)} (90% interval)`);
    put("depth-vain", whole(at.contacts - at.buyers));
    put("depth-each", at.buyers > 0 ? (at.contacts / at.buyers).toFixed(1) : "–");
    put("depth-captured", at.captured === null ? "–" : percent(at.captured));
    slider.setAttribute("aria-valuetext", `${whole(at.contacts)} contacts, ${whole(at.buyers)} buyers expected`);
  };
  slider.addEventListener("input", show);
  frame.hidden = false;
  show();
}
