/** So many at once; the others wait, in the order they came, and so many at most. */
export class WaitingLine {
  readonly #placesMax: number;
  readonly #waitingMax: number;
  readonly #waiting: ((entered: boolean) => void)[] = [];
  #taken = 0;
  #closed = false;

  constructor(placesMax: number, waitingMax: number) {
    this.#placesMax = placesMax;
    this.#waitingMax = waitingMax;
  }

  /** Resolves with what gives the place back; null when too many wait, and once the line is closed. */
  async take(): Promise<(() => void) | null> {
    if (this.#closed) return null;
    if (this.#taken < this.#placesMax) this.#taken += 1;
    else if (this.#waiting.length >= this.#waitingMax) return null;
    else if (!(await new Promise<boolean>((resolve) => this.#waiting.push(resolve)))) return null;
    return () => this.#giveBack();
  }

  /** Sends away whoever waits, and whoever comes. Those in their places stay. */
  close(): void {
    this.#closed = true;
    for (const enter of this.#waiting.splice(0)) enter(false);
  }

  #giveBack(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken -= 1;
    else next(true);
  }
}
