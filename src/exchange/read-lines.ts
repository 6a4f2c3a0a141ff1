import { createReadStream } from 'node:fs';

export type InputLine =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly problem: string };

/** The longest line that is read, in bytes. */
const lineBytesMax = 64_000_000;
const newline = 0x0a;

/** Lines of a UTF-8 file, numbered from 1; empty ones are passed over. A line that is no UTF-8 or longer than 64 MB is a problem, and the lines after it go on. */
export async function* readLines(path: string): AsyncGenerator<InputLine, void, void> {
  let number = 0;
  let pieces: Buffer[] = [];
  let bytes = 0;
  const take = (): InputLine | null => {
    number += 1;
    const line = readLine(number, pieces, bytes);
    pieces = [];
    bytes = 0;
    return line;
  };
  const add = (piece: Buffer): void => {
    bytes += piece.length;
    if (bytes <= lineBytesMax) pieces.push(piece);
    else pieces = [];
  };
  for await (const chunk of createReadStream(path, { highWaterMark: 262_144 }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
      add(chunk.subarray(from, end));
      from = end + 1;
      const line = take();
      if (line !== null) yield line;
    }
    add(chunk.subarray(from));
  }
  const last = bytes === 0 ? null : take();
  if (last !== null) yield last;
}

function readLine(number: number, pieces: readonly Buffer[], bytes: number): InputLine | null {
  if (bytes > lineBytesMax) return { number, problem: `it is longer than ${lineBytesMax} bytes` };
  const whole = Buffer.concat(pieces);
  let text: string;
  try {
    // A byte order mark at the start is taken away by the decoder.
    text = new TextDecoder('utf-8', { fatal: true }).decode(whole);
  } catch {
    return { number, problem: 'it is not UTF-8' };
  }
  return text.trim() === '' ? null : { number, text };
}

/** Lines that are text already, numbered from 1. A line longer than 64 MB is a problem. */
export async function* linesOf(lines: Iterable<string> | AsyncIterable<string>): AsyncGenerator<InputLine, void, void> {
  let number = 0;
  for await (const text of lines) {
    number += 1;
    if (text.length > lineBytesMax) yield { number, problem: `it is longer than ${lineBytesMax} bytes` };
    else if (text.trim() !== '') yield { number, text };
  }
}
