import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { planted, type PlantedBug } from './planted-bug.ts';

export const root = path.join(import.meta.dirname, '..', '..');

/** What runs need of the project. */
const copied = ['src', 'test', 'scripts', 'package.json', 'tsconfig.base.json', 'tsconfig.json', 'vitest.config.ts'];

/** A copy of the project's source with a bug in it, in a folder of its own, which is removed in the end. */
export class SourceCopy implements Disposable {
  readonly folder: string;

  constructor({ name, edits }: Pick<PlantedBug, 'name' | 'edits'>) {
    this.folder = mkdtempSync(path.join(tmpdir(), `holdfast-${name}-`));
    for (const each of copied) cpSync(path.join(root, each), path.join(this.folder, each), { recursive: true });
    symlinkSync(path.join(root, 'node_modules'), path.join(this.folder, 'node_modules'));
    for (const edit of edits) {
      const file = path.join(this.folder, edit.file);
      writeFileSync(file, planted(readFileSync(file, 'utf8'), edit, name));
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
