/* Plays master.m3u8 by Media Source Extensions, at its live edge; just what
 * pipelines/restream writes, as no browser but Safari plays all that HLS is.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
const BEHIND = 3;       // segments between what is shown and the newest
const KEEP_S = 10;      // of what was shown
const RETRY_MS = 1000;

const video = document.getElementById("video");
const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

function say(text, kind = "note") {
  const status = document.getElementById("status");
  status.textContent = text;
  status.dataset.kind = kind;
}

function sayPlaying() {
  if (video.videoWidth > 0)
    say(`${video.videoWidth} × ${video.videoHeight}, live`);
}

/* --- Playlists ------------------------------------------------------------- */

/* Waits until the server answers. */
async function load(url) {
  for (let failed = false; ; failed = true) {
    try {
      const reply = await fetch(url);
      if (failed)
        sayPlaying();
      return reply;
    } catch {
      say("The server does not answer.", "bad");
      await sleep(RETRY_MS);
    }
  }
}

/* Waits until it is there. */
async function loadText(url) {
  for (;;) {
    const reply = await load(url);
    if (reply.ok)
      return reply.text();
    await sleep(RETRY_MS);
  }
}

function attribute(line, name) {
  return line.match(new RegExp(`[:,]${name}=(?:"([^"]*)"|([^,]*))`))?.slice(1).find((value) => value !== undefined);
}

/* The tracks: addresses of playlists, and types. */
async function loadMaster() {
  const lines = (await loadText("master.m3u8")).split("\n");
  const at = lines.findIndex((line) => line.startsWith("#EXT-X-STREAM-INF"));
  const sound = lines.find((line) => line.startsWith("#EXT-X-MEDIA:TYPE=AUDIO"));
  const codecs = attribute(lines[at], "CODECS").split(",");
  const tracks = [{ url: lines[at + 1], type: `video/mp4; codecs="${codecs[0]}"` }];
  if (sound)
    tracks.push({ url: attribute(sound, "URI"), type: `audio/mp4; codecs="${codecs[1]}"` });
  return tracks;
}

async function loadPlaylist(url) {
  const playlist = { segments: [], target: 1, ended: false };
  let number = 0, header = null;
  for (const line of (await loadText(url)).split("\n")) {
    if (line.startsWith("#EXT-X-MEDIA-SEQUENCE:"))
      number = Number(line.split(":")[1]);
    else if (line.startsWith("#EXT-X-TARGETDURATION:"))
      playlist.target = Number(line.split(":")[1]);
    else if (line.startsWith("#EXT-X-MAP:"))
      header = attribute(line, "URI");
    else if (line === "#EXT-X-ENDLIST")
      playlist.ended = true;
    else if (line && !line.startsWith("#"))
      playlist.segments.push({ number: number++, header, url: line });
  }
  return playlist;
}

/* --- Tracks ------------------------------------------------------------------ */

async function change(buffer, action) {
  const done = new Promise((resolve, reject) => {
    buffer.onupdateend = resolve;
    buffer.onerror = () => reject(new Error("The browser cannot decode this stream."));
  });
  action();
  await done;
}

/* What is gone already is left out. */
async function append(buffer, url) {
  const reply = await load(url);
  if (!reply.ok)
    return;
  const data = await reply.arrayBuffer();
  await change(buffer, () => buffer.appendBuffer(data));
}

async function forget(buffer) {
  const end = video.currentTime - KEEP_S;
  if (buffer.buffered.length > 0 && buffer.buffered.start(0) < end)
    await change(buffer, () => buffer.remove(0, end));
}

/* Appends from segment number `next` to the end. */
async function follow(track, buffer, next) {
  let header = null;
  for (;;) {
    const playlist = await loadPlaylist(track.url);
    for (const segment of playlist.segments.filter(({ number }) => number >= next)) {
      if (segment.header !== header)
        await append(buffer, segment.header);
      header = segment.header;
      await append(buffer, segment.url);
      await forget(buffer);
      next = segment.number + 1;
    }
    if (playlist.ended)
      return;
    await sleep(playlist.target * 1000 / 2);
  }
}

/* --- Playing ------------------------------------------------------------------ */

/* There are holes where the source was lost, and before the first segment; and who was
 * away for long goes on at the live edge. */
function keepUp(target) {
  const time = video.currentTime;
  const ranges = Array.from({ length: video.buffered.length },
    (_, i) => ({ start: video.buffered.start(i), end: video.buffered.end(i) }));
  if (ranges.length === 0)
    return;
  const last = ranges.at(-1);
  const inside = ranges.some(({ start, end }) => start <= time && time + 0.1 < end);
  const next = ranges.find(({ start }) => start > time);
  if (last.end - time > 4 * BEHIND * target && !video.paused)
    video.currentTime = Math.max(last.start, last.end - BEHIND * target);
  else if (!inside && next)
    video.currentTime = next.start + 0.01;
}

video.addEventListener("resize", () => {
  video.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
  sayPlaying();
});

async function play() {
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise((done) => { source.onsourceopen = done; });

  const tracks = await loadMaster();
  const wrong = tracks.find(({ type }) => !MediaSource.isTypeSupported(type));
  if (wrong)
    throw new Error(`This browser does not play ${wrong.type}.`);
  const { segments, target } = await loadPlaylist(tracks[0].url);
  const first = segments.at(-Math.min(BEHIND, segments.length)).number;
  const buffers = tracks.map(({ type }) => source.addSourceBuffer(type));
  const timer = setInterval(() => keepUp(target), 250);
  await Promise.all(tracks.map((track, i) => follow(track, buffers[i], first)));
  clearInterval(timer);
  source.endOfStream();
  say("The stream has ended.");
}

play().catch((error) => say(error.message, "bad"));
