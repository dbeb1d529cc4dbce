// Opens a page of twodasl in a browser and reports what it sees as JSON.
// node page.mjs PLAYWRIGHT BROWSER PAGE PICTURE FLAGS...

import { createRequire } from "node:module";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [playwright, program, page_path, picture, ...flags] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const profile = mkdtempSync(join(tmpdir(), "twodasl-page-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: program, args: flags, headless: true, viewport: { width: 1280, height: 900 },
});
const report = { errors: [], requests: [] };
try {
  const page = await context.newPage();
  page.on("pageerror", (error) => report.errors.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error") report.errors.push(message.text()); });
  page.on("request", (request) => report.requests.push(request.url()));
  await page.goto(`file://${page_path}`);
  await page.waitForSelector("body[data-ready]", { timeout: 60000 });
  report.ready = await page.getAttribute("body", "data-ready");
  report.trouble = await page.textContent("#trouble");
  if (report.ready === "yes") {
    const state = () => page.evaluate(() => {
      const { mesh, head, names } = window.twodasl.stage;
      return { names, weights: [...(mesh.morphTargetInfluences ?? [])], turn: head.quaternion.toArray() };
    });
    // Of the canvas, drawn now: WebGL forgets a picture once it is shown.
    const pixels = () => page.evaluate(() => {
      const { renderer, scene, camera, canvas } = window.twodasl.stage;
      renderer.render(scene, camera);
      const small = document.createElement("canvas");
      [small.width, small.height] = [64, 64];
      const context = small.getContext("2d");
      context.drawImage(canvas, 0, 0, 64, 64);
      return [...context.getImageData(0, 0, 64, 64).data];
    });
    report.title = await page.title();
    report.node = await page.evaluate(() => window.twodasl.stage.mesh.name);
    report.fitted = await state();
    report.groups = await page.$$eval("details summary span", (all) => all.map((one) => one.textContent));
    report.landmarks = await page.$$eval("svg circle", (all) => all.length);
    report.first = await pixels();
    await page.screenshot({ path: picture });
    await page.click("#neutral");
    report.neutral = await state();
    report.neutral_pixels = await pixels();
    const slider = page.locator("input[type=range]").first();
    await slider.evaluate((input) => {
      input.value = input.max;
      input.dispatchEvent(new Event("input"));
    });
    report.moved = await state();
    report.moved_pixels = await pixels();
    for (const look of ["photo", "clay", "lit"]) {
      await page.click(`[data-look=${look}]`);
      report[look] = await pixels();
    }
    await page.click("#wires");
    report.wires = await pixels();
    report.saved = await page.evaluate(() => {
      let text = "";
      for (const byte of window.twodasl.current()) text += String.fromCharCode(byte);
      return btoa(text);
    });
    const waiting = page.waitForEvent("download");
    await page.click("#save");
    report.file = (await waiting).suggestedFilename();
  }
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(JSON.stringify(report));
