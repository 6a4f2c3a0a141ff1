// Steps of `npm run build` beside tsc:
//   clean   empties dist, so that nothing of a deleted source file is published
//   assets  copies what is not TypeScript (pages with their scripts and styles, SQL) to the same place in dist

import { cpSync, globSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const source = path.join(root, 'src');
const target = path.join(root, 'dist');

switch (process.argv[2]) {
  case 'clean':
    rmSync(target, { recursive: true, force: true });
    break;
  case 'assets':
    for (const file of globSync('**/*.{html,css,js,svg,sql}', { cwd: source })) {
      mkdirSync(path.dirname(path.join(target, file)), { recursive: true });
      cpSync(path.join(source, file), path.join(target, file));
    }
    break;
  default:
    process.stderr.write('usage: node scripts/build.mjs <clean|assets>\n');
    process.exitCode = 2;
}
