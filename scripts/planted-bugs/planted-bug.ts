/** A text of the source, and what stands in its place in the copy. */
export interface Edit {
  /** Path from the root of the project. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly find: string;
  readonly put: string;
}

/** A fault that is put into a copy of our own code, which the proof has to find. */
export interface PlantedBug {
  readonly name: string;
  /** What the code does wrong with it. */
  readonly fault: string;
  /** The guarantee that it breaks. */
  readonly breaks: string;
  readonly edits: readonly Edit[];
  /** What has to find it, each of them. Default: the simulation. */
  readonly foundBy?: readonly ProofRun[];
}

/** A part of the proof that can be run by itself. */
export type ProofRun = 'simulation' | 'failpoints' | 'power loss';

/** What a run has found of a bug. */
export interface Finding {
  /** `G4`, or what else was violated. */
  readonly guarantee: string;
  readonly what: string;
  /** So many seeds, failpoints or cuts of the power it took. */
  readonly after: number;
}

/** The text with the fault in it. Throws where what it takes the place of does not stand there exactly once: the code has moved on, and the bug has to follow it. */
export function planted(text: string, { file, find, put }: Edit, name: string): string {
  const times = text.split(find).length - 1;
  if (times !== 1) throw new RangeError(`planted bug ${name}: its text stands ${times} times in ${file}, not once:\n${find}`);
  return text.replace(find, () => put);
}
