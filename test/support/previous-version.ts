import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { symlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished } from 'vitest';
import { temporaryFolder } from './temporary-folder.ts';

const run = promisify(execFile);
const root = path.join(import.meta.dirname, '..', '..');

/**
 * The sources of an earlier version, as of the commit whose message begins with these words, in a folder of their own with this version's packages; removed when the test ends. Outside of `node_modules`, where
 * Node runs no TypeScript. Where git or the commit is not there (a tarball, a shallow clone), why.
 */
export async function sourcesOf(messageBegins: string): Promise<{ readonly folder: string } | { readonly missing: string }> {
  let hash = '';
  try {
    const { stdout } = await run('git', ['log', '--format=%H %s'], { cwd: root, maxBuffer: 64 * 1024 * 1024 });
    hash = stdout.split('\n').find((line) => line.slice(41).startsWith(messageBegins))?.slice(0, 40) ?? '';
  } catch (error) {
    return { missing: `git cannot say what there was: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}` };
  }
  if (hash === '') return { missing: `the history has no commit "${messageBegins}…"` };
  const folder = await temporaryFolder();
  onTestFinished(() => folder.remove());
  const archive = spawn('git', ['archive', hash, 'src', 'package.json'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const extract = spawn('tar', ['-x', '-C', folder.path], { stdio: [archive.stdout, 'inherit', 'inherit'] });
  const [code] = (await once(extract, 'close')) as [number];
  if (code !== 0) return { missing: `the sources of ${hash.slice(0, 7)} could not be unpacked` };
  await symlink(path.join(root, 'node_modules'), path.join(folder.path, 'node_modules'));
  return { folder: folder.path };
}
