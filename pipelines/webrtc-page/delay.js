/* How long after the camera saw something the restored picture shows it: the
 * shift in time at which what is shown looks most like what the camera saw. Both
 * are looked at as pictures of a few pixels, without their brightness. Scenes
 * where nothing moves give no answer; what repeats itself gives the least.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
const WIDTH = 24, HEIGHT = 16;
const LONGEST = 2500;   // ms
const WINDOW = 3000;    // ms: so long is looked at what is shown
const STEP = 10;        // ms
const LEAST_SHOWN = 5;  // frames
const CLEARLY = 0.6;    // of the usual difference

function look(context, video) {
  context.drawImage(video, 0, 0, WIDTH, HEIGHT);
  const { data } = context.getImageData(0, 0, WIDTH, HEIGHT);
  const gray = new Float32Array(WIDTH * HEIGHT);
  let mean = 0;
  for (let i = 0; i < gray.length; i++) {
    gray[i] = 0.3 * data[4 * i] + 0.59 * data[4 * i + 1] + 0.11 * data[4 * i + 2];
    mean += gray[i] / gray.length;
  }
  return gray.map((value) => value - mean);
}

function difference(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++)
    sum += Math.abs(a[i] - b[i]);
  return sum / a.length;
}

/* What was seen last at that time; seen is in order of time. */
function before(seen, time) {
  let found = null;
  for (const one of seen) {
    if (one.time > time)
      break;
    found = one;
  }
  return found;
}

export class Delay {
  constructor() {
    const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.seen = [];
    this.shown = [];
  }

  forget(list, time) {
    while (list.length > 0 && list[0].time < time)
      list.shift();
  }

  /* Times are those of performance.now (). */
  see(video, time) {
    this.seen.push({ time, gray: look(this.context, video) });
    this.forget(this.seen, time - LONGEST - 2 * WINDOW);
  }

  show(video, time) {
    this.shown.push({ time, gray: look(this.context, video) });
    this.forget(this.shown, time - WINDOW);
  }

  /* In ms, or null. */
  estimate() {
    if (this.shown.length < LEAST_SHOWN || this.seen.length < LEAST_SHOWN)
      return null;
    const errors = [];
    for (let shift = 0; shift <= LONGEST; shift += STEP) {
      const pairs = this.shown.map((one) => [one, before(this.seen, one.time - shift)]);
      if (pairs.some(([, then]) => then === null))
        break;
      errors.push(pairs.reduce((sum, [one, then]) => sum + difference(one.gray, then.gray), 0) / pairs.length);
    }
    if (errors.length === 0)
      return null;
    const sorted = errors.slice().sort((a, b) => a - b);
    const least = sorted[0], usual = sorted[sorted.length >> 1];
    if (least > CLEARLY * usual)
      return null;
    const enough = least + 0.03 * (usual - least);
    let first = errors.findIndex((error) => error <= enough);
    while (first + 1 < errors.length && errors[first + 1] <= errors[first])
      first++;
    return first * STEP;
  }
}
