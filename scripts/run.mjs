// Runs every npm script of this repository, on a bare clone too:
//
//   node scripts/run.mjs <start|holdfast|bench|planted-bugs|simulation-coverage|test|vitest|typecheck|lint|build|stamp> [arguments]
//
// 1. Installs the dependencies when they are missing or do not match package-lock.json.
// 2. Runs the real command on the Node that package.json pins (the npm package `node`), whatever Node is on the
//    machine. So this file itself must keep to what Node 20 understands.
// 3. Passes signals on to the command, and its exit code back.
//
// Only the command writes to stdout; what this file and npm have to say goes to stderr.

import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const inModules = (...parts) => path.join(root, 'node_modules', ...parts);
const stampFile = inModules('.holdfast-installed');
const tsc = inModules('typescript', 'bin', 'tsc');
const lintOptions = ['--type-aware', '--deny-warnings', '--report-unused-disable-directives'];
const typecheckEverything = [tsc, '-p', 'tsconfig.json'];

/** Each step is what the pinned Node is given: a script and its arguments. `rest` is the command line's. */
const commands = {
  start: (rest) => [['src/cli/main.ts', 'dev', ...rest]],
  holdfast: (rest) => [['src/cli/main.ts', ...rest]],
  bench: (rest) => [['bench/main.ts', ...rest]],
  'planted-bugs': (rest) => [['scripts/planted-bugs/main.ts', ...rest]],
  'simulation-coverage': (rest) => [['scripts/simulation-coverage/main.ts', ...rest]],
  typecheck: () => [typecheckEverything, [tsc, '-p', 'tsconfig.core.json']],
  lint: (rest) => [[inModules('oxlint', 'bin', 'oxlint'), ...lintOptions, ...rest]],
  vitest: (rest) => [[inModules('vitest', 'vitest.mjs'), ...rest]],
  build: () => [['scripts/build.mjs', 'clean'], [tsc, '-p', 'tsconfig.build.json'], ['scripts/build.mjs', 'assets']],
};

const [command, ...rest] = process.argv.slice(2);
if (command === 'stamp') {
  writeStamp(); // npm's `prepare`: npm itself has just installed
} else if (command === 'test') {
  installIfNeeded();
  process.exitCode = await test(rest);
} else if (Object.hasOwn(commands, command ?? '')) {
  installIfNeeded();
  process.exitCode = await runInTurn(commands[command](rest));
} else {
  say(`unknown command "${command ?? ''}"; known: ${Object.keys(commands).join(', ')}, test, stamp`);
  process.exitCode = 2;
}

/**
 * Types and lint first, then the tests. All three always run. A failed check is named by the tests' reporter and
 * counts in its totals, so that the last line of output tells the whole result.
 */
async function test(vitestArguments) {
  const failedChecks = [];
  for (const check of ['typecheck', 'lint']) {
    say(check);
    if ((await runInTurn(commands[check]([]))) !== 0) failedChecks.push(check);
  }
  say('vitest');
  const steps = commands.vitest(['run', ...vitestArguments]);
  const exitCode = await runInTurn(steps, { HOLDFAST_FAILED_CHECKS: failedChecks.join(',') });
  return exitCode || (failedChecks.length > 0 ? 1 : 0);
}

/** Returns the exit code of the first step that failed. A step needs those before it, but for the type checks. */
async function runInTurn(steps, extraEnvironment = {}) {
  let firstFailure = 0;
  for (const step of steps) {
    const exitCode = await runStep(step, extraEnvironment);
    firstFailure ||= exitCode;
    if (exitCode !== 0 && step !== typecheckEverything) break;
  }
  return firstFailure;
}

function runStep(step, extraEnvironment) {
  return new Promise((resolve) => {
    const node = pinnedNode();
    const child = spawn(node, step, { cwd: root, stdio: 'inherit', env: { ...process.env, ...extraEnvironment } });
    const forward = (signal) => {
      // Ctrl-C in a terminal reaches the child by itself; sent a second time, it would count as impatience.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    };
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
    for (const signal of signals) process.on(signal, forward);
    child.on('error', (error) => {
      say(`cannot start ${node}: ${error.message}`);
      resolve(1);
    });
    child.on('exit', (code, signal) => {
      for (const each of signals) process.removeListener(each, forward);
      if (signal !== null) process.kill(process.pid, signal); // end the way the child ended
      else resolve(code ?? 1);
    });
  });
}

/** The Node of node_modules; or the one this runs on, where an install without scripts left that out. */
function pinnedNode() {
  const pinned = process.platform === 'win32' ? inModules('node', 'bin', 'node.exe') : inModules('node', 'bin', 'node');
  if (existsSync(pinned)) return pinned;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath; // from 22.18 on Node runs TypeScript
  say(`Node ${process.versions.node} is too old to run the source, and the install left out Node 24 (are npm's`);
  say('install scripts off?). Run `npm ci --ignore-scripts=false`, or use Node 24.');
  process.exit(1);
}

function installIfNeeded() {
  const reason = reasonToInstall();
  if (reason === undefined) return;
  say(`${reason}: running npm ci`);
  const npm = npmCommand();
  const npmArguments = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = spawnSync(npm.file, [...npm.firstArguments, ...npmArguments], {
    cwd: root,
    env: npm.environment,
    stdio: ['ignore', 2, 2],
    shell: npm.shell,
  });
  if (result.status !== 0) {
    say('npm ci failed; see above');
    process.exit(result.status ?? 1);
  }
  writeStamp(); // `prepare` has done so, unless scripts are off
}

function reasonToInstall() {
  if (!existsSync(inModules('vitest', 'package.json'))) return 'dependencies are not installed';
  if (!existsSync(stampFile)) return 'it is unknown what node_modules was installed from';
  if (readFileSync(stampFile, 'utf8') !== currentStamp()) return 'node_modules does not match package-lock.json';
  return undefined;
}

/** What node_modules was installed from. The platform is part of it: several packages hold native binaries. */
function currentStamp() {
  const lockHash = createHash('sha256').update(readFileSync(path.join(root, 'package-lock.json'))).digest('hex');
  return `${lockHash} ${process.platform} ${process.arch}\n`;
}

function writeStamp() {
  if (existsSync(inModules())) writeFileSync(stampFile, currentStamp());
}

/**
 * The npm that started this, on the Node that it runs on. npm puts node_modules/.bin in front of PATH; the Node in
 * there is taken out again, because npm ci is about to delete it.
 */
function npmCommand() {
  const pathKey = Object.keys(process.env).find((key) => key.toUpperCase() === 'PATH') ?? 'PATH';
  const entries = (process.env[pathKey] ?? '').split(path.delimiter).filter((entry) => !entry.startsWith(inModules()));
  const environment = { ...process.env, [pathKey]: entries.join(path.delimiter) };
  const { npm_execpath: npmScript, npm_node_execpath: npmNode } = process.env;
  if (npmScript?.endsWith('npm-cli.js') && npmNode && !npmNode.startsWith(inModules())) {
    return { file: npmNode, firstArguments: [npmScript], environment, shell: false };
  }
  return { file: 'npm', firstArguments: [], environment, shell: process.platform === 'win32' };
}

function say(text) {
  process.stderr.write(`holdfast: ${text}\n`);
}
