// Reading and changing the JSON of a GLB file without touching its binary part.

export function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// The file with other weights and another turn of the head: what is on the screen.
export function changed(bytes, weights, rotation) {
  const length = new DataView(bytes.buffer).getUint32(12, true);
  const document = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + length)));
  document.nodes[0].rotation = rotation;
  if (weights.length) document.meshes[0].weights = weights;
  const json = new TextEncoder().encode(JSON.stringify(document));
  const padded = Math.ceil(json.length / 4) * 4;
  const rest = bytes.subarray(20 + length);
  const result = new Uint8Array(20 + padded + rest.length).fill(0x20);
  result.set(bytes.subarray(0, 20));
  result.set(json, 20);
  result.set(rest, 20 + padded);
  const view = new DataView(result.buffer);
  view.setUint32(8, result.length, true);
  view.setUint32(12, padded, true);
  return result;
}
