/* The page: camera, connection, controls, figures. The address may say
 * ?size=160x120&codec=H264.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
import { Bicubic } from "./bicubic.js";
import { Delay } from "./delay.js";

const FRAMES_PER_SECOND = 30;

const CAMERA_ERRORS = {
  NotAllowedError: "The camera was refused. Allow it for this page in the browser (mostly left of the address), " +
    "then press “Start camera”.",
  NotFoundError: "No camera was found. Connect one, then press “Start camera”.",
  NotReadableError: "The camera is in use by another program. Close that, then press “Start camera”.",
};

const element = (id) => document.getElementById(id);
const rounded = (value, digits) => value === null ? "–" : value.toFixed(digits);

let session = null;     // what runs now, or null
let moved = false;      // a slider, at least once
let pictures = {};       // what is drawn of the videos "sent" and "restored"

function say(text, kind = "note") {
  element("status").textContent = text;
  element("status").dataset.kind = kind;
}

/* Calls `action` with each new frame of a video and the time it was there. */
function eachFrame(video, action) {
  const next = (now, metadata) => {
    action(metadata.captureTime ?? metadata.expectedDisplayTime, metadata.expectedDisplayTime);
    video.requestVideoFrameCallback(next);
  };
  video.requestVideoFrameCallback(next);
}

/* --- Camera ---------------------------------------------------------------- */

async function openCamera() {
  if (!navigator.mediaDevices)
    throw new Error("Browsers give the camera only to pages from https or from localhost: " +
      "open this page by such an address.");
  const [width, height] = element("size").value.split("x").map(Number);
  try {
    return await navigator.mediaDevices.getUserMedia({
      video: { width, height, frameRate: { ideal: FRAMES_PER_SECOND } },
    });
  } catch (error) {
    throw new Error(CAMERA_ERRORS[error.name] ?? `The camera cannot be used: ${error.message}`);
  }
}

/* --- Connection ------------------------------------------------------------- */

/* Puts the codec first. */
function prefer(transceiver, name) {
  const { codecs } = RTCRtpReceiver.getCapabilities("video");
  const wanted = codecs.filter((codec) => codec.mimeType.toUpperCase() === `VIDEO/${name}`);
  if (wanted.length === 0)
    throw new Error(`This browser has no ${name}: choose the other codec.`);
  transceiver.setCodecPreferences([...wanted, ...codecs.filter((codec) => !wanted.includes(codec))]);
}

function play(video, track) {
  video.srcObject = new MediaStream([track]);
  video.play().catch(() => {});   // stopped before it could begin
}

class Session {
  constructor(stream) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.stream = stream;
    this.delay = new Delay();
    this.last = null;             // statistics before these
    this.told = false;            // why it ended
    this.work = Promise.resolve();
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.socket = new WebSocket(`${scheme}://${location.host}/signalling`);
    this.socket.onopen = () => this.do(() => this.offer());
    this.socket.onmessage = (event) => this.do(() => this.take(JSON.parse(event.data)));
    this.socket.onclose = () => this.do(() => this.end("The connection to the server was lost. Is it still running?"));
    this.peer.onicecandidate = ({ candidate }) => {
      if (candidate?.candidate)
        this.send({ type: "candidate", candidate: candidate.candidate, index: candidate.sdpMLineIndex });
    };
    this.peer.ontrack = ({ track, transceiver }) => {
      transceiver.receiver.jitterBufferTarget = 0;
      play(element(transceiver === this.camera ? "restored" : "sent"), track);
    };
  }

  /* One thing after the other. */
  do(action) {
    this.work = this.work.then(action).catch((error) => this.end(error.message));
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN)
      this.socket.send(JSON.stringify(message));
  }

  async offer() {
    const codec = element("codec").value;
    const [track] = this.stream.getVideoTracks();
    track.onended = () => this.end("The camera was switched off.");
    this.camera = this.peer.addTransceiver(track, { direction: "sendrecv", streams: [this.stream] });
    const sent = this.peer.addTransceiver("video", { direction: "recvonly" });
    prefer(this.camera, codec);
    prefer(sent, codec);
    await this.peer.setLocalDescription();
    this.send({ type: "offer", sdp: this.peer.localDescription.sdp });
    say("Connecting …");
  }

  async take(message) {
    if (message.type === "answer") {
      await this.peer.setRemoteDescription({ type: "answer", sdp: message.sdp });
      chooseSettings(message);
    } else if (message.type === "candidate") {
      await this.peer.addIceCandidate({ candidate: message.candidate, sdpMLineIndex: message.index });
    } else if (message.type === "stats") {
      await this.showStatistics(message);
    } else if (message.type === "end") {
      this.end(message.message);
    }
  }

  /* What the server says, once a second, and what the browser knows. */
  async showStatistics(told) {
    for (const name of ["consistency", "detail"])
      element(`${name}-now`).textContent = told[name].toFixed(2);
    let sent = 0;
    for (const one of (await this.camera.sender.getStats()).values())
      sent += one.type === "outbound-rtp" ? one.framesSent ?? 0 : 0;
    if (this.told)
      return;     // it has ended meanwhile
    const shown = element("restored").getVideoPlaybackQuality().totalVideoFrames;
    const now = { ...told, sent, shown }, last = this.last;
    this.last = now;
    if (last && now.out > 0)
      showFigures(now, last, this.delay.estimate());
  }

  /* Without a message: because it was asked for. */
  end(message) {
    if (this.told)
      return;
    this.told = true;
    this.socket.close();
    this.peer.close();
    this.stream.getTracks().forEach((track) => track.stop());
    if (session === this)
      session = null;
    showRunning(false);
    say(message ?? "Stopped. Nothing is sent any more.", message ? "bad" : "note");
  }
}

/* --- Figures ----------------------------------------------------------------- */

function showSize(id, video) {
  element(id).textContent = video.videoWidth > 0 ? `${video.videoWidth} × ${video.videoHeight}` : "";
}

function showFigures(now, last, delay) {
  const seconds = (now.time - last.time) / 1000;
  const rate = (name) => rounded(Math.max(0, now[name] - last[name]) / seconds, 1);
  say(now.out > last.out ? "Live." : "Connected. No frame came back in the last second: the server is busy.");
  element("fps-sent").textContent = rate("sent");
  element("fps-restored").textContent = rate("out");
  element("fps-shown").textContent = rate("shown");
  element("delay").textContent = rounded(delay, 0);
  element("latency").textContent = rounded(now.latency, 0);
  element("codec-now").textContent = now.codec === "H264" ? "H.264" : now.codec;
  element("device").textContent = now.device ? `${now.device}, ${now.precision}` : "–";
  showSize("before-size", element("sent"));
  showSize("after-size", element("restored"));
}

function showRunning(running) {
  element("start").textContent = running ? "Stop" : "Start camera";
  element("start").disabled = false;
  element("size").disabled = element("codec").disabled = running;
}

/* --- Controls ------------------------------------------------------------------ */

/* What the server began with, or what was chosen here before. */
function chooseSettings(began) {
  if (moved)
    return sendSettings();
  for (const name of ["consistency", "detail"])
    element(name).value = began[name];
}

function sendSettings() {
  moved = true;
  session?.send({
    type: "settings",
    consistency: Number(element("consistency").value),
    detail: Number(element("detail").value),
  });
}

async function start() {
  element("start").disabled = true;
  say("Waiting for the camera …");
  try {
    const stream = await openCamera();
    session = new Session(stream);
    play(element("camera"), stream.getVideoTracks()[0]);
    showRunning(true);
    say("Connecting …");
  } catch (error) {
    showRunning(false);
    say(error.message, "bad");
  }
}

/* A select takes a value of the address if it has it. */
function choose(id, value) {
  const select = element(id);
  if (value && [...select.options].some((option) => option.value === value))
    select.value = value;
}

function watchFrames() {
  eachFrame(element("camera"), (time) => session?.delay.see(element("camera"), time));
  eachFrame(element("restored"), (_, time) => {
    const { videoWidth, videoHeight } = element("restored");
    document.body.style.setProperty("--shape", `${videoWidth} / ${videoHeight}`);
    pictures.restored?.draw(element("restored"));
    session?.delay.show(element("restored"), time);
  });
  eachFrame(element("sent"), () => pictures.sent?.draw(element("sent")));
}

function main() {
  const query = new URLSearchParams(location.search);
  choose("size", query.get("size"));
  choose("codec", query.get("codec"));
  element("start").onclick = () => session ? session.end() : start();
  element("consistency").oninput = element("detail").oninput = sendSettings;
  try {
    pictures = { sent: new Bicubic(element("before"), 4), restored: new Bicubic(element("after"), 1) };
  } catch (error) {
    say(`No pictures can be shown: ${error.message}.`, "bad");
  }
  watchFrames();
}

main();
