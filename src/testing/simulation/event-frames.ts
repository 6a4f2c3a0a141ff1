/** What stands between two empty lines of a stream of server-sent events. */
export interface EventFrame {
  readonly id?: string;
  readonly event?: string;
  readonly data?: string;
  /** Milliseconds to wait before coming back. */
  readonly retry?: string;
}

/** Reads server-sent events out of bytes that may be cut anywhere, comments left out. What was not ended by an empty line never counts. */
export class EventFrames {
  readonly #decoder = new TextDecoder();
  #rest = '';

  /** The frames that these bytes end. */
  of(bytes: Uint8Array): readonly EventFrame[] {
    const blocks = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    return blocks.map((block) => Object.fromEntries(block.split('\n').filter((line) => !line.startsWith(':')).map(fieldOf)));
  }
}

function fieldOf(line: string): readonly [string, string] {
  const colon = line.indexOf(': ');
  return [line.slice(0, colon), line.slice(colon + 2)];
}
