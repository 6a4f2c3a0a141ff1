import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const root = dirname(dirname(import.meta.dirname));
const folder = mkdtempSync(join(tmpdir(), 'holdfast-package-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The Node of this test run first, as users have a new enough one. */
const environment = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH'] ?? ''}` };

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, { cwd, env: environment, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

test("the README's quick start runs from the packed package in an empty folder, and its types check", () => {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--silent', '--pack-destination', folder], root)) as [{ filename: string; files: { path: string }[] }];
  expect(packed.files.every(({ path }) => /^(dist\/|README|LICENSE|CHANGELOG|package\.json)/.test(path))).toBe(true);
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  const { zod } = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: { zod: string } }).dependencies;
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, packed.filename), `zod@${zod}`], project);

  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const example = /```ts\n(import [\s\S]*?createHoldfast[\s\S]*?)\n```/.exec(readme)?.[1];
  expect(example, 'the README has the example').toBeDefined();
  writeFileSync(join(project, 'quick-start.ts'), example ?? '');
  const output = run(process.execPath, ['quick-start.ts'], project);
  expect(output).toContain('Lisbon');
  expect(output).toMatch(/complete:/);

  // Once more: the idempotency key of a new session starts a new turn; the store of the first run is still good.
  expect(run(process.execPath, ['quick-start.ts'], project)).toMatch(/complete:/);

  // The types of the package check under strict settings, with no help of its sources.
  const typescript = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const nodeTypes = join(root, 'node_modules', '@types');
  run(process.execPath, [typescript, '--noEmit', '--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2024', '--lib', 'es2024,esnext.disposable,dom', '--types', 'node', '--typeRoots', nodeTypes, '--skipLibCheck', 'quick-start.ts'], project);
}, 180_000);
