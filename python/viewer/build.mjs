// Makes python/twodasl/resources/viewer.html of the files here. In this folder: npm ci && npm run build
//
// gltf-validator and playwright-core are for the tests alone.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

// What the page is made from, in this order: a test compares the hash.
const SOURCES = [
  "build.mjs", "glb.js", "main.js", "package-lock.json", "page.html", "photo.js", "sliders.js", "stage.js", "style.css",
];

const hash = createHash("sha256");
for (const name of SOURCES) hash.update(readFileSync(name));

const { outputFiles } = await build({
  entryPoints: ["main.js"],
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020",
  legalComments: "inline",
  charset: "utf8",
  write: false,
});
const license = readFileSync("node_modules/three/LICENSE", "utf8").trim();
const script = `/* This page contains three.js.\n\n${license}\n*/\n${outputFiles[0].text}`;
const { outputFiles: styles } = await build({ entryPoints: ["style.css"], minify: true, write: false });
const page = readFileSync("page.html", "utf8")
  .replace("@@SOURCES@@", () => hash.digest("hex"))
  .replace("@@STYLE@@", () => styles[0].text.trim())
  .replace("@@SCRIPT@@", () => script.trim());
writeFileSync("../twodasl/resources/viewer.html", page);
console.log(`viewer.html: ${page.length} characters`);
