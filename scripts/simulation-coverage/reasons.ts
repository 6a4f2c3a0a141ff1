/** Why branches are not reached, by file and by the branch as it is shown. */
export class Reasons {
  readonly #reasons = new Map<string, string>();
  readonly #asked = new Set<string>();
  readonly #anywhere: string[] = [];

  /**
   * Reads lines of three kinds: `# why`, for all that follows; a file, of the branches that follow, or `*` for any; and a branch, indented, or `*` for every branch of the file. Of any file it is a part of what is shown. Throws for a branch that is there
   * twice or before its file and reason.
   */
  constructor(text: string) {
    let why = '';
    let file = '';
    for (const line of text.split('\n')) {
      if (line.trim() === '') continue;
      if (line.startsWith('# ')) [why, file] = [line.slice(2), ''];
      else if (!line.startsWith(' ')) file = line;
      else this.#add(file, line.trim(), why);
    }
  }

  #add(file: string, code: string, why: string): void {
    const key = keyOf(file, code);
    if (why === '' || file === '') throw new SyntaxError(`${code} has no reason or no file`);
    if (this.#reasons.has(key)) throw new SyntaxError(`${key} has two reasons`);
    this.#reasons.set(key, why);
    if (file === '*') this.#anywhere.push(code);
  }

  /** null: nobody has said why. */
  of(file: string, code: string): string | null {
    const key = [keyOf(file, code), keyOf(file, '*'), ...this.#anywhere.filter((part) => code.includes(part)).map((part) => keyOf('*', part))].find((each) => this.#reasons.has(each));
    if (key === undefined) return null;
    this.#asked.add(key);
    return this.#reasons.get(key) ?? null;
  }

  /** In the order in which they are given. */
  get all(): readonly string[] {
    return [...new Set(this.#reasons.values())];
  }

  /** Reasons for what is reached by now, or reads otherwise: of the files of which this is true. */
  stale(isLookedAt: (file: string) => boolean): readonly string[] {
    return [...this.#reasons.keys()].filter((key) => !this.#asked.has(key) && (key.startsWith('*') || isLookedAt(key.slice(0, key.indexOf(': ')))));
  }
}

function keyOf(file: string, code: string): string {
  return `${file}: ${code}`;
}
