import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  describeViolations,
  violationsIn,
  type Architecture,
  type Exception,
  type Files,
} from './support/architecture-rules.ts';

/** Files that may break a rule, each with its reason. An entry that is no longer needed fails the test. */
const exceptions: readonly Exception[] = [
  {
    file: 'src/store/index.ts',
    rule: 'arrow',
    reason: 'the public entry holdfast/store offers the port and the stores that implement it; no other file may',
  },
];

/** Files (`src/a.ts`) and functions (`src/a.ts#name`) that are too long already -> their lines, which may only shrink. */
const ratchet: Readonly<Record<string, number>> = {};

const rooms = ['core', 'examine', 'store', 'store/conformance', 'store/sqlite', 'store/postgres', 'agent', 'mcp', 'commands', 'feed', 'exchange', 'library', 'worker', 'server'];
const faces = ['protocols', 'client', 'testing', 'demo', 'cli'];
const rootFiles = ['index.ts', 'create-holdfast.ts', 'store-url.ts', 'system.ts'];
const all = [...rooms, ...faces, ...rootFiles];
const allBut = (...excluded: readonly string[]): string[] => all.filter((room) => !excluded.includes(room));

/** Who may import whom. Worker and server never meet but in the store. */
const arrows: Architecture['arrows'] = {
  core: [],
  store: ['core', 'store/conformance'],
  'store/conformance': ['store', 'core'], // the suite that every store is held to
  'store/sqlite': ['store', 'core'],
  'store/postgres': ['store', 'core'],
  agent: ['core', 'mcp'], // how a server of tools is declared and checked
  mcp: ['core', 'agent'],
  commands: ['core', 'store', 'agent'],
  feed: ['core', 'store'],
  library: ['core', 'store', 'commands', 'feed', 'agent', 'exchange'],
  examine: ['core', 'store'], // whether a store's rows agree with each other
  exchange: ['core', 'store', 'commands'], // what goes out as lines of a file, and comes in
  worker: ['core', 'store', 'agent', 'mcp'],
  server: ['core', 'exchange', 'store', 'commands', 'feed', 'agent', 'system.ts'],
  protocols: ['core', 'feed', 'commands', 'agent'],
  client: ['core'],
  testing: allBut('cli', 'server'),
  demo: ['agent', 'core'],
  cli: all,
  'system.ts': ['core'],
  'store-url.ts': ['core', 'store', 'store/sqlite', 'store/postgres'],
  'create-holdfast.ts': allBut('cli'),
  'index.ts': allBut('cli'),
};

const root = path.dirname(import.meta.dirname);
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
};

const architecture: Architecture = {
  arrows,
  // The port's types: which store it is, create-holdfast decides. And what a tool is, which a server's become.
  typeOnlyArrows: ['server -> store', 'mcp -> agent'],
  ambientRooms: ['system.ts', 'cli', 'demo'],
  packages: Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }),
  maxFileLines: 400,
  maxFunctionLines: 70,
  ratchet,
  exceptions,
};

/** For the rules' own tests, which bring their own files. */
const withoutExceptions: Architecture = { ...architecture, ratchet: {}, exceptions: [] };

describe('the source', () => {
  it('keeps to its rooms, arrows and limits', () => {
    expect(describeViolations(violationsIn(sourceFiles(), architecture))).toBe('');
  });
});

describe('the architecture rules', () => {
  it.each<[rule: string, file: string, text: string]>([
    ['room', 'src/elsewhere/a.ts', ''],
    ['room', 'src/other.ts', ''],
    ['arrow', 'src/worker/a.ts', `import { b } from '../server/b.ts';`],
    ['arrow', 'src/server/a.ts', `import type { B } from '../worker/b.ts';`],
    ['arrow', 'src/server/a.ts', `import { openStore } from '../store/port.ts';`],
    ['arrow', 'src/server/a.ts', `import type { SqliteStore } from '../store/sqlite/sqlite-store.ts';`],
    ['arrow', 'src/commands/a.ts', `let b: import('../worker/b.ts').B;`],
    ['arrow', 'src/commands/a.ts', `const b = await import('../worker/b.ts');`],
    ['arrow', 'src/store/port.ts', `export * from './sqlite/sqlite-store.ts';`],
    ['arrow', 'src/index.ts', `export { main } from './cli/main.ts';`],
    ['arrow', 'src/cli/a.ts', `import { b } from '../../test/b.ts';`],
    ['core-import', 'src/core/a.ts', `import type { z } from 'zod';`],
    ['core-import', 'src/core/a.ts', `import { createHash } from 'node:crypto';`],
    ['core-ambient', 'src/core/a.ts', `export const at = new Date(0);`],
    ['core-ambient', 'src/core/a.ts', `export const at = Date.now();`],
    ['core-ambient', 'src/core/a.ts', `export const home = process.env['HOME'];`],
    ['core-ambient', 'src/core/a.ts', `export const all = globalThis;`],
    ['ambient', 'src/worker/a.ts', `const now = Date.now;`],
    ['ambient', 'src/worker/a.ts', `const now = new Date();`],
    ['ambient', 'src/worker/a.ts', `const chance = Math.random();`],
    ['ambient', 'src/worker/a.ts', `setTimeout(() => 1, 10);`],
    ['ambient', 'src/worker/a.ts', `globalThis.setInterval(() => 1, 10);`],
    ['ambient', 'src/worker/a.ts', `import { setTimeout as sleep } from 'node:timers/promises';`],
    ['ambient', 'src/worker/a.ts', `import { randomUUID } from 'node:crypto';`],
    ['ambient', 'src/worker/a.ts', `const id = crypto.randomUUID();`],
    ['package', 'src/agent/a.ts', `import { generateText } from 'ai';`],
    ['import-extension', 'src/agent/a.ts', `import { b } from './b.js';`],
    ['re-exports-only', 'src/index.ts', `export const version = 1;`],
    ['empty-catch', 'src/agent/a.ts', `try { go(); } catch { /* never mind */ }`],
    ['empty-catch', 'src/agent/a.ts', `void go().catch(() => {});`],
    ['file-name', 'src/agent/utils.ts', ''],
    ['file-name', 'src/agent/runStep.ts', ''],
    ['syntax', 'src/agent/a.ts', 'const = 1;'],
  ])('catch a breach of "%s": %s with %j', (rule, file, text) => {
    const found = violationsIn(new Map([[file, text]]), withoutExceptions);
    expect(found.map((each) => each.rule)).toContain(rule);
    expect(describeViolations(found)).toContain(`${file}:1 [${rule}]`);
  });

  it.each<[file: string, text: string]>([
    ['src/server/a.ts', `import type { Store } from '../store/port.ts'; import { type B } from '../store/port.ts';`],
    ['src/server/a.ts', `import { serve } from '@hono/node-server'; import { createHash } from 'node:crypto';`],
    ['src/store/sqlite/a.ts', `import { b } from '../port.ts'; import { c } from '../../core/c.ts';`],
    ['src/worker/a.ts', `// Date.now() and setTimeout are named here only\nconst text = 'Date.now()';`],
    ['src/worker/a.ts', `let timer: ReturnType<typeof setTimeout>; const at = new Date(0);`],
    ['src/worker/a.ts', `function wait({ setTimeout }: Timers) { setTimeout(1); }`],
    ['src/core/a.ts', `export const a = { process: 1 }.process; export function b(crypto: string) { return crypto; }`],
    ['src/cli/main.ts', `setTimeout(() => console.log(Date.now()), 10);`],
    ['src/system.ts', `export const nowMs = () => Date.now();`],
    ['src/index.ts', `export { a } from './agent/a.ts'; export type { B } from './core/b.ts';`],
    ['src/agent/a.ts', `try { go(); } catch (error) { report(error); }`],
    ['src/server/page/a.js', `setTimeout(() => show(Date.now()), 10);`],
  ])('let pass what is right: %s with %j', (file, text) => {
    expect(describeViolations(violationsIn(new Map([[file, text]]), withoutExceptions))).toBe('');
  });

  it('limit the lines of files and functions', () => {
    const check = (text: string): string[] =>
      violationsIn(new Map([['src/agent/a.ts', text]]), withoutExceptions).map((each) => each.message);
    const functionOf = (lines: number): string => `const agent = { run() {${'\n'.repeat(lines - 1)}} };`;
    expect(check('\n'.repeat(400))).toEqual([]);
    expect(check('\n'.repeat(401))).toEqual(['src/agent/a.ts has 401 lines; the limit is 400: split it']);
    expect(check(functionOf(70))).toEqual([]);
    expect(check(functionOf(71))).toEqual(['src/agent/a.ts#run has 71 lines; the limit is 70: split it']);
  });

  it('find import cycles, those of types included', () => {
    const files: Files = new Map([
      ['src/core/a.ts', `import type { B } from './b.ts';`],
      ['src/core/b.ts', `\nexport type { C } from './c.ts';`],
      ['src/core/c.ts', `let a: import('./a.ts').A;`],
    ]);
    const cycle = 'src/core/a.ts -> src/core/b.ts -> src/core/c.ts -> src/core/a.ts';
    expect(describeViolations(violationsIn(files, withoutExceptions))).toBe(
      `src/core/a.ts:1 [cycle] import cycle (types count): ${cycle}`,
    );
  });

  it('say what to use in place of an ambient thing', () => {
    const files: Files = new Map([['src/worker/lease.ts', `\n\nconst now = Date.now();`]]);
    expect(describeViolations(violationsIn(files, withoutExceptions))).toBe(
      'src/worker/lease.ts:3 [ambient] ambient Date.now: use the injected clock (clock.nowMs)',
    );
  });

  it('let an exception through, and ask for its removal when it is not needed', () => {
    const exception: Exception = { file: 'src/worker/a.ts', rule: 'ambient', reason: 'a test' };
    const withException: Architecture = { ...withoutExceptions, exceptions: [exception] };
    expect(violationsIn(new Map([['src/worker/a.ts', 'Date.now();']]), withException)).toEqual([]);
    expect(violationsIn(new Map([['src/worker/a.ts', '']]), withException)).toMatchObject([
      { file: 'src/worker/a.ts', rule: 'unused-exception' },
    ]);
  });

  it('let what is too long shrink but not grow', () => {
    const withRatchet: Architecture = { ...withoutExceptions, ratchet: { 'src/agent/a.ts': 500 } };
    const check = (lines: number): string =>
      describeViolations(violationsIn(new Map([['src/agent/a.ts', '\n'.repeat(lines)]]), withRatchet));
    expect(check(500)).toBe('');
    expect(check(501)).toContain('it may only shrink');
    expect(check(450)).toContain('lower its number in the ratchet to 450');
    expect(check(400)).toContain('take it out of the ratchet');
  });
});

function sourceFiles(): Files {
  const files = new Map<string, string>();
  if (!existsSync(path.join(root, 'src'))) return files;
  for (const entry of globSync('src/**/*', { cwd: root, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    files.set(path.relative(root, file).split(path.sep).join('/'), readFileSync(file, 'utf8'));
  }
  return files;
}
