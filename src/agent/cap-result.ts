import { utf8Bytes, type JsonValue } from '../core/json.ts';

export interface CappedResult {
  readonly output: JsonValue;
  /** Size of the whole, when it was too large. */
  readonly wholeBytes?: number;
}

/** A result over its cap keeps two thirds of the cap from its head and one third from its tail, as text, with a marker between that says how much is missing. */
export function capResult(output: JsonValue, bytesMax: number): CappedResult {
  const text = typeof output === 'string' ? output : JSON.stringify(output);
  // A unit of UTF-16 takes at most three bytes, so most results need no count.
  if (text.length * 3 <= bytesMax) return { output };
  const wholeBytes = utf8Bytes(text);
  if (wholeBytes <= bytesMax) return { output };
  const whole = Buffer.from(text, 'utf8');
  const headBytes = Math.floor((bytesMax * 2) / 3);
  const head = decode(whole.subarray(0, headBytes));
  const tail = decode(whole.subarray(wholeBytes - (bytesMax - headBytes)));
  return { output: `${head}\n[… ${wholeBytes - bytesMax} of ${wholeBytes} bytes left out …]\n${tail}`, wholeBytes };
}

/** Half characters at the cut become nothing. */
function decode(bytes: Buffer): string {
  return bytes.toString('utf8').replace(/^\uFFFD+|\uFFFD+$/g, '');
}
