// The head on its stage: camera, lights and surfaces. It is drawn when something has changed, not all the time.

import {
  Box3, DirectionalLight, HemisphereLight, MathUtils, MeshBasicMaterial, MeshStandardMaterial, PerspectiveCamera, Scene,
  Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";

const FIELD = 26; // degrees, of the camera

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FIELD, 1, 0.01, 50);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.addEventListener("change", () => this.draw());
    this.waiting = false;
    this.frames = 0;
    const key = new DirectionalLight(0xffffff, 1.5);
    key.position.set(-0.5, 0.6, 1);
    const fill = new DirectionalLight(0xffffff, 0.5);
    fill.position.set(0.9, 0.1, 0.5);
    // The lights stay with the viewer, so that no side is dark.
    this.camera.add(key, fill);
    this.scene.add(this.camera, new HemisphereLight(0xffffff, 0xb8b0a8, 1.25));
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  // Open a GLB file (Uint8Array); its morph targets' names are then in `names`.
  async open(bytes) {
    const { scene } = await new GLTFLoader().parseAsync(bytes.buffer, "");
    this.scene.add(scene);
    scene.traverse((node) => { if (node.isMesh) this.mesh = node; });
    this.head = scene.getObjectByName("head");
    this.head.rotation.order = "XYZ";
    const dictionary = this.mesh.morphTargetDictionary ?? {};
    this.names = Object.keys(dictionary).sort((a, b) => dictionary[a] - dictionary[b]);
    this.fitted = { weights: [...(this.mesh.morphTargetInfluences ?? [])], turn: this.turn() };
    this.mesh.frustumCulled = false; // its bounds do not know of the morph targets
    const lit = this.mesh.material;
    const { map, vertexColors, side } = lit;
    this.surfaces = {
      lit,
      photo: new MeshBasicMaterial({ map, vertexColors, side }),
      clay: new MeshStandardMaterial({ color: 0xb9b2aa, roughness: 0.75, side }),
    };
    // Not the geometry's own box, which has room for all morph targets at once.
    this.box = new Box3().setFromBufferAttribute(this.mesh.geometry.attributes.position);
    this.resize();
    this.reset();
  }

  // Pitch, yaw and roll in degrees, with the signs of the JSON file: there the axes turn, here the head.
  turn() {
    const { x, y, z } = this.head.rotation;
    return [x, y, z].map((angle) => -MathUtils.radToDeg(angle));
  }

  setTurn(degrees) {
    this.head.rotation.set(...degrees.map((angle) => -MathUtils.degToRad(angle)));
    this.draw();
  }

  setWeight(index, value) {
    this.mesh.morphTargetInfluences[index] = value;
    this.draw();
  }

  setLook(name) {
    const { wireframe } = this.mesh.material;
    this.mesh.material = this.surfaces[name];
    this.mesh.material.wireframe = wireframe;
    this.draw();
  }

  setWires(on) {
    this.mesh.material.wireframe = on;
    this.draw();
  }

  // The camera in front of the head, all of it in the picture.
  reset() {
    const size = this.box.getSize(new Vector3());
    const target = this.box.getCenter(new Vector3());
    const need = Math.max(size.y, Math.max(size.x, size.z) / this.camera.aspect);
    const distance = (0.56 * need) / Math.tan(MathUtils.degToRad(FIELD / 2)) + size.z / 2;
    this.controls.target.copy(target);
    this.camera.position.set(target.x, target.y, target.z + distance);
    this.controls.minDistance = 0.2 * distance;
    this.controls.maxDistance = 4 * distance;
    this.camera.near = 0.02 * distance;
    this.camera.far = 10 * distance;
    this.camera.updateProjectionMatrix();
    this.controls.update();
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.controls.update(); // asks for the next frame as long as the camera glides
      this.renderer.render(this.scene, this.camera);
      this.frames += 1;
    });
  }
}
