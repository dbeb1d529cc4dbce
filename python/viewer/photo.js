// The photo with the 68 landmarks over it.

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

// photo: { url, width, height, points: [[x, y], ...], lines: [[first, second], ...] }, pixels of the picture.
export function showPhoto(figure, photo) {
  const { url, width, height, points, lines } = photo;
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "The photo" }, figure);
  element("image", { href: url, width, height }, svg);
  const marks = element("g", {}, svg);
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  const unit = Math.max(Math.max(...xs) - Math.min(...xs), Math.max(...ys) - Math.min(...ys)) / 100;
  // A pixel's center is half a pixel from its corner.
  const place = (index) => points[index].map((value) => value + 0.5);
  for (const [first, second] of lines) {
    const [[x1, y1], [x2, y2]] = [place(first), place(second)];
    element("line", { x1, y1, x2, y2, stroke: "#fff", "stroke-opacity": 0.75, "stroke-width": 0.7 * unit }, marks);
  }
  for (const index of points.keys()) {
    const [cx, cy] = place(index);
    element("circle", { cx, cy, r: 1.05 * unit, fill: "#4fe06a", stroke: "#10301a", "stroke-width": 0.35 * unit }, marks);
  }
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.onchange = () => { marks.style.display = box.checked ? "" : "none"; };
  label.append(box, "68 landmarks");
  figure.append(label);
  figure.hidden = false;
}
