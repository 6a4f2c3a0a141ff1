#!/usr/bin/env node
// Before anything is loaded: better-sqlite3 crashes an older Node without a word.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 22 || (major === 22 && minor >= 12)) {
  const { enableCompileCache } = await import('node:module');
  enableCompileCache(); // a command is mostly loading
  const { runProgram } = await import('./program.ts');
  await runProgram(process.argv);
} else {
  process.stderr.write(`error: Holdfast needs Node.js 22.12 or newer, and this is ${process.versions.node}: install a newer one from https://nodejs.org (node_too_old)\n`);
  process.exitCode = 1;
}
