/** Why branches are not reached, by file and by the branch as it is shown. */
export class Reasons {
  readonly #reasons = new Map<string, string>();
  readonly #asked = new Set<string>();

  /**
   * Reads lines of three kinds: `# why`, for all that follows; a file, of the branches that follow; and a branch, indented. Throws for a branch that is there twice or before its file and reason.
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
  }

  /** null: nobody has said why. */
  of(file: string, code: string): string | null {
    const key = keyOf(file, code);
    this.#asked.add(key);
    return this.#reasons.get(key) ?? null;
  }

  /** In the order in which they are given. */
  get all(): readonly string[] {
    return [...new Set(this.#reasons.values())];
  }

  /** Reasons for what is reached by now, or reads otherwise: of the files of which this is true. */
  stale(isLookedAt: (file: string) => boolean): readonly string[] {
    return [...this.#reasons.keys()].filter((key) => !this.#asked.has(key) && isLookedAt(key.slice(0, key.indexOf(': '))));
  }
}

function keyOf(file: string, code: string): string {
  return `${file}: ${code}`;
}
