/* Draws a video enlarged, bicubically with a = -0.5: what the element makes of a
 * frame that it does not restore. At a scale of 1 it is as it was: pictures that
 * are to be compared go the same way, as browsers do not show the colours of a
 * video and of what is drawn exactly alike.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
const VERTEX = `
attribute vec2 corner;
varying vec2 place;
void main() {
  place = vec2(0.5 + 0.5 * corner.x, 0.5 - 0.5 * corner.y);
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

const FRAGMENT = `
precision highp float;
uniform sampler2D video;
uniform vec2 size;
varying vec2 place;

/* Of the pixels at -1, 0, 1, 2 for a point t right of that at 0. */
vec4 weights(float t) {
  float t2 = t * t, t3 = t2 * t;
  return vec4(-0.5 * t + t2 - 0.5 * t3, 1.0 - 2.5 * t2 + 1.5 * t3,
              0.5 * t + 2.0 * t2 - 1.5 * t3, -0.5 * t2 + 0.5 * t3);
}

vec3 row(vec2 first, vec4 w) {
  vec3 sum = vec3(0.0);
  for (int i = 0; i < 4; i++)
    sum += w[i] * texture2D(video, (first + vec2(float(i), 0.0)) / size).rgb;
  return sum;
}

void main() {
  vec2 at = place * size - 0.5, whole = floor(at);
  vec4 x = weights(at.x - whole.x), y = weights(at.y - whole.y);
  vec2 first = whole - 0.5;
  vec3 sum = vec3(0.0);
  for (int i = 0; i < 4; i++)
    sum += y[i] * row(first + vec2(0.0, float(i)), x);
  gl_FragColor = vec4(sum, 1.0);
}`;

function shader(gl, type, source) {
  const made = gl.createShader(type);
  gl.shaderSource(made, source);
  gl.compileShader(made);
  return made;
}

function prepare(gl) {
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl, gl.VERTEX_SHADER, VERTEX));
  gl.attachShader(program, shader(gl, gl.FRAGMENT_SHADER, FRAGMENT));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS))
    throw new Error("the bicubic filter cannot be used here");
  gl.useProgram(program);

  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
  const corner = gl.getAttribLocation(program, "corner");
  gl.enableVertexAttribArray(corner);
  gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);

  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.NEAREST], [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
                               [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]])
    gl.texParameteri(gl.TEXTURE_2D, name, value);
  return gl.getUniformLocation(program, "size");
}

export class Bicubic {
  /* Throws where there is no WebGL. */
  constructor(canvas, scale) {
    this.canvas = canvas;
    this.scale = scale;
    this.gl = canvas.getContext("webgl", { alpha: false, preserveDrawingBuffer: true });
    if (!this.gl)
      throw new Error("this browser has no WebGL");
    this.size = prepare(this.gl);
  }

  draw(video) {
    const { gl, canvas, scale } = this;
    const width = scale * video.videoWidth, height = scale * video.videoHeight;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      gl.viewport(0, 0, width, height);
    }
    gl.uniform2f(this.size, video.videoWidth, video.videoHeight);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, video);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}
