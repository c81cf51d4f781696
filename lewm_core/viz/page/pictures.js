// Pictures that lie in sheets, row by row, drawn one at a time; and tracks, drawn over them.

const SHARP = 256;  // px, the least width of a canvas, so that tracks are finer than a frame's pixels
const loaded = new WeakMap();  // sheet -> its image

function imageOf(sheet) {
  if (!loaded.has(sheet)) {
    const image = new Image();
    image.src = sheet.src;
    loaded.set(sheet, image);
  }
  return loaded.get(sheet);
}

// Resolves when all of `sheets` can be drawn without delay.
function ready(sheets) {
  return Promise.all(sheets.map(sheet => imageOf(sheet).decode().catch(() => {})));
}

function canvasFor(sheet) {
  const canvas = document.createElement("canvas"), zoom = Math.max(1, Math.ceil(SHARP / sheet.width));
  [canvas.width, canvas.height] = [zoom * sheet.width, zoom * sheet.height];
  canvas.setAttribute("role", "img");
  return canvas;
}

function drawPicture(canvas, sheet, i) {
  const pen = canvas.getContext("2d"), {columns, width, height} = sheet;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(imageOf(sheet), i % columns * width, Math.floor(i / columns) * height, width, height,
                0, 0, canvas.width, canvas.height);
}

function bytes(text) {
  return Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
}

// Tracks as they come: {points, visible, colours} in base64 -> {at (frame, i) -> [x, y] in 0..1, seen, colour, n}.
function readTracks(tracks) {
  const points = new DataView(bytes(tracks.points).buffer), seen = bytes(tracks.visible), rgb = bytes(tracks.colours);
  const n = rgb.length / 3, row = Math.ceil(n / 8);
  return {
    n,
    at: (frame, i) => [0, 2].map(offset => points.getUint16(4 * (frame * n + i) + offset, true) / 65535),
    seen: (frame, i) => seen[frame * row + (i >> 3)] >> (7 - (i & 7)) & 1,
    colour: i => `rgb(${rgb[3 * i]}, ${rgb[3 * i + 1]}, ${rgb[3 * i + 2]})`,
  };
}

// The points seen in a frame, each with its way over the last `trail` frames, broken where it was not seen.
function drawTracks(canvas, tracks, frame, trail) {
  const pen = canvas.getContext("2d");
  const place = (at, i) => { const [x, y] = tracks.at(at, i); return [x * canvas.width, y * canvas.height]; };
  pen.lineWidth = 1.2;
  for (let i = 0; i < tracks.n; i++) {
    if (!tracks.seen(frame, i)) continue;
    pen.strokeStyle = pen.fillStyle = tracks.colour(i);
    pen.beginPath();
    for (let at = Math.max(1, frame - trail + 1); at <= frame; at++) {
      if (!tracks.seen(at - 1, i) || !tracks.seen(at, i)) continue;
      pen.moveTo(...place(at - 1, i));
      pen.lineTo(...place(at, i));
    }
    pen.stroke();
    pen.beginPath();
    pen.arc(...place(frame, i), 1.8, 0, 2 * Math.PI);
    pen.fill();
  }
}
