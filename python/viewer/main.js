// Puts the page together from what `twodasl.reconstruction.viewer` has written into it.

import { changed, decode } from "./glb.js";
import { showPhoto } from "./photo.js";
import { makeSliders } from "./sliders.js";
import { Stage } from "./stage.js";

const face = JSON.parse(document.getElementById("face").textContent);
const at = (id) => document.getElementById(id);

function pressed(buttons, chosen) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
}

function save(name, bytes) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "model/gltf-binary" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function main() {
  document.title = face.title;
  at("title").textContent = face.title;
  at("about").textContent = face.about;
  if (face.photo) showPhoto(at("photo"), face.photo);
  const bytes = decode(face.glb);
  let stage;
  try {
    stage = new Stage(at("view"));
  } catch (error) {
    throw new Error(`This browser cannot draw in 3D (WebGL): ${error.message}`);
  }
  await stage.open(bytes);

  const states = [at("fitted"), at("neutral")];
  const own = () => pressed(states, null); // the user's own
  const turn = [0, 0, 0];
  const sliders = makeSliders(at("sliders"), stage.names, face.range, (name, value) => {
    stage.setWeight(stage.names.indexOf(name), value);
    own();
  }, (axis, degrees) => {
    turn[axis] = degrees;
    stage.setTurn(turn);
    own();
  });
  const show = (button, weights, degrees) => {
    weights.forEach((value, index) => stage.setWeight(index, value));
    degrees.forEach((value, axis) => { turn[axis] = value; });
    stage.setTurn(turn);
    sliders.weights(weights);
    sliders.turn(degrees);
    pressed(states, button);
  };
  at("fitted").onclick = () => show(at("fitted"), stage.fitted.weights, stage.fitted.turn);
  at("neutral").onclick = () => show(at("neutral"), stage.names.map(() => 0), [0, 0, 0]);
  const looks = [...document.querySelectorAll("[data-look]")];
  for (const button of looks) {
    button.onclick = () => { stage.setLook(button.dataset.look); pressed(looks, button); };
  }
  at("wires").onclick = () => {
    const on = at("wires").getAttribute("aria-pressed") !== "true";
    at("wires").setAttribute("aria-pressed", String(on));
    stage.setWires(on);
  };
  at("view").ondblclick = () => stage.reset();
  const current = () => changed(bytes, [...(stage.mesh.morphTargetInfluences ?? [])], stage.head.quaternion.toArray());
  at("save").onclick = () => save(face.file, current());
  at("fitted").click();
  looks[0].click();
  document.body.dataset.ready = "yes";
  window.twodasl = { stage, current }; // for the console and the tests
}

main().catch((error) => {
  at("trouble").textContent = error.message;
  at("trouble").hidden = false;
  at("hint").hidden = true;
  document.body.dataset.ready = "no";
});
