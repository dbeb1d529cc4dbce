// Sliders in groups: one for each morph target, and three for the turn of the head.

const GROUPS = [
  ["Eyes", /^eye/i, /^eye(?=[A-Z])/],
  ["Brows", /^brow/i, /^brow(?=[A-Z])/],
  ["Mouth", /^mouth/i, /^mouth(?=[A-Z])/],
  ["Jaw, cheeks, nose, tongue", /^(jaw|cheek|nose|tongue)/i, null],
];
const SIDES = [[/Left\b/, "Right"], [/Right\b/, "Left"], [/left\b/, "right"], [/right\b/, "left"]];

// The name of the same movement on the other side, or undefined.
function twin(name, names) {
  for (const [side, other] of SIDES) {
    const mirrored = name.replace(side, other);
    if (mirrored !== name && names.includes(mirrored)) return mirrored;
  }
  return undefined;
}

function label(name, prefix) {
  const short = prefix ? name.replace(prefix, "") : name;
  const words = short.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words[0].toUpperCase() + words.slice(1);
}

// The groups of names; names that follow no scheme are one group.
function grouped(names) {
  const found = GROUPS.map(([title, pattern, prefix]) => ({ title, prefix, names: names.filter((name) => pattern.test(name)) }));
  const known = found.flatMap((group) => group.names);
  if (known.length < names.length / 2) return [{ title: "Expression", prefix: null, names }];
  const rest = names.filter((name) => !known.includes(name));
  return [...found, { title: "Other", prefix: null, names: rest }].filter((group) => group.names.length);
}

function slider(parent, text, hint, [low, high, step], changed) {
  const row = document.createElement("div");
  row.className = "slider";
  const caption = document.createElement("label");
  const input = document.createElement("input");
  const output = document.createElement("output");
  input.id = `slider-${hint}`;
  Object.assign(caption, { htmlFor: input.id, textContent: text, title: `${hint}; double-click for 0` });
  Object.assign(input, { type: "range", min: low, max: high, step });
  const digits = step < 0.1 ? 2 : 0;
  const set = (value) => {
    // A fitted value may lie beyond what the slider offers.
    if (value < +input.min) input.min = value;
    if (value > +input.max) input.max = value;
    input.value = value;
    output.textContent = (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits);
  };
  input.oninput = () => { set(+input.value); changed(+input.value); };
  caption.ondblclick = () => { set(0); changed(0); };
  row.append(caption, input, output);
  parent.append(row);
  return set;
}

function group(parent, title, note, open) {
  const details = document.createElement("details");
  details.open = open;
  const summary = document.createElement("summary");
  const [text, small] = [document.createElement("span"), document.createElement("small")];
  text.textContent = title;
  small.textContent = note;
  summary.append(text, small);
  details.append(summary);
  parent.append(details);
  return details;
}

// names: of the morph targets. range: of their weights. onWeight(name, value) and onTurn(axis, degrees) are
// called when the user moves one. Returns what shows other values: { weights(array), turn([pitch, yaw, roll]) }.
export function makeSliders(parent, names, range, onWeight, onTurn) {
  const setters = new Map();
  let linked = true;
  if (names.some((name) => twin(name, names))) {
    const both = document.createElement("label");
    both.className = "link";
    const box = document.createElement("input");
    Object.assign(box, { type: "checkbox", checked: true });
    box.onchange = () => { linked = box.checked; };
    both.append(box, "move left and right together");
    parent.append(both);
  }
  for (const { title, prefix, names: members } of grouped(names)) {
    const box = group(parent, title, members.length, setters.size === 0);
    for (const name of members) {
      const other = twin(name, names);
      setters.set(name, slider(box, label(name, prefix), name, [...range, 0.01], (value) => {
        onWeight(name, value);
        if (linked && other) { setters.get(other)(value); onWeight(other, value); }
      }));
    }
  }
  const head = group(parent, "Head", "degrees", names.length === 0);
  const turns = ["pitch", "yaw", "roll"].map((axis, index) =>
    slider(head, label(axis), axis, [-90, 90, 1], (value) => onTurn(index, value)));
  return {
    weights: (values) => names.forEach((name, index) => setters.get(name)(values[index])),
    turn: (degrees) => degrees.forEach((value, index) => turns[index](value)),
  };
}
