import path from 'node:path';
import { factsOf, type AmbientFact, type ImportFact, type SourceFacts } from './source-facts.ts';

export interface Architecture {
  /** Room -> the rooms it may import; its own files are always allowed. Rooms that do not exist yet do no harm. */
  readonly arrows: Readonly<Record<string, readonly string[]>>;
  /** Arrows, as `from -> to`, that may carry types only. */
  readonly typeOnlyArrows: readonly string[];
  /** Rooms that may take time, ids, randomness and timers from where they are. */
  readonly ambientRooms: readonly string[];
  /** Packages that a user of the published package has: dependencies and peer dependencies. */
  readonly packages: readonly string[];
  readonly maxFileLines: number;
  readonly maxFunctionLines: number;
  /** Too long already: `src/a.ts` or `src/a.ts#functionName` -> its lines. May shrink, must not grow. */
  readonly ratchet: Readonly<Record<string, number>>;
  readonly exceptions: readonly Exception[];
}

export interface Exception {
  readonly file: string;
  readonly rule: Rule;
  readonly reason: string;
}

export type Rule =
  | 'room'
  | 'arrow'
  | 'cycle'
  | 'core-import'
  | 'core-ambient'
  | 'ambient'
  | 'package'
  | 'import-extension'
  | 're-exports-only'
  | 'file-length'
  | 'function-length'
  | 'file-name'
  | 'empty-catch'
  | 'syntax'
  | 'unused-exception';

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly rule: Rule;
  readonly message: string;
}

/** Path from the repository's root, with forward slashes -> text. */
export type Files = ReadonlyMap<string, string>;

const forbiddenNames = ['utils', 'util', 'types', 'common', 'helpers', 'helper', 'interfaces', 'lib'];
const kebabCase = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Every way in which the files break the rules, in the order of file and line; exceptions are taken out. */
export function violationsIn(files: Files, architecture: Architecture): Violation[] {
  const facts = new Map<string, SourceFacts>();
  for (const [file, text] of files) if (/\.[jt]s$/.test(file)) facts.set(file, factsOf(file, text));
  const found = [
    ...[...files.keys()].flatMap(nameViolations),
    ...[...facts].flatMap(([file, fact]) => fileViolations(file, fact, files, architecture)),
    ...lengthViolations(facts, architecture),
    ...cycleViolations(facts),
  ];
  const excused = (each: Violation): Exception | undefined =>
    architecture.exceptions.find(({ file, rule }) => file === each.file && rule === each.rule);
  const used = new Set(found.map(excused));
  const unused = architecture.exceptions.filter((exception) => !used.has(exception)).map(unusedException);
  return [...found.filter((each) => excused(each) === undefined), ...unused].sort(byPlace);
}

/** One line for each violation, as an editor can jump to it. */
export function describeViolations(violations: readonly Violation[]): string {
  return violations.map(({ file, line, rule, message }) => `${file}:${line} [${rule}] ${message}`).join('\n');
}

/** The room a file of src is in: its folder, `store/<engine>`, or the file's own name for a file directly in src. */
export function roomOf(file: string): string {
  const [, first = '', second = '', ...deeper] = file.split('/');
  return first === 'store' && deeper.length > 0 ? `store/${second}` : first;
}

function fileViolations(file: string, facts: SourceFacts, files: Files, architecture: Architecture): Violation[] {
  const room = roomOf(file);
  const found: Violation[] = [];
  const report = (line: number, rule: Rule, message: string): void => {
    found.push({ file, line, rule, message });
  };
  for (const error of facts.syntaxErrors) report(1, 'syntax', error);
  if (architecture.arrows[room] === undefined) {
    report(1, 'room', `"${room}" is no room; the rooms are ${Object.keys(architecture.arrows).join(', ')}`);
  }
  for (const line of facts.emptyCatchLines) {
    report(line, 'empty-catch', 'a catch that does nothing: handle the error, or hand it on to someone who does');
  }
  if (file.endsWith('.js')) return found; // a script of a web page: it is no room's code, and a browser's clock is its own
  for (const each of facts.imports) found.push(...importViolations(file, each, files, architecture));
  for (const each of facts.ambients) found.push(...ambientViolations(file, each, architecture));
  if (file === 'src/index.ts') {
    const message = 'index.ts holds `export … from` only';
    for (const line of facts.ownStatementLines) report(line, 're-exports-only', message);
  }
  return found;
}

function importViolations(file: string, each: ImportFact, files: Files, architecture: Architecture): Violation[] {
  const { line, specifier, typeOnly } = each;
  const violation = (rule: Rule, message: string): Violation[] => [{ file, line, rule, message }];
  const room = roomOf(file);
  if (!specifier.startsWith('.')) {
    if (room === 'core') return violation('core-import', `core imports nothing from outside, not "${specifier}"`);
    const name = packageOf(specifier);
    if (name === undefined || architecture.packages.includes(name)) return [];
    return violation('package', `"${name}" is neither a dependency nor a peer dependency: users will not have it`);
  }
  const target = resolve(file, specifier);
  if (target.endsWith('.js') && !files.has(target)) {
    return violation('import-extension', `write "${specifier.slice(0, -3)}.ts": the source runs as it is`);
  }
  const to = roomOf(target);
  const allowed = architecture.arrows[room];
  if (to === room || allowed === undefined) return [];
  if (!target.startsWith('src/')) return violation('arrow', `src imports nothing from outside src, not ${target}`);
  if (!allowed.includes(to)) {
    const may = allowed.length > 0 ? `it may import ${allowed.join(', ')}` : 'it imports no other room';
    return violation('arrow', `${room} must not import ${to} (${target}); ${may}`);
  }
  if (!typeOnly && architecture.typeOnlyArrows.includes(`${room} -> ${to}`)) {
    return violation('arrow', `${room} may take types only from ${to}: write "import type"`);
  }
  return [];
}

function ambientViolations(file: string, { line, what }: AmbientFact, architecture: Architecture): Violation[] {
  const room = roomOf(file);
  const instead = replacementFor(what);
  if (room === 'core') {
    const message = `${what} in the core: it is pure, ${instead ?? 'so let the caller pass in what it needs'}`;
    return [{ file, line, rule: 'core-ambient', message }];
  }
  if (instead === undefined || architecture.ambientRooms.includes(room)) return [];
  return [{ file, line, rule: 'ambient', message: `ambient ${what}: ${instead}` }];
}

/** What to write instead; undefined where only the core has to do without. */
function replacementFor(what: string): string | undefined {
  if (/random|webcrypto/.test(what)) {
    return 'use the injected ids (ids.mint) or the injected random (random.next)';
  }
  if (/timer|^set|\.set|AbortSignal/.test(what)) return 'use the injected clock (clock.after)';
  if (/Date|\.now$|^performance\.|^process\.|^performance$/.test(what) && what !== 'new Date(value)') {
    return 'use the injected clock (clock.nowMs)';
  }
  return undefined;
}

function lengthViolations(facts: ReadonlyMap<string, SourceFacts>, architecture: Architecture): Violation[] {
  const { ratchet, maxFileLines, maxFunctionLines } = architecture;
  const found: Violation[] = [];
  const seen = new Set<string>();
  const check = (key: string, line: number, lines: number, limit: number, rule: Rule): void => {
    const file = key.split('#', 1)[0] ?? key;
    const listed = ratchet[key];
    seen.add(key);
    if (listed === undefined && lines > limit) {
      found.push({ file, line, rule, message: `${key} has ${lines} lines; the limit is ${limit}: split it` });
    } else if (listed !== undefined && lines > listed) {
      found.push({ file, line, rule, message: `${key} grew from ${listed} to ${lines} lines; it may only shrink` });
    } else if (listed !== undefined && lines < listed) {
      const then = lines > limit ? `lower its number in the ratchet to ${lines}` : 'take it out of the ratchet';
      found.push({ file, line, rule, message: `${key} shrank to ${lines} lines: ${then}` });
    }
  };
  for (const [file, { lineCount, functions }] of facts) {
    check(file, 1, lineCount, maxFileLines, 'file-length');
    for (const each of functions) {
      check(`${file}#${each.name}`, each.line, each.lineCount, maxFunctionLines, 'function-length');
    }
  }
  for (const key of Object.keys(ratchet).filter((each) => !seen.has(each))) {
    found.push({ file: key, line: 1, rule: 'file-length', message: 'is gone: take it out of the ratchet' });
  }
  return found;
}

function cycleViolations(facts: ReadonlyMap<string, SourceFacts>): Violation[] {
  const reported = new Set<string>();
  const found: Violation[] = [];
  for (const file of [...facts.keys()].sort()) {
    if (reported.has(file)) continue;
    const cycle = shortestCycle(file, facts);
    if (cycle === undefined) continue;
    for (const each of cycle) reported.add(each);
    const next = cycle[1];
    const line = facts.get(file)?.imports.find(({ specifier }) => resolve(file, specifier) === next)?.line ?? 1;
    found.push({ file, line, rule: 'cycle', message: `import cycle (types count): ${cycle.join(' -> ')}` });
  }
  return found;
}

/** Breadth first from a file along its imports until they lead back to it. */
function shortestCycle(start: string, facts: ReadonlyMap<string, SourceFacts>): string[] | undefined {
  const cameFrom = new Map<string, string>();
  const queue = [start];
  for (const file of queue) {
    for (const { specifier } of facts.get(file)?.imports ?? []) {
      if (!specifier.startsWith('.')) continue;
      const target = resolve(file, specifier);
      if (target === start) {
        const back = [start];
        for (let at: string | undefined = file; at !== undefined; at = cameFrom.get(at)) back.unshift(at);
        return back;
      }
      if (!facts.has(target) || cameFrom.has(target)) continue;
      cameFrom.set(target, file);
      queue.push(target);
    }
  }
  return undefined;
}

function nameViolations(file: string): Violation[] {
  const stems = file.split('/').slice(1).map((segment) => segment.split('.', 1)[0] ?? '');
  return stems.flatMap((stem): Violation[] => {
    const violation = (message: string): Violation[] => [{ file, line: 1, rule: 'file-name', message }];
    if (forbiddenNames.includes(stem)) return violation(`"${stem}" says nothing: name it after what is in it`);
    return kebabCase.test(stem) ? [] : violation(`"${stem}" is not kebab-case`);
  });
}

function resolve(file: string, specifier: string): string {
  return path.posix.join(path.posix.dirname(file), specifier);
}

/** The package that an import comes from; undefined for Node's own modules. */
function packageOf(specifier: string): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

function unusedException({ file, rule }: Exception): Violation {
  const message = `does not break the rule "${rule}": take the exception out`;
  return { file, line: 1, rule: 'unused-exception', message };
}

function byPlace(a: Violation, b: Violation): number {
  return a.file === b.file ? a.line - b.line : a.file < b.file ? -1 : 1;
}
