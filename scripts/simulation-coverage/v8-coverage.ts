/** What V8 writes of a script with `NODE_V8_COVERAGE`, as far as it is needed here. */
export interface V8Script {
  readonly url: string;
  readonly functions: readonly { readonly ranges: readonly V8Range[] }[];
}

/** The first range of a function is all of it, the others are blocks in it that ran another number of times than what is around them. */
export interface V8Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

/** How much there is of something, and how much of it ran. */
export interface Reached {
  readonly reached: number;
  readonly all: number;
}

/** Code that never ran. */
export interface UnreachedBranch {
  readonly line: number;
  /** The line, with what never ran between « and »; where it is long, its beginning. Names the branch as long as it reads the same. */
  readonly code: string;
}

const shownMax = 90;

/** What ran of a file in any of many runs: a place is reached when the innermost range around it was, in one of them. */
export class FileCoverage {
  readonly #text: string;
  readonly #reached: Uint8Array;
  /** By their ends, as different runs tell different ones apart. */
  readonly #functions = new Map<string, V8Range>();
  readonly #blocks = new Map<string, V8Range>();

  constructor(text: string) {
    this.#text = text;
    this.#reached = new Uint8Array(text.length);
  }

  /** One thread's report of this file. */
  add({ functions }: Pick<V8Script, 'functions'>): void {
    for (const { ranges } of functions) {
      for (const [place, range] of ranges.entries()) (place === 0 ? this.#functions : this.#blocks).set(`${range.startOffset} ${range.endOffset}`, range);
    }
    const ran = new Uint8Array(this.#text.length);
    // What is around comes before what is in it.
    const ranges = functions.flatMap((each) => each.ranges).sort((left, right) => left.startOffset - right.startOffset || right.endOffset - left.endOffset);
    for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
    for (const [place, isReached] of ran.entries()) this.#reached[place] ||= isReached;
  }

  get functions(): Reached {
    return this.#countOf(this.#functions);
  }

  /** Blocks that V8 told apart in at least one run, functions left out. */
  get branches(): Reached {
    return this.#countOf(this.#blocks);
  }

  unreached(): readonly UnreachedBranch[] {
    const found: UnreachedBranch[] = [];
    for (let start = this.#reached.indexOf(0); start !== -1; ) {
      const next = this.#reached.indexOf(1, start);
      const end = next === -1 ? this.#text.length : next;
      if (isCode(this.#text.slice(start, end))) found.push(this.#branch(start, end));
      start = next === -1 ? -1 : this.#reached.indexOf(0, end);
    }
    return found;
  }

  #branch(from: number, to: number): UnreachedBranch {
    const start = from + (/^(?:[\s});,\]]|\/\/.*)*/.exec(this.#text.slice(from, to))?.[0].length ?? 0);
    const lineStart = this.#text.lastIndexOf('\n', start - 1) + 1;
    const before = this.#text.slice(lineStart, start).trimStart();
    const never = this.#text.slice(start, to).trim().replaceAll(/\s+/g, ' ');
    return {
      line: this.#text.slice(0, start).split('\n').length,
      code: `${before.length > shownMax ? `…${before.slice(-shownMax)}` : before}«${never.length > shownMax ? `${never.slice(0, shownMax)}…` : never}»`,
    };
  }

  #countOf(ranges: ReadonlyMap<string, V8Range>): Reached {
    const counted = [...ranges.values()].filter(({ startOffset, endOffset }) => isCode(this.#text.slice(startOffset, endOffset)));
    return { all: counted.length, reached: counted.filter(({ startOffset }) => this.#reached[startOffset] === 1).length };
  }
}

/** More than what ends a block, a comment, and space. */
function isCode(text: string): boolean {
  return /[^\s{}()[\];,]/.test(text.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, ''));
}
