import { refuse, type Refusal } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';

/**
 * Reads a request's JSON body within its bounds, before anything else is done: at most 1 MB (counted as it comes; the rest is not read), UTF-8, JSON,
 * at most 64 levels deep, no text that a store cannot keep, no key that could reach a prototype. undefined: there is none.
 * Refusals: `unsupported_media_type`, `body_too_large`, `invalid_request`.
 */
export async function readJsonBody(request: Request): Promise<{ readonly body: JsonValue | undefined } | Refusal> {
  const wrongType = refuseContentType(request.headers);
  if (wrongType !== null) return wrongType;
  const read = await readBytes(request);
  if ('refused' in read) return read;
  if (read.bytes.byteLength === 0) return { body: undefined };
  if (!request.headers.has('content-type')) return refuse('unsupported_media_type', 'the body has no Content-Type; it must be application/json');
  const text = decodeUtf8(read.bytes);
  if (typeof text !== 'string') return refuse('invalid_request', `the body is not UTF-8, near byte ${text.invalidAt}`, { byte: text.invalidAt });
  const parsed = parseJson(text);
  if ('refused' in parsed) return parsed;
  const problem = problemIn(parsed.value, null, 1);
  return problem === null ? { body: parsed.value } : refuse('invalid_request', `the body ${problem.message}`, { issues: [{ path: problem.path, message: problem.message }] });
}

function refuseContentType(headers: Headers): Refusal | null {
  const encoding = headers.get('content-encoding');
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    return refuse('unsupported_media_type', `the body is compressed (Content-Encoding: ${clip(encoding)}); send it as it is`);
  }
  const type = headers.get('content-type');
  if (type === null) return null;
  const [essence = '', ...parameters] = type.toLowerCase().split(';').map((part) => part.trim());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length).replaceAll('"', '') ?? 'utf-8';
  if (essence === 'application/json' && (charset === 'utf-8' || charset === 'utf8')) return null;
  return refuse('unsupported_media_type', `the Content-Type is ${clip(type)}; it must be application/json, in UTF-8`);
}

async function readBytes(request: Request): Promise<{ readonly bytes: Uint8Array } | Refusal> {
  const tooLarge = refuse('body_too_large', `the body is larger than ${limits.bodyBytesMax} bytes`, { maxBytes: limits.bodyBytesMax });
  if (Number(request.headers.get('content-length') ?? 0) > limits.bodyBytesMax) return tooLarge;
  if (request.body === null) return { bytes: new Uint8Array(0) };
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { bytes: chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, bytes) };
    bytes += value.byteLength;
    if (bytes > limits.bodyBytesMax) return tooLarge;
    chunks.push(value);
  }
}

function decodeUtf8(bytes: Uint8Array): string | { readonly invalidAt: number } {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { invalidAt: firstInvalidByte(bytes) };
  }
}

/** The longest beginning that can still become UTF-8 ends at the first wrong byte, or within three after it: decoders differ in when they notice. */
function firstInvalidByte(bytes: Uint8Array): number {
  let valid = 0;
  let invalid = bytes.byteLength;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >>> 1;
    if (canBecomeUtf8(bytes.subarray(0, middle))) valid = middle;
    else invalid = middle;
  }
  return valid;
}

function canBecomeUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true });
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

function parseJson(text: string): { readonly value: JsonValue } | Refusal {
  try {
    return { value: JSON.parse(text) as JsonValue };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return refuse('invalid_request', `the body is not JSON: ${error.message}`);
  }
}

interface BodyProblem {
  readonly path: string;
  readonly message: string;
}

/** Where in a body: written out only when there is something to say about it. */
interface Place {
  readonly within: Place | null;
  readonly key: string | number;
}

/** The first thing in a value that no command may be given, and where it is. */
function problemIn(value: JsonValue | undefined, place: Place | null, depth: number): BodyProblem | null {
  if (typeof value === 'string') return textProblem(value, place);
  if (typeof value === 'number') return Number.isFinite(value) ? null : problemAt(place, 'has a number too large for its readers');
  if (value === null || typeof value !== 'object') return null;
  if (depth > limits.bodyDepthMax) return problemAt(place, `nests deeper than ${limits.bodyDepthMax} levels`);
  for (const [key, member] of Array.isArray(value) ? (value as readonly JsonValue[]).entries() : Object.entries(value)) {
    const problem = (typeof key === 'string' ? keyProblem(key, member, place) : null) ?? problemIn(member, { within: place, key }, depth + 1);
    if (problem !== null) return problem;
  }
  return null;
}

function keyProblem(key: string, member: JsonValue | undefined, place: Place | null): BodyProblem | null {
  if (key === '__proto__') return problemAt(place, 'has the key __proto__, which is not taken,');
  if (key === 'constructor' && typeof member === 'object' && member !== null && Object.hasOwn(member, 'prototype')) {
    return problemAt(place, 'has the key constructor.prototype, which is not taken,');
  }
  return textProblem(key, place, 'a key with ');
}

function textProblem(text: string, place: Place | null, where = ''): BodyProblem | null {
  if (text.includes('\u0000')) return problemAt(place, `has ${where}a NUL, which no store keeps,`);
  return text.isWellFormed() ? null : problemAt(place, `has ${where}a lone surrogate, which is no Unicode text,`);
}

function problemAt(place: Place | null, what: string): BodyProblem {
  let path = '';
  for (let at = place; at !== null; at = at.within) path = `${typeof at.key === 'number' ? `[${at.key}]` : `.${at.key}`}${path}`;
  path = clip(path.replace(/^\./, ''));
  return { path, message: `${what} ${path === '' ? 'at its top' : `at ${path}`}` };
}

function clip(text: string): string {
  return (text.length <= 200 ? text : `${text.slice(0, 200)}…`).toWellFormed().replaceAll('\u0000', '\uFFFD');
}
